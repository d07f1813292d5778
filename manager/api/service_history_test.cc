#include "manager/api/service_history.h"

#include <string>

#include "manager/network_rules.h"
#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

class ServiceHistoryTest : public ::testing::Test, public ApiWorld {
 protected:
  ServiceHistoryTest() : requests(env, *store), history(env, *store, requests) {
    requests.Start();
    AddRevision(1, "app:1");
  }

  // The service's next revision, as an update writes it.
  void AddRevision(uint64_t number, const std::string& image) {
    EXPECT_OK(store->Update([&](WriteTx& tx) -> absl::Status {
      Service service;
      if (const auto known = tx.view().GetServiceByName("web")) service = *known;
      if (number > 1) {
        *service.mutable_previous_spec() = service.spec();
        service.set_previous_revision_id(service.revision_id());
      } else {
        service.set_id(Id::Make(*random).ToString());
        service.mutable_spec()->set_name("web");
        service.mutable_spec()->mutable_replicated()->set_replicas(3);
      }
      service.mutable_spec()->mutable_task()->mutable_container()->set_image(image);
      Revision record;
      record.mutable_revision()->set_id(Id::Make(*random).ToString());
      record.mutable_revision()->set_service_id(service.id());
      record.mutable_revision()->set_number(number);
      *record.mutable_revision()->mutable_task() = service.spec().task();
      SetPorts(service.spec(), *record.mutable_revision());
      record.mutable_revision()->mutable_task()->mutable_placement()->add_platforms()->set_os(
          "linux");
      service.set_revision_id(record.revision().id());
      if (absl::Status s = tx.Put(std::move(record)); !s.ok()) return s;
      return tx.Put(std::move(service));
    }));
    loop.RunUntilIdle();
  }
  absl::StatusOr<v1::UpdateServiceResponse> RollBack(uint64_t to = 0, uint64_t version = 0,
                                                     const std::string& request_id = "") {
    v1::RollbackServiceRequest request;
    request.set_ref("web");
    request.set_to_revision(to);
    request.set_version(version);
    request.set_request_id(request_id);
    return Await<v1::UpdateServiceResponse>(
        [&](auto reply) { history.RollBack(request, std::move(reply)); });
  }
  std::string Image() {
    return store->view().GetServiceByName("web")->spec().task().container().image();
  }

  RequestLog requests;
  ServiceHistory history;
};

TEST_F(ServiceHistoryTest, GoesBackToTheSpecBeforeTheLastUpdate) {
  AddRevision(2, "app:2");
  const auto answer = RollBack();
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->service().revision(), 1u);
  EXPECT_EQ(answer->service().update_status().state(), v1::UpdateStatus::STATE_ROLLBACK_STARTED);
  EXPECT_EQ(Image(), "app:1");
}

TEST_F(ServiceHistoryTest, GoesBackToAnyKeptRevisionAndForthAgain) {
  AddRevision(2, "app:2");
  AddRevision(3, "app:3");
  ASSERT_THAT(RollBack(1), IsOk());
  EXPECT_EQ(Image(), "app:1");
  // What the manager filled in is no part of the user's spec.
  EXPECT_FALSE(store->view().GetServiceByName("web")->spec().task().has_placement());
  ASSERT_THAT(RollBack(), IsOk());
  EXPECT_EQ(Image(), "app:3");
}

TEST_F(ServiceHistoryTest, SaysWhichRevisionsAreKept) {
  AddRevision(2, "app:2");
  EXPECT_THAT(RollBack(7),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("kept are 2, 1")));
  EXPECT_THAT(RollBack(2),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("at revision 2 already")));
}

TEST_F(ServiceHistoryTest, ARevisionWhoseConfigWasRemovedIsRefusedWithItsName) {
  const auto put = [&](Id id) {
    Config config;
    config.set_id(id.ToString());
    config.mutable_spec()->set_name("app.conf");
    EXPECT_OK(store->Update([&](WriteTx& tx) { return tx.Put(config); }));
  };
  const auto name_it = [&](const std::string& id) {
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      Service service = *tx.view().GetServiceByName("web");
      v1::ContainerSpec& container = *service.mutable_spec()->mutable_task()->mutable_container();
      container.clear_configs();
      if (!id.empty()) {
        container.add_configs()->set_config_id(id);
        container.mutable_configs(0)->set_config_name("app.conf");
      }
      return tx.Put(std::move(service));
    }));
  };
  const Id config = Id::Make(*random);
  put(config);
  name_it(config.ToString());
  AddRevision(2, "app:2");
  name_it("");
  AddRevision(3, "app:3");
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    tx.RemoveConfig(config);
    return absl::OkStatus();
  }));
  const uint64_t version = store->version();
  const auto names_it = StatusIs(
      absl::StatusCode::kFailedPrecondition,
      "revision 2 of service \"web\" needs the config \"app.conf\", which was removed: go back to "
      "another revision, or make one like it and give it to the service with service update "
      "--config-add");
  EXPECT_THAT(RollBack(2), names_it);
  EXPECT_THAT(RollBack(), names_it);
  EXPECT_EQ(store->version(), version);
  // One of the same name is not the one that it had.
  put(Id::Make(*random));
  EXPECT_THAT(RollBack(2), names_it);
  EXPECT_THAT(RollBack(1), IsOk());
}

TEST_F(ServiceHistoryTest, ANewServiceHasNothingToGoBackTo) {
  EXPECT_THAT(RollBack(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("never updated")));
}

TEST_F(ServiceHistoryTest, AStaleVersionIsRefusedAndARetryIsNotDoneTwice) {
  AddRevision(2, "app:2");
  EXPECT_THAT(RollBack(0, 1), StatusIs(absl::StatusCode::kAborted, HasSubstr("read it again")));
  ASSERT_THAT(RollBack(0, 0, "once"), IsOk());
  ASSERT_THAT(RollBack(0, 0, "once"), IsOk());
  EXPECT_EQ(Image(), "app:1");
}

TEST_F(ServiceHistoryTest, AJobCannotBeRolledBack) {
  EXPECT_OK(store->Update([&](WriteTx& tx) {
    Service service = *tx.view().GetServiceByName("web");
    service.mutable_spec()->mutable_replicated_job();
    return tx.Put(std::move(service));
  }));
  EXPECT_THAT(RollBack(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is a job")));
}

TEST_F(ServiceHistoryTest, ListsTheNewestRevisionFirst) {
  AddRevision(2, "app:2");
  v1::ListRevisionsRequest request;
  request.set_service_ref("web");
  const auto answer = Await<v1::ListRevisionsResponse>(
      [&](auto reply) { history.List(request, std::move(reply)); });
  ASSERT_THAT(answer, IsOk());
  ASSERT_THAT(answer->revisions(), SizeIs(2));
  EXPECT_EQ(answer->revisions(0).number(), 2u);
  EXPECT_TRUE(answer->revisions(0).meta().has_created_at());
}

TEST_F(ServiceHistoryTest, RebalancingSaysHowManyMovesItTakes) {
  v1::RebalanceServiceRequest request;
  request.set_ref("web");
  const auto answer = Await<v1::RebalanceServiceResponse>(
      [&](auto reply) { history.Rebalance(request, std::move(reply)); });
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->moves(), 0u);
}

TEST_F(ServiceHistoryTest, GoingBackToARevisionTakesItsPortsAlong) {
  const auto set_ports = [&](bool host) {
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      Service service = *tx.view().GetServiceByName("web");
      service.mutable_spec()->clear_endpoint();
      v1::PortConfig& port = *service.mutable_spec()->mutable_endpoint()->add_ports();
      port.set_target_port(80);
      port.set_published_port(8080);
      if (host) port.set_publish_mode(v1::PortConfig::PUBLISH_MODE_HOST);
      return tx.Put(service);
    }));
  };
  set_ports(/*host=*/true);
  AddRevision(4, "app:4");
  set_ports(/*host=*/false);
  AddRevision(5, "app:5");
  ASSERT_THAT(RollBack(4), IsOk());
  const auto ports = [&] {
    return store->view().GetServiceByName("web")->spec().endpoint().ports();
  };
  ASSERT_EQ(ports().size(), 1);
  EXPECT_TRUE(IsHostPort(ports()[0]));
  EXPECT_THAT(RollBack(5), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("has ports in ingress mode")));
  ASSERT_THAT(RollBack(1), IsOk());
  EXPECT_EQ(ports().size(), 0);
}

}  // namespace
}  // namespace swarm::manager
