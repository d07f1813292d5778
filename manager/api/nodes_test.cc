#include "manager/api/nodes.h"

#include <optional>

#include "common/strings.h"
#include "manager/api/tasks.h"
#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

class NodesTest : public ::testing::Test, public ApiWorld {
 protected:
  // With the node's version, unless another is given.
  absl::StatusOr<v1::Node> Update(const std::string& ref, const v1::NodeSpec& spec,
                                  std::optional<uint64_t> version = std::nullopt) {
    v1::UpdateNodeRequest request;
    request.set_ref(ref);
    v1::GetNodeRequest get;
    get.set_ref(ref);
    auto read = Await<v1::Node>([&](auto reply) { nodes.Get(get, std::move(reply)); });
    request.set_version(version.value_or(read.ok() ? read->meta().version() : 1));
    *request.mutable_spec() = spec;
    return Await<v1::Node>([&](auto reply) { nodes.Update(request, std::move(reply)); });
  }
  absl::Status Delete(const std::string& ref, bool force) {
    v1::DeleteNodeRequest request;
    request.set_ref(ref);
    request.set_force(force);
    return Await<v1::DeleteNodeResponse>(
               [&](auto reply) { nodes.Delete(request, std::move(reply)); })
        .status();
  }
  absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request) {
    return Await<v1::ListTasksResponse>([&](auto reply) { tasks.List(request, std::move(reply)); });
  }

  Nodes nodes{env, *store};
  Tasks tasks{*store};
};

TEST_F(NodesTest, ChangesAvailabilityAndLabelsAndKeepsTheRole) {
  AddNode("n1", v1::NodeStatus::STATE_READY);
  v1::NodeSpec spec;
  spec.set_availability(v1::NodeSpec::AVAILABILITY_DRAIN);
  (*spec.mutable_labels())["zone"] = "a";
  auto node = Update("n1", spec);
  ASSERT_OK(node);
  EXPECT_EQ(v1::NodeSpec::ROLE_WORKER, node->spec().role());
  EXPECT_EQ(v1::NodeSpec::AVAILABILITY_DRAIN, node->spec().availability());
  EXPECT_EQ("a", node->spec().labels().at("zone"));
}

TEST_F(NodesTest, RefusesPromotionByName) {
  AddNode("n1", v1::NodeStatus::STATE_READY);
  v1::NodeSpec spec;
  spec.set_role(v1::NodeSpec::ROLE_MANAGER);
  EXPECT_THAT(Update("n1", spec),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not built")));
}

TEST_F(NodesTest, RefusesAStaleVersion) {
  AddNode("n1", v1::NodeStatus::STATE_READY);
  EXPECT_THAT(Update("n1", {}, 99), StatusIs(absl::StatusCode::kAborted, HasSubstr("you read 99")));
}

TEST_F(NodesTest, RequiresAVersionForAnUpdate) {
  AddNode("n1", v1::NodeStatus::STATE_READY);
  EXPECT_THAT(Update("n1", {}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("version: is required")));
}

// A page must fit into one message of 4 MiB.
TEST_F(NodesTest, EndsAPageOfLargeNodesAtAboutAMebibyte) {
  for (int i = 0; i < 6; ++i) {
    const Id id = AddNode(StrCat("n", i), v1::NodeStatus::STATE_READY);
    ASSERT_OK(store->Update([&](WriteTx& tx) {
      Node node = *tx.view().GetNode(id);
      (*node.mutable_description()->mutable_engine_labels())["big"] = std::string(900 << 10, 'x');
      return tx.Put(node);
    }));
  }
  v1::ListNodesRequest request;
  int listed = 0;
  do {
    auto page =
        Await<v1::ListNodesResponse>([&](auto reply) { nodes.List(request, std::move(reply)); });
    ASSERT_OK(page);
    EXPECT_THAT(page->nodes(), SizeIs(2));
    listed += page->nodes_size();
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(6, listed);
}

TEST_F(NodesTest, EndsAPageOfTasksThatSayALotAtAboutAMebibyte) {
  const Id n1 = AddNode("n1", v1::NodeStatus::STATE_READY);
  Ref<Service> web = AddService("web", 5);
  for (uint32_t slot = 1; slot <= 5; ++slot) {
    const Id id = AddTask(*web, slot, TaskState::kFailed, n1);
    ASSERT_OK(store->Update([&](WriteTx& tx) {
      Task task = *tx.view().GetTask(id);
      auto detail = std::make_shared<TaskDetail>();
      detail->error = std::string(600 << 10, 'x');
      task.detail = std::move(detail);
      tx.Put(std::move(task));
      return absl::OkStatus();
    }));
  }
  for (const char* service : {"web", ""}) {
    v1::ListTasksRequest request;
    request.set_service_ref(service);
    int listed = 0;
    do {
      auto page = ListTasks(request);
      ASSERT_OK(page);
      EXPECT_LE(page->tasks_size(), 2);
      listed += page->tasks_size();
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    EXPECT_EQ(5, listed) << service;
  }
}

TEST_F(NodesTest, AsksForAnIdWhenSeveralNodesHaveTheHostName) {
  AddNode("twin", v1::NodeStatus::STATE_READY);
  AddNode("twin", v1::NodeStatus::STATE_READY);
  EXPECT_THAT(Update("twin", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 nodes")));
}

TEST_F(NodesTest, RemovesADownNodeAndOrphansItsTasks) {
  const Id node = AddNode("n1", v1::NodeStatus::STATE_DOWN);
  Ref<Service> web = AddService("web");
  const Id running = AddTask(*web, 1, TaskState::kRunning, node);
  const Id failed = AddTask(*web, 1, TaskState::kFailed, node);
  EXPECT_OK(Delete("n1", false));
  EXPECT_EQ(nullptr, store->view().GetNode(node));
  EXPECT_EQ(TaskState::kOrphaned, store->view().GetTask(running)->state);
  EXPECT_EQ("node n1 was removed", store->view().GetTask(running)->error());
  EXPECT_EQ(TaskState::kFailed, store->view().GetTask(failed)->state);
  EXPECT_TRUE(store->view().GetTask(failed)->gone);
}

TEST_F(NodesTest, RemovesALivingNodeOnlyByForce) {
  AddNode("n1", v1::NodeStatus::STATE_READY);
  EXPECT_THAT(Delete("n1", false),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not down")));
  EXPECT_OK(Delete("n1", true));
}

TEST_F(NodesTest, NeverRemovesAManager) {
  const Id id = AddNode("m1", v1::NodeStatus::STATE_DOWN);
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    Node node = *tx.view().GetNode(id);
    node.set_is_this_manager(true);
    return tx.Put(node);
  }));
  EXPECT_THAT(Delete("m1", true), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(NodesTest, ListsTasksByServiceAndNodeInPages) {
  const Id n1 = AddNode("n1", v1::NodeStatus::STATE_READY);
  const Id n2 = AddNode("n2", v1::NodeStatus::STATE_READY);
  Ref<Service> web = AddService("web", 20);
  Ref<Service> api = AddService("api", 5);
  for (uint32_t slot = 1; slot <= 20; ++slot) {
    AddTask(*web, slot, TaskState::kRunning, slot % 2 == 0 ? n1 : n2);
  }
  for (uint32_t slot = 1; slot <= 5; ++slot) AddTask(*api, slot, TaskState::kRunning, n1);

  v1::ListTasksRequest request;
  request.set_service_ref("web");
  request.set_page_size(7);
  std::vector<std::string> ids;
  do {
    auto page = ListTasks(request);
    ASSERT_OK(page);
    for (const v1::Task& task : page->tasks()) ids.push_back(task.id());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(ids, SizeIs(20));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));

  v1::ListTasksRequest both;
  both.set_service_ref("web");
  both.set_node_ref("n1");
  EXPECT_THAT(ListTasks(both)->tasks(), SizeIs(10));
  v1::ListTasksRequest node_only;
  node_only.set_node_ref("n1");
  EXPECT_THAT(ListTasks(node_only)->tasks(), SizeIs(15));
  EXPECT_THAT(ListTasks({})->tasks(), SizeIs(25));
  v1::ListTasksRequest unknown;
  unknown.set_service_ref("nope");
  EXPECT_THAT(ListTasks(unknown), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(NodesTest, FindsATaskByItsName) {
  Ref<Service> web = AddService("web", 3);
  const Id old = AddTask(*web, 2, TaskState::kFailed);
  const Id now = AddTask(*web, 2, TaskState::kRunning);
  const auto get = [&](const std::string& ref) {
    v1::GetTaskRequest request;
    request.set_ref(ref);
    return Await<v1::Task>([&](auto reply) { tasks.Get(request, std::move(reply)); });
  };
  EXPECT_EQ(now.ToString(), get("web.2")->id());
  EXPECT_EQ(old.ToString(), get("web.2." + old.ToString())->id());
  EXPECT_THAT(get("web.9"), StatusIs(absl::StatusCode::kNotFound, "task \"web.9\" not found"));
}

}  // namespace
}  // namespace swarm::manager
