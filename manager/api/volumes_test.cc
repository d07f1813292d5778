#include "manager/api/volumes.h"

#include <ctime>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "tests/support/api_world.h"
#include "tests/support/silent_dispatcher.h"

namespace swarm::manager {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;
constexpr auto kReady = v1::NodeStatus::STATE_READY;
constexpr auto kDown = v1::NodeStatus::STATE_DOWN;

// Keeps what nodes are sent; the test answers for them.
class FakeDispatcher : public SilentDispatcher {
 public:
  bool SendToNode(Id node, v1::ManagerMessage message) override {
    if (unreachable) return false;
    asked.emplace_back(node, message.remove_volume());
    return true;
  }
  void SetVolumeRemovedHandler(VolumeRemovedHandler handler) override {
    on_removed = std::move(handler);
  }

  void Answer(size_t i, const std::string& error = "") {
    v1::VolumeRemoved answer;
    answer.set_removal_id(asked.at(i).second.removal_id());
    answer.set_error(error);
    on_removed(asked.at(i).first, answer);
  }

  bool unreachable = false;
  std::vector<std::pair<Id, v1::RemoveVolume>> asked;
  VolumeRemovedHandler on_removed;
};

class VolumesTest : public ::testing::Test, public ApiWorld {
 protected:
  VolumesTest() {
    requests.Start();
    volumes.Start();
  }

  absl::StatusOr<v1::Volume> Create(const std::string& name,
                                    const std::map<std::string, std::string>& options = {}) {
    v1::CreateVolumeRequest request;
    request.mutable_spec()->set_name(name);
    for (const auto& [key, value] : options)
      (*request.mutable_spec()->mutable_options())[key] = value;
    return Await<v1::Volume>([&](auto reply) { volumes.Create(request, std::move(reply)); });
  }
  absl::StatusOr<v1::Volume> Get(const std::string& ref) {
    v1::GetVolumeRequest request;
    request.set_ref(ref);
    return Await<v1::Volume>([&](auto reply) { volumes.Get(request, std::move(reply)); });
  }
  std::vector<std::string> Names(v1::ListVolumesRequest request = {}) {
    const auto response = Await<v1::ListVolumesResponse>(
        [&](auto reply) { volumes.List(request, std::move(reply)); });
    EXPECT_THAT(response, IsOk());
    std::vector<std::string> names;
    for (const v1::Volume& volume : response->volumes()) names.push_back(volume.spec().name());
    if (!response->next_page_token().empty()) names.push_back("> " + response->next_page_token());
    return names;
  }
  void BeginDelete(const std::string& ref, bool force = false) {
    v1::DeleteVolumeRequest request;
    request.set_ref(ref);
    request.set_force(force);
    deleted = absl::UnknownError("no answer");
    volumes.Delete(request, [this](auto answer) { deleted = std::move(answer); });
    loop.RunUntilIdle();
  }
  void Hold(Id node, const std::string& name) {
    Node changed = *store->view().GetNode(node);
    v1::NodeVolume& volume = *changed.mutable_description()->add_volumes();
    volume.set_name(name);
    volume.set_driver("local");
    ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(changed); }));
    loop.RunUntilIdle();
  }
  // A service that mounts the volume.
  Ref<Service> AddUser(const std::string& name, const std::string& volume) {
    Service service = *AddService(name);
    Revision revision = *store->view().GetRevision(Id::ParseOrZero(service.revision_id()));
    for (v1::TaskSpec* task :
         {service.mutable_spec()->mutable_task(), revision.mutable_revision()->mutable_task()}) {
      v1::Mount& mount = *task->mutable_container()->add_mounts();
      mount.set_source(volume);
      mount.set_target("/data");
    }
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      EXPECT_OK(tx.Put(revision));
      return tx.Put(service);
    }));
    loop.RunUntilIdle();
    return store->view().GetService(Id::ParseOrZero(service.id()));
  }

  RequestLog requests{env, *store};
  FakeDispatcher dispatcher;
  Volumes volumes{env, *store, requests, dispatcher};
  absl::StatusOr<v1::DeleteVolumeResponse> deleted = absl::UnknownError("no answer");
};

TEST_F(VolumesTest, CreatesOnceAndAgainIsTheOneThatIsThere) {
  const auto first = Create("data");
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->spec().driver(), "local");
  EXPECT_FALSE(first->id().empty());
  EXPECT_EQ(Create("data")->id(), first->id());
  EXPECT_THAT(Create("data", {{"size", "1g"}}), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Create("-x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(VolumesTest, DoesNotGiveANameAnotherMeaningThanItHasOnANode) {
  Hold(AddNode("a", kReady), "data");
  const auto other = Create("data", {{"type", "tmpfs"}, {"device", "tmpfs"}});
  EXPECT_THAT(other, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(other.status().message(), HasSubstr("on node a"));
  EXPECT_THAT(Create("data"), IsOk());
}

TEST_F(VolumesTest, KnowsWhatNobodyCreatedByTheNodesThatHoldIt) {
  const Id a = AddNode("a", kReady);
  const Id b = AddNode("b", kReady);
  Hold(a, "held");
  Hold(b, "held");
  ASSERT_THAT(Create("created"), IsOk());
  EXPECT_THAT(Names(), ElementsAre("created", "held"));
  v1::ListVolumesRequest page;
  page.set_page_size(1);
  EXPECT_THAT(Names(page), ElementsAre("created", "> held"));
  page.set_page_token("held");
  EXPECT_THAT(Names(page), ElementsAre("held"));
  const Ref<Service> web = AddUser("web", "held");
  const Id task = AddTask(*web, 1, TaskState::kRunning, b);
  AddTask(*web, 2, TaskState::kFailed, a);
  const auto listed =
      Await<v1::ListVolumesResponse>([&](auto reply) { volumes.List(page, std::move(reply)); });
  ASSERT_THAT(listed, IsOk());
  ASSERT_EQ(listed->volumes_size(), 1);
  const auto held = Get("held");
  ASSERT_THAT(held, IsOk());
  EXPECT_EQ(listed->volumes(0).SerializeAsString(), held->SerializeAsString());
  EXPECT_EQ(held->id(), "");
  ASSERT_EQ(held->nodes_size(), 2);
  for (const v1::Volume::OnNode& place : held->nodes()) {
    if (place.node_id() == b.ToString()) {
      EXPECT_THAT(place.task_ids(), ElementsAre(task.ToString()));
    } else {
      EXPECT_THAT(place.task_ids(), IsEmpty());
    }
  }
  EXPECT_THAT(Get("nothing"), StatusIs(absl::StatusCode::kNotFound));
}

// In a time that grows as they do.
TEST_F(VolumesTest, CountsTheTasksOfManyHoldersInAMoment) {
  constexpr uint32_t kHolders = 10'000;
  const Ref<Service> web = AddUser("web", "held");
  std::map<std::string, std::string> task_of;  // by node
  ASSERT_OK(store->Update([&](WriteTx& tx) -> absl::Status {
    for (uint32_t i = 0; i < kHolders; ++i) {
      Node node;
      node.set_id(Id::Make(*random).ToString());
      node.mutable_description()->add_volumes()->set_name("held");
      Task task;
      task.id = Id::Make(*random);
      task.service_id = Id::ParseOrZero(web->id());
      task.node_id = Id::ParseOrZero(node.id());
      task.revision = store->view().GetRevision(Id::ParseOrZero(web->revision_id()));
      task.slot = i + 1;
      task.state = TaskState::kRunning;
      task_of[node.id()] = task.id.ToString();
      RETURN_IF_ERROR(tx.Put(std::move(node)));
      tx.Put(std::move(task));
    }
    return absl::OkStatus();
  }));
  const std::clock_t before = std::clock();  // of this process, however busy others are
  const auto held = Get("held");
  EXPECT_LT(std::clock() - before, 2 * CLOCKS_PER_SEC);
  ASSERT_THAT(held, IsOk());
  ASSERT_EQ(static_cast<uint32_t>(held->nodes_size()), kHolders);
  for (const v1::Volume::OnNode& place : held->nodes()) {
    EXPECT_THAT(place.task_ids(), ElementsAre(task_of[place.node_id()]));
  }
}

TEST_F(VolumesTest, IsNotRemovedWhileAServiceOrATaskUsesIt) {
  Hold(AddNode("a", kReady), "data");
  const Ref<Service> web = AddUser("web", "data");
  BeginDelete("data");
  EXPECT_THAT(deleted, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(deleted.status().message(), "volume \"data\" is in use by service \"web\"");
  EXPECT_THAT(dispatcher.asked, IsEmpty());
}

TEST_F(VolumesTest, IsRemovedOnEveryNodeThatHoldsItAndThenForgotten) {
  ASSERT_THAT(Create("data"), IsOk());
  const Id a = AddNode("a", kReady);
  const Id b = AddNode("b", kReady);
  AddNode("c", kReady);
  Hold(a, "data");
  Hold(b, "data");
  BeginDelete("data");
  ASSERT_EQ(dispatcher.asked.size(), 2u);
  EXPECT_EQ(dispatcher.asked[0].second.name(), "data");
  dispatcher.Answer(0);
  loop.RunUntilIdle();
  EXPECT_EQ(deleted.status().code(), absl::StatusCode::kUnknown);  // one is still at it
  dispatcher.Answer(1);
  loop.RunUntilIdle();
  EXPECT_THAT(deleted, IsOk());
  EXPECT_EQ(store->view().GetVolumeByName("data"), nullptr);
}

TEST_F(VolumesTest, SaysWhichNodeCouldNotRemoveItAndKeepsWhatItMeans) {
  ASSERT_THAT(Create("data"), IsOk());
  Hold(AddNode("a", kReady), "data");
  BeginDelete("data");
  dispatcher.Answer(0, "task t1 still uses it");
  loop.RunUntilIdle();
  EXPECT_THAT(deleted.status().message(), HasSubstr("node a: task t1 still uses it"));
  EXPECT_NE(store->view().GetVolumeByName("data"), nullptr);
  BeginDelete("data");
  loop.Advance(Volumes::kPatience);
  EXPECT_THAT(deleted.status().message(), HasSubstr("node a gave no answer"));
  dispatcher.unreachable = true;
  BeginDelete("data");
  EXPECT_THAT(deleted.status().message(), HasSubstr("node a cannot be reached"));
}

TEST_F(VolumesTest, NamesNodesThatAreDownAndLeavesItThereWhenForced) {
  ASSERT_THAT(Create("data"), IsOk());
  Hold(AddNode("a", kReady), "data");
  Hold(AddNode("far", kDown), "data");
  BeginDelete("data");
  EXPECT_THAT(deleted.status().message(), AllOf(HasSubstr("on node far"), HasSubstr("--force")));
  EXPECT_THAT(dispatcher.asked, IsEmpty());
  BeginDelete("data", /*force=*/true);
  dispatcher.Answer(0);
  loop.RunUntilIdle();
  ASSERT_THAT(deleted, IsOk());
  EXPECT_THAT(deleted->left_on(), ElementsAre("far"));
}

}  // namespace
}  // namespace swarm::manager
