#include "manager/api/networks.h"

#include <string>
#include <vector>

#include "manager/api/change_feed.h"
#include "manager/api/tasks.h"
#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

class NetworksTest : public ::testing::Test, public ApiWorld {
 protected:
  NetworksTest() {
    requests.Start();
    networks.Start();
  }

  absl::StatusOr<v1::Network> Create(const v1::NetworkSpec& spec,
                                     const std::string& request_id = "") {
    v1::CreateNetworkRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    return Await<v1::Network>([&](auto reply) { networks.Create(request, std::move(reply)); });
  }
  v1::Network MustCreate(const std::string& name) {
    auto created = Create(Named(name));
    EXPECT_THAT(created, IsOk());
    return created.value_or(v1::Network());
  }
  static v1::NetworkSpec Named(const std::string& name) {
    v1::NetworkSpec spec;
    spec.set_name(name);
    return spec;
  }
  absl::StatusOr<v1::Network> Get(const std::string& ref) {
    v1::GetNetworkRequest request;
    request.set_ref(ref);
    return Await<v1::Network>([&](auto reply) { networks.Get(request, std::move(reply)); });
  }
  absl::StatusOr<v1::ListNetworksResponse> List(v1::ListNetworksRequest request = {}) {
    return Await<v1::ListNetworksResponse>(
        [&](auto reply) { networks.List(request, std::move(reply)); });
  }
  static std::vector<std::string> NamesOf(const v1::ListNetworksResponse& response) {
    std::vector<std::string> names;
    for (const auto& network : response.networks()) names.push_back(network.spec().name());
    std::sort(names.begin(), names.end());
    return names;
  }
  absl::Status Delete(const std::string& ref) {
    v1::DeleteNetworkRequest request;
    request.set_ref(ref);
    return Await<v1::DeleteNetworkResponse>(
               [&](auto reply) { networks.Delete(request, std::move(reply)); })
        .status();
  }
  void Change(const Ref<Service>& service, const std::function<void(Service&)>& change) {
    Service changed = *store->view().GetService(Id::ParseOrZero(service->id()));
    change(changed);
    ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(changed); }));
    loop.RunUntilIdle();
  }
  static void Join(Service& service, const std::string& network) {
    service.mutable_spec()->mutable_task()->add_networks()->set_target(network);
  }
  void RemoveService(const Ref<Service>& service) {
    ASSERT_OK(store->Update([&](WriteTx& tx) {
      tx.RemoveService(Id::ParseOrZero(service->id()));
      return absl::OkStatus();
    }));
    loop.RunUntilIdle();
  }

  RequestLog requests{env, *store};
  Networks networks{env, *store, requests};
};

TEST_F(NetworksTest, ANewNetworkHasSubnetGatewayAndVni) {
  const v1::Network front = MustCreate("front");
  ASSERT_EQ(front.ipam_size(), 1);
  EXPECT_EQ(front.ipam(0).subnet(), "10.0.1.0/24");
  EXPECT_EQ(front.ipam(0).gateway(), "10.0.1.1");
  EXPECT_EQ(front.vni(), 4096u);
  EXPECT_EQ(front.scope(), "swarm");
  EXPECT_EQ(front.spec().ipam_size(), 0) << "what the user wrote is not rewritten";
  EXPECT_EQ(Get("front")->id(), front.id());
  EXPECT_EQ(Get(front.id().substr(0, 10))->id(), front.id());
  EXPECT_THAT(Get("back"), StatusIs(absl::StatusCode::kNotFound, "network \"back\" not found"));
}

TEST_F(NetworksTest, ANameIsTakenOnceAndARetryIsHarmless) {
  const auto first = Create(Named("front"), "request");
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(Create(Named("front"), "request")->id(), first->id());
  EXPECT_THAT(Create(Named("front")), StatusIs(absl::StatusCode::kAlreadyExists,
                                               "network name \"front\" is already in use"));
  ASSERT_OK(Delete("front"));
  EXPECT_THAT(Create(Named("front"), "request"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(NetworksTest, RefusesASubnetThatOverlapsAnotherNetworksAndNamesIt) {
  MustCreate("front");
  v1::NetworkSpec spec = Named("back");
  spec.add_ipam()->set_subnet("10.0.0.0/16");
  EXPECT_THAT(Create(spec),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "ipam[0].subnet: 10.0.0.0/16 overlaps 10.0.1.0/24 of network front"));
  EXPECT_THAT(Get("back"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(NetworksTest, ThereIsOneIngressNetwork) {
  v1::NetworkSpec spec = Named("edge");
  spec.set_ingress(true);
  ASSERT_THAT(Create(spec), IsOk());
  EXPECT_EQ(Get("edge")->ipam(0).subnet(), "10.0.0.0/24");
  spec.set_name("second");
  EXPECT_THAT(Create(spec),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("network \"edge\" is")));
}

TEST_F(NetworksTest, HostAndNoneAreThereAndStay) {
  EXPECT_EQ(Get("host")->scope(), "local");
  EXPECT_EQ(Get("none")->spec().driver(), "none");
  EXPECT_THAT(Delete("host"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                       "network \"host\" is predefined and cannot be removed"));
  MustCreate("front");
  EXPECT_THAT(NamesOf(*List()), ElementsAre("front", "host", "none"));
}

TEST_F(NetworksTest, ListsByLabelNameAndPage) {
  v1::NetworkSpec spec = Named("back");
  (*spec.mutable_labels())["tier"] = "2";
  ASSERT_THAT(Create(spec), IsOk());
  for (const char* name : {"f1", "f2", "f3"}) MustCreate(name);
  v1::ListNetworksRequest request;
  (*request.mutable_labels())["tier"] = "";
  EXPECT_THAT(NamesOf(*List(request)), ElementsAre("back"));
  request.Clear();
  request.set_name_prefix("f");
  request.set_page_size(2);
  const auto first = List(request);
  EXPECT_EQ(first->networks_size(), 2);
  request.set_page_token(first->next_page_token());
  const auto rest = List(request);
  EXPECT_EQ(rest->networks_size(), 1);
  EXPECT_EQ(rest->next_page_token(), "");
}

TEST_F(NetworksTest, ANetworkInUseIsKeptAndItsUsersAreNamed) {
  MustCreate("front");
  const Ref<Service> web = AddService("web");
  const Ref<Service> db = AddService("db");
  Change(web, [](Service& s) { Join(s, "front"); });
  EXPECT_THAT(Delete("front"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        "network \"front\" is in use by service \"web\""));
  Change(db, [&](Service& s) { Join(s, Get("front")->id()); });
  EXPECT_THAT(Delete("front"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"db\"")));
  RemoveService(web);
  RemoveService(db);
  EXPECT_OK(Delete("front"));
}

TEST_F(NetworksTest, TheIngressNetworkIsKeptWhileAPortIsPublished) {
  v1::NetworkSpec spec = Named("ingress");
  spec.set_ingress(true);
  ASSERT_THAT(Create(spec), IsOk());
  const Ref<Service> web = AddService("web");
  Change(web, [](Service& s) {
    s.mutable_spec()->mutable_endpoint()->add_ports()->set_target_port(80);
  });
  EXPECT_THAT(Delete("ingress"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"web\"")));
  Change(web, [](Service& s) { s.mutable_spec()->clear_endpoint(); });
  EXPECT_OK(Delete("ingress"));
}

TEST_F(NetworksTest, DeleteWaitsForServicesThatAreBeingRemoved) {
  const Id front = Id::ParseOrZero(MustCreate("front").id());
  const Ref<Service> web = AddService("web");
  Revision revision = *store->view().GetRevision(Id::ParseOrZero(web->revision_id()));
  revision.mutable_revision()->mutable_task()->add_networks()->set_target("front");
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(revision); }));
  const Id task = AddTask(*web, 1, TaskState::kRunning);
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    Task there = *tx.view().GetTask(task);
    TaskExtras extras;
    extras.addresses.push_back({front, *IpAddress::Parse("10.0.1.2"), {}});
    there.extras = std::make_shared<const TaskExtras>(extras);
    tx.Put(there);
    return absl::OkStatus();
  }));
  EXPECT_THAT(Delete("front"), StatusIs(absl::StatusCode::kFailedPrecondition))
      << "a task is there";
  Change(web, [](Service& s) { s.set_removing(true); });
  std::vector<absl::Status> answers;
  v1::DeleteNetworkRequest request;
  request.set_ref("front");
  const auto note = [&](absl::StatusOr<v1::DeleteNetworkResponse> answer) {
    answers.push_back(answer.status());
  };
  networks.Delete(request, note);
  loop.Advance(Networks::kUsersPatience);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_THAT(answers[0],
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("which still end")));
  networks.Delete(request, note);
  loop.Advance(absl::Seconds(1));
  ASSERT_EQ(answers.size(), 1u);
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.RemoveTask(task), absl::OkStatus(); }));
  RemoveService(web);
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_OK(answers[1]);
  EXPECT_EQ(store->view().GetNetwork(front), nullptr);
}

TEST_F(NetworksTest, WatchersSeeNetworks) {
  FakeSink<v1::WatchEvent> sink;
  v1::WatchRequest request;
  request.add_kinds(v1::WatchRequest::KIND_NETWORK);
  auto feed = ChangeFeed::Open(env, *store, request, sink);
  ASSERT_THAT(feed, IsOk());
  AddService("web");
  MustCreate("front");
  ASSERT_OK(Delete("front"));
  loop.RunUntilIdle();
  ASSERT_EQ(sink.messages.size(), 3u);  // STARTED first
  EXPECT_EQ(sink.messages[1].network().spec().name(), "front");
  EXPECT_EQ(sink.messages[2].action(), v1::WatchEvent::ACTION_REMOVE);
}

TEST_F(NetworksTest, TasksAreListedByTheirNetwork) {
  MustCreate("front");
  const Ref<Service> web = AddService("web");
  const Ref<Service> other = AddService("other");
  Revision revision = *store->view().GetRevision(Id::ParseOrZero(web->revision_id()));
  revision.mutable_revision()->mutable_task()->add_networks()->set_target("front");
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(revision); }));
  const Id task = AddTask(*web, 1, TaskState::kRunning);
  AddTask(*other, 1, TaskState::kRunning);
  Tasks tasks(*store);
  v1::ListTasksRequest request;
  request.set_network_ref("front");
  const auto listed =
      Await<v1::ListTasksResponse>([&](auto reply) { tasks.List(request, std::move(reply)); });
  ASSERT_THAT(listed, IsOk());
  ASSERT_EQ(listed->tasks_size(), 1);
  EXPECT_EQ(listed->tasks(0).id(), task.ToString());
  request.set_network_ref("back");
  EXPECT_THAT(
      Await<v1::ListTasksResponse>([&](auto reply) { tasks.List(request, std::move(reply)); }),
      StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace swarm::manager
