#include "manager/api/services.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/strings.h"
#include "manager/api/services_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StatusIs;

class ServicesTest : public ServicesTestWorld {};

TEST_F(ServicesTest, CreatesAServiceWithItsFirstRevisionPinned) {
  const v1::Service web = MustCreate(SpecOf("web", "nginx", 3));
  EXPECT_EQ(kDigestA, web.image_digest());
  EXPECT_EQ(3u, web.status().desired_tasks());
  const Revision revision = RevisionOf(web);
  EXPECT_EQ(1u, revision.revision().number());
  EXPECT_EQ("docker.io/library/nginx:latest", revision.revision().image_reference());
  EXPECT_EQ("nginx", web.spec().task().container().image());
}

TEST_F(ServicesTest, ADryRunSaysWhatIsWrongAndMakesNothing) {
  v1::CreateServiceRequest request;
  *request.mutable_spec() = SpecOf("web", "nowhere:9");
  request.mutable_spec()->mutable_task()->add_networks()->set_target("not-made-yet");
  request.set_dry_run(true);
  const auto ask = [&] {
    absl::StatusOr<v1::CreateServiceResponse> answer = absl::UnknownError("not called");
    services.Create(request, [&](auto reply) { answer = std::move(reply); });
    loop.RunUntilIdle();
    return answer.status();
  };
  const uint64_t version = store->version();
  EXPECT_OK(ask());
  request.mutable_spec()->mutable_task()->mutable_container()->set_stop_signal("SIGFOO");
  EXPECT_THAT(ask(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("SIGFOO")));
  EXPECT_EQ(store->version(), version);
}

TEST_F(ServicesTest, ADryRunSaysWhichPortAServiceOutsideTheStackHas) {
  const auto planned = [](const std::string& name, const std::string& stack, uint32_t port) {
    v1::CreateServiceRequest request;
    *request.mutable_spec() = SpecOf(name, "nginx");
    if (!stack.empty()) {
      (*request.mutable_spec()->mutable_labels())["com.docker.stack.namespace"] = stack;
    }
    v1::PortConfig& published = *request.mutable_spec()->mutable_endpoint()->add_ports();
    published.set_target_port(80);
    published.set_published_port(port);
    return request;
  };
  const auto ask = [&](v1::CreateServiceRequest request) {
    request.set_dry_run(true);
    return Await<v1::CreateServiceResponse>(
               [&](auto reply) { services.Create(request, std::move(reply)); })
        .status();
  };
  MustCreate(planned("shop_web", "shop", 8080).spec());
  MustCreate(planned("alone", "", 9090).spec());
  const auto has = [](const std::string& what) {
    return StatusIs(absl::StatusCode::kInvalidArgument, "endpoint.ports[0]: port " + what);
  };
  EXPECT_OK(ask(planned("shop_web", "shop", 8080))) << "its own";
  EXPECT_OK(ask(planned("shop_new", "shop", 8080))) << "shop_web may give it up in this deploy";
  EXPECT_THAT(ask(planned("blog_web", "blog", 8080)),
              has("8080/tcp is published by service \"shop_web\" in ingress mode"));
  EXPECT_THAT(ask(planned("shop_new", "shop", 9090)),
              has("9090/tcp is published by service \"alone\" in ingress mode"));
  EXPECT_THAT(ask(planned("other", "", 9090)),
              has("9090/tcp is published by service \"alone\" in ingress mode"))
      << "no label is no stack";
  EXPECT_OK(ask(planned("blog_web", "blog", 8081)));
  // Host mode as far as the real one looks: a port of every node is nobody else's.
  v1::CreateServiceRequest host = planned("blog_web", "blog", 8080);
  host.mutable_spec()->mutable_endpoint()->mutable_ports(0)->set_publish_mode(
      v1::PortConfig::PUBLISH_MODE_HOST);
  EXPECT_THAT(ask(host), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ServicesTest, RefusesATakenName) {
  MustCreate(SpecOf("web", "nginx"));
  EXPECT_THAT(Create(SpecOf("web", "nginx")),
              StatusIs(absl::StatusCode::kAlreadyExists, "service name \"web\" is already in use"));
}

TEST_F(ServicesTest, RefusesAStaleVersionWithBothNumbers) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  auto updated = Update(read, SpecOf("web", "nginx", 2));
  ASSERT_OK(updated);
  EXPECT_THAT(Update(read, SpecOf("web", "nginx", 3)),
              StatusIs(absl::StatusCode::kAborted,
                       StrCat("service \"web\" was changed meanwhile: version ",
                              updated->service().meta().version(), ", you read ",
                              read.meta().version(), "; read it again")));
}

TEST_F(ServicesTest, AJobsProgressIsNoConflictForAnUpdateAnotherUsersIs) {
  v1::ServiceSpec spec = SpecOf("job", "nginx");
  spec.mutable_replicated_job()->set_total_completions(9);
  const v1::Service read = MustCreate(spec);
  const auto progress = [&](uint64_t completed) {
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      Service service = *tx.view().GetServiceByName("job");
      service.clear_runs();
      service.add_runs()->set_completed(completed);
      return tx.Put(std::move(service));
    }));
    loop.RunUntilIdle();
  };
  progress(1);
  progress(2);
  ASSERT_GT(Get("job")->meta().version(), read.meta().version());
  spec.mutable_replicated_job()->set_max_concurrent(3);
  const auto updated = Update(read, spec);
  ASSERT_OK(updated);
  EXPECT_EQ(2u, store->view().GetServiceByName("job")->runs(0).completed());
  progress(3);
  spec.mutable_replicated_job()->set_max_concurrent(4);
  EXPECT_THAT(Update(read, spec),
              StatusIs(absl::StatusCode::kAborted,
                       StrCat("service \"job\" was changed meanwhile: version ",
                              updated->service().meta().version(), ", you read ",
                              read.meta().version(), "; read it again")));
  EXPECT_OK(Update(updated->service(), spec));
}

TEST_F(ServicesTest, AVersionThatNobodyCanHaveReadIsRefused) {
  v1::Service read = MustCreate(SpecOf("web", "nginx"));
  read.mutable_meta()->set_version(read.meta().version() + 1);
  EXPECT_THAT(Update(read, SpecOf("web", "nginx", 2)), StatusIs(absl::StatusCode::kAborted, _));
}

TEST_F(ServicesTest, RefusesCirclesOfDependenciesBetweenRequests) {
  v1::ServiceSpec api = SpecOf("api", "nginx");
  api.add_depends_on()->set_service("db");
  v1::ServiceSpec db = SpecOf("db", "nginx");
  const v1::Service created_api = MustCreate(api);
  const v1::Service created_db = MustCreate(db);
  db.add_depends_on()->set_service("api");
  const std::string circle =
      "depends_on[0].service: created anew, none of them would ever start: db -> api -> db";
  EXPECT_THAT(Update(created_db, db), StatusIs(absl::StatusCode::kInvalidArgument, circle));
  v1::ServiceSpec cache = SpecOf("cache", "nginx");
  cache.add_depends_on()->set_service("web");
  MustCreate(cache);
  v1::ServiceSpec web = SpecOf("web", "nginx");
  web.add_depends_on()->set_service("cache");
  EXPECT_THAT(Create(web),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("web -> cache -> web")));
  EXPECT_EQ(store->view().GetServiceByName("web"), nullptr);
}

TEST_F(ServicesTest, ACircleThatIsThereAlreadyHoldsUpNoOtherChangeOfItsServices) {
  v1::ServiceSpec api = SpecOf("api", "nginx");
  api.add_depends_on()->set_service("db");
  MustCreate(api);
  MustCreate(SpecOf("db", "nginx"));
  EXPECT_OK(store->Update([&](WriteTx& tx) {  // as an earlier version let it in
    Service db = *tx.view().GetServiceByName("db");
    db.mutable_spec()->add_depends_on()->set_service("api");
    return tx.Put(std::move(db));
  }));
  loop.RunUntilIdle();
  v1::Service db = *Get("db");
  db.mutable_spec()->mutable_replicated()->set_replicas(2);
  EXPECT_OK(Update(db, db.spec()));
}

TEST_F(ServicesTest, RequiresAVersionForAnUpdate) {
  v1::Service read = MustCreate(SpecOf("web", "nginx"));
  read.mutable_meta()->set_version(0);
  EXPECT_THAT(Update(read, SpecOf("web", "nginx")),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("version: ")));
}

TEST_F(ServicesTest, ScalesWithoutANewRevision) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx", 1));
  auto updated = Update(read, SpecOf("web", "nginx", 5));
  ASSERT_OK(updated);
  EXPECT_EQ(read.revision_id(), updated->service().revision_id());
  EXPECT_EQ(5u, updated->service().spec().replicated().replicas());
  EXPECT_FALSE(updated->service().has_update_status());
}

TEST_F(ServicesTest, MakesARevisionOfAChangedTaskAndRemembersTheOneBefore) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  v1::ServiceSpec spec = read.spec();
  spec.mutable_task()->mutable_container()->add_env("A=1");
  auto updated = Update(read, spec);
  ASSERT_OK(updated);
  EXPECT_NE(read.revision_id(), updated->service().revision_id());
  EXPECT_EQ(2u, RevisionOf(updated->service()).revision().number());
  EXPECT_EQ(kDigestA, updated->service().image_digest());
  Ref<Service> record = store->view().GetServiceByName("web");
  EXPECT_EQ(read.revision_id(), record->previous_revision_id());
  EXPECT_EQ(v1::UpdateStatus::STATE_UPDATING, updated->service().update_status().state());
}

TEST_F(ServicesTest, OnlyHostPortsAndWhetherThereAreIngressPortsMakeARevision) {
  v1::Service web = MustCreate(SpecOf("web", "nginx"));
  v1::ServiceSpec spec = web.spec();
  const auto number_after = [&](const std::function<void(v1::EndpointSpec&)>& change) {
    change(*spec.mutable_endpoint());
    const auto updated = Update(*Get("web"), spec);
    EXPECT_THAT(updated, IsOk());
    return updated.ok() ? RevisionOf(updated->service()).revision().number() : 0;
  };
  EXPECT_EQ(number_after([](auto& e) { e.set_mode(v1::EndpointSpec::MODE_DNSRR); }), 1u);
  EXPECT_EQ(number_after([](auto& e) { e.set_mode(v1::EndpointSpec::MODE_VIP); }), 1u);
  EXPECT_EQ(number_after([](auto& e) { e.add_ports()->set_target_port(80); }), 2u);
  EXPECT_TRUE(RevisionOf(*Get("web")).revision().joins_ingress());
  EXPECT_EQ(number_after([](auto& e) {
              e.mutable_ports(0)->set_published_port(8080);
              e.add_ports()->set_target_port(81);
            }),
            2u);
  EXPECT_EQ(number_after([](auto& e) {
              e.mutable_ports(1)->set_publish_mode(v1::PortConfig::PUBLISH_MODE_HOST);
              e.mutable_ports(1)->set_published_port(81);
            }),
            3u);
  EXPECT_EQ(RevisionOf(*Get("web")).revision().host_ports_size(), 1);
  EXPECT_EQ(number_after([](auto& e) { e.mutable_ports(1)->set_name("admin"); }), 3u);
  EXPECT_EQ(number_after([](auto& e) { e.mutable_ports(1)->set_published_port(82); }), 4u);
  EXPECT_EQ(number_after([](auto& e) { e.mutable_ports()->DeleteSubrange(0, 1); }), 5u);
}

TEST_F(ServicesTest, RefusesWhatCannotBeReachedAtTheWrite) {
  v1::ServiceSpec spec = SpecOf("web", "nginx");
  spec.mutable_task()->add_networks()->set_target("front");
  EXPECT_THAT(Create(spec), StatusIs(absl::StatusCode::kInvalidArgument,
                                     "task.networks[0]: network \"front\" not found"));
  spec.mutable_task()->clear_networks();
  v1::PortConfig& port = *spec.mutable_endpoint()->add_ports();
  port.set_target_port(80);
  port.set_published_port(8080);
  MustCreate(spec);
  spec.set_name("other");
  EXPECT_THAT(Create(spec),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("by service \"web\"")));
  const v1::Service other = MustCreate(SpecOf("other", "nginx"));
  EXPECT_THAT(Update(other, spec), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(List().services_size(), 2);
}

TEST_F(ServicesTest, MakesARevisionWhenADurationThatWasUnsetBecomesZero) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  v1::ServiceSpec spec = read.spec();
  spec.mutable_task()->mutable_restart()->mutable_delay()->set_seconds(0);
  auto delayed = Update(read, spec);
  ASSERT_OK(delayed);
  EXPECT_NE(read.revision_id(), delayed->service().revision_id());
  spec.mutable_task()->mutable_container()->mutable_stop_grace_period()->set_seconds(0);
  auto stopped = Update(delayed->service(), spec);
  ASSERT_OK(stopped);
  EXPECT_NE(delayed->service().revision_id(), stopped->service().revision_id());
  auto same = Update(stopped->service(), spec);
  ASSERT_OK(same);
  EXPECT_EQ(stopped->service().revision_id(), same->service().revision_id());
}

TEST_F(ServicesTest, RefusesToRename) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  EXPECT_THAT(Update(read, SpecOf("www", "nginx")),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("name: ")));
}

TEST_F(ServicesTest, HidesAServiceThatIsBeingRemoved) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  EXPECT_OK(Delete("web"));
  EXPECT_OK(Delete("web"));
  EXPECT_TRUE(store->view().GetServiceByName("web")->removing());
  EXPECT_THAT(Get("web"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("being removed")));
  EXPECT_THAT(List().services(), IsEmpty());
  EXPECT_THAT(Update(read, SpecOf("web", "nginx")), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ServicesTest, SaysWhichServiceIsUnknown) {
  EXPECT_THAT(Delete("nope"), StatusIs(absl::StatusCode::kNotFound, "service \"nope\" not found"));
}

// `stack rm` followed by `stack deploy`.
TEST_F(ServicesTest, CreatesOnceTheOldServiceOfThatNameIsGone) {
  const v1::Service old = MustCreate(SpecOf("web", "nginx"));
  ASSERT_OK(Delete("web"));
  v1::CreateServiceRequest request;
  *request.mutable_spec() = SpecOf("web", "nginx");
  std::optional<absl::StatusOr<v1::CreateServiceResponse>> answer;
  services.Create(request, [&](auto a) { answer.emplace(std::move(a)); });
  loop.Advance(absl::Seconds(5));
  EXPECT_FALSE(answer.has_value());
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    tx.RemoveService(Id::ParseOrZero(old.id()));
    tx.RemoveRevision(Id::ParseOrZero(old.revision_id()));
    return absl::OkStatus();
  }));
  loop.RunUntilIdle();
  ASSERT_TRUE(answer.has_value());
  ASSERT_OK(*answer);
  EXPECT_NE(old.id(), (*answer)->service().id());
}

TEST_F(ServicesTest, GivesUpWaitingForANameAfterAMinute) {
  MustCreate(SpecOf("web", "nginx"));
  ASSERT_OK(Delete("web"));
  v1::CreateServiceRequest request;
  *request.mutable_spec() = SpecOf("web", "nginx");
  std::optional<absl::StatusOr<v1::CreateServiceResponse>> answer;
  services.Create(request, [&](auto a) { answer.emplace(std::move(a)); });
  loop.Advance(absl::Seconds(61));
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(*answer, StatusIs(absl::StatusCode::kAborted, HasSubstr("still being removed")));
}

TEST_F(ServicesTest, NamesTheLostNodeThatANameWaitsFor) {
  const Ref<Service> old = AddService("web");
  AddTask(*old, 1, TaskState::kRunning, AddNode("n1", v1::NodeStatus::STATE_READY));
  AddTask(*old, 2, TaskState::kRunning, AddNode("n2", v1::NodeStatus::STATE_DOWN));
  ASSERT_OK(Delete("web"));
  v1::CreateServiceRequest request;
  *request.mutable_spec() = SpecOf("web", "nginx");
  std::optional<absl::StatusOr<v1::CreateServiceResponse>> answer;
  services.Create(request, [&](auto a) { answer.emplace(std::move(a)); });
  loop.Advance(absl::Seconds(61));
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(*answer, StatusIs(absl::StatusCode::kAborted, HasSubstr("node n2 is down")));
}

TEST_F(ServicesTest, FindsByIdNameAndUniquePrefix) {
  const v1::Service web = MustCreate(SpecOf("web", "nginx"));
  const v1::Service api = MustCreate(SpecOf("api", "nginx"));
  EXPECT_EQ(web.id(), Get(web.id())->id());
  EXPECT_EQ(api.id(), Get("api")->id());
  EXPECT_EQ(web.id(), Get(web.id().substr(0, 12))->id());
  EXPECT_THAT(Get(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ServicesTest, CountsWhatAnAmbiguousPrefixFits) {
  size_t beginning_alike = 0;
  const v1::Service first = MustCreate(SpecOf("s0", "nginx"));
  for (int i = 1; i < 100; ++i) {
    beginning_alike += MustCreate(SpecOf(StrCat("s", i), "nginx")).id()[0] == first.id()[0];
  }
  ASSERT_GT(beginning_alike, 0u);
  EXPECT_THAT(Get(first.id().substr(0, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr(StrCat("ambiguous: ", beginning_alike + 1, " services"))));
}

TEST_F(ServicesTest, ListsByPagesWithFilters) {
  for (int i = 0; i < 7; ++i) {
    v1::ServiceSpec spec = SpecOf(StrCat(i % 2 == 0 ? "even" : "odd", i), "nginx");
    (*spec.mutable_labels())["stack"] = i < 4 ? "a" : "b";
    MustCreate(spec);
  }
  v1::ListServicesRequest request;
  request.set_page_size(3);
  std::vector<std::string> names;
  int pages = 0;
  do {
    const v1::ListServicesResponse page = List(request);
    for (const v1::Service& service : page.services()) names.push_back(service.spec().name());
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(3, pages);
  EXPECT_THAT(names, SizeIs(7));

  v1::ListServicesRequest filtered;
  (*filtered.mutable_labels())["stack"] = "b";
  filtered.set_name_prefix("odd");
  const v1::ListServicesResponse odd = List(filtered);
  ASSERT_THAT(odd.services(), SizeIs(1));
  EXPECT_EQ("odd5", odd.services(0).spec().name());
}

// A page must fit into one message of 4 MiB.
TEST_F(ServicesTest, EndsAPageAtAboutAMebibyte) {
  constexpr int kServices = 12;
  for (int i = 0; i < kServices; ++i) {
    v1::ServiceSpec spec = SpecOf(StrCat("s", i), "nginx");
    (*spec.mutable_labels())["big"] = std::string(200 << 10, 'x');
    MustCreate(spec);
  }
  v1::ListServicesRequest request;
  int listed = 0;
  int pages = 0;
  do {
    const v1::ListServicesResponse page = List(request);
    EXPECT_THAT(page.services(), ::testing::Not(IsEmpty()));
    EXPECT_LT(page.ByteSizeLong(), size_t{2} << 20);
    listed += page.services_size();
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(kServices, listed);
  EXPECT_EQ(2, pages);
}

TEST_F(ServicesTest, RefusesAnInventedPageToken) {
  v1::ListServicesRequest request;
  request.set_page_token("page 2");
  EXPECT_THAT(Await<v1::ListServicesResponse>(
                  [&](auto reply) { services.List(request, std::move(reply)); }),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("page_token: ")));
}

TEST_F(ServicesTest, CountsRunningTasksAtTheTimeOfTheAnswer) {
  MustCreate(SpecOf("web", "nginx", 2));
  Ref<Service> record = store->view().GetServiceByName("web");
  const Id node = AddNode("n1", v1::NodeStatus::STATE_READY);
  AddTask(*record, 1, TaskState::kRunning, node);
  AddTask(*record, 2, TaskState::kPending);
  EXPECT_EQ(1u, Get("web")->status().running_tasks());
  EXPECT_EQ(2u, Get("web")->status().desired_tasks());
}

// ------------------------------------------------------------------------------------------ images

TEST_F(ServicesTest, ScalingDuringAnUpdateKeepsTheWayBackAtTodaysScale) {
  v1::ServiceSpec spec;
  spec.set_name("scaled");
  spec.mutable_replicated()->set_replicas(2);
  spec.mutable_task()->mutable_container()->set_image("nginx");
  const auto created = Create(spec);
  ASSERT_THAT(created, IsOk());
  const std::string first = created->service().revision_id();
  spec.mutable_task()->mutable_container()->set_image("nginx:2");
  const auto updated = Update(created->service(), spec);
  ASSERT_THAT(updated, IsOk());
  spec.mutable_replicated()->set_replicas(5);
  const auto scaled = Update(updated->service(), spec);
  ASSERT_THAT(scaled, IsOk());
  EXPECT_EQ(scaled->service().previous_revision_id(), first);
  const auto record = store->view().GetServiceByName("scaled");
  EXPECT_EQ(record->previous_spec().task().container().image(), "nginx");
  EXPECT_EQ(record->previous_spec().replicated().replicas(), 5u);
}

}  // namespace
}  // namespace swarm::manager
