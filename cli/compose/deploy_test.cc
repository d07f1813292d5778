// What a stack file says about how its services live: deploy, healthcheck, depends_on.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include "cli/compose/stack.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

StackOptions Options() {
  return {.name = "shop", .env = [](std::string_view) { return std::nullopt; }, .read_file = {}};
}

absl::StatusOr<Stack> Load(std::string text) {
  return LoadStack({{"web.yml", "/srv", std::move(text)}}, Options());
}

std::string Web(const std::string& lines) {
  return StrCat("services:\n  web:\n    image: busybox\n", lines);
}

// Of the service `web`, besides its name, labels, image and the default network.
void ExpectWeb(const std::string& lines, const std::string& text) {
  const auto stack = Load(Web(lines));
  ASSERT_OK(stack);
  v1::ServiceSpec spec = stack->services.at(0).spec;
  spec.clear_name();
  spec.clear_labels();
  spec.mutable_task()->mutable_container()->clear_labels();
  spec.mutable_task()->mutable_container()->clear_image();
  spec.mutable_task()->clear_networks();
  if (spec.task().container().ByteSizeLong() == 0) spec.mutable_task()->clear_container();
  if (spec.task().ByteSizeLong() == 0) spec.clear_task();
  v1::ServiceSpec wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &wanted));
  google::protobuf::util::MessageDifferencer differ;
  std::string report;
  differ.ReportDifferencesToString(&report);
  EXPECT_TRUE(differ.Compare(wanted, spec)) << lines << report;
}

void ExpectInvalid(const std::string& lines, const std::string& words) {
  EXPECT_THAT(Load(Web(lines)), StatusIs(kInvalid, HasSubstr(words))) << lines;
}

TEST(DeployTest, KeysBesideDeploySayTheSameAsThoseInIt) {
  ExpectWeb(
      "    scale: 3\n    cpus: 1.5\n    mem_limit: 64m\n    mem_reservation: 32m\n    pids_limit: "
      "9\n",
      R"pb(
        replicated { replicas: 3 }
        task {
          resources {
            limits { nano_cpus: 1500000000 memory_bytes: 67108864 pids: 9 }
            reservations { memory_bytes: 33554432 }
          }
        })pb");
  ExpectWeb("    cpu_quota: 25000\n    platform: linux/arm64/v8\n", R"pb(
    replicated { replicas: 1 }
    task {
      resources { limits { nano_cpus: 250000000 } }
      placement { constraints: [ "node.platform.os==linux", "node.platform.arch==arm64" ] }
    })pb");
  // Twice the same is fine, two different ones are not.
  const std::string limits =
      "    deploy: {replicas: 2, resources: {limits: {cpus: '2', pids: 5}}}\n";
  ExpectWeb(StrCat("    scale: 2\n    cpus: 2\n    mem_limit: 1k\n", limits), R"pb(
    replicated { replicas: 2 }
    task { resources { limits { nano_cpus: 2000000000 memory_bytes: 1024 pids: 5 } } })pb");
  ExpectInvalid(StrCat("    scale: 3\n", limits),
                "scale: is another than deploy.replicas beside it");
  ExpectInvalid(StrCat("    cpus: 1\n", limits),
                "cpus: is another than deploy.resources.limits.cpus");
  ExpectInvalid(StrCat("    pids_limit: 6\n", limits), "pids_limit: is another than");
  ExpectInvalid("    scale: 2\n    deploy: {mode: global}\n", "scale: only replicated services");
  ExpectInvalid("    cpus: 1\n    cpu_quota: 1000\n", "cpus says it already");
  ExpectInvalid("    cpu_period: 1000\n", "says nothing without cpu_quota");
  ExpectInvalid("    pids_limit: -1\n", "must be a whole number from 1");
  ExpectInvalid("    mem_limit: lots\n", "services.web.mem_limit");
  ExpectInvalid("    platform: linux/\n", "must be like linux/amd64");
}

TEST(DeployTest, EachModeHasItsShape) {
  ExpectWeb("    deploy: {mode: global}\n", "global {}");
  ExpectWeb("    deploy: {mode: global-job}\n", "global_job {}");
  ExpectWeb("    deploy: {mode: replicated-job}\n", "replicated_job {}");
  ExpectWeb("    deploy: {mode: replicated-job, replicas: 5}\n",
            "replicated_job { total_completions: 5 max_concurrent: 5 }");
  ExpectWeb("    deploy: {mode: replicated-job, replicas: 5, max_concurrent: 2}\n",
            "replicated_job { total_completions: 5 max_concurrent: 2 }");
}

TEST(DeployTest, UpdateAndRollbackRulesReachTheirFields) {
  ExpectWeb(R"(
    deploy:
      update_config:
        parallelism: 0
        delay: 10s
        failure_action: rollback
        monitor: 1m
        max_failure_ratio: 0.25
        order: start-first
        deadline: 2m
      rollback_config: {parallelism: 2, failure_action: continue, order: stop-first}
)",
            R"pb(
              replicated { replicas: 1 }
              update {
                parallelism: 0
                delay { seconds: 10 }
                failure_action: FAILURE_ACTION_ROLLBACK
                monitor { seconds: 60 }
                max_failure_ratio: 0.25
                order: ORDER_START_FIRST
                progress_deadline { seconds: 120 }
              }
              rollback {
                parallelism: 2
                failure_action: FAILURE_ACTION_CONTINUE
                order: ORDER_STOP_FIRST
              })pb");
}

TEST(DeployTest, HealthChecksAreALineAListOrNone) {
  const std::pair<const char*, const char*> cases[] = {
      {"{test: curl -f localhost}", "test: ['CMD-SHELL', 'curl -f localhost']"},
      {"{test: [CMD, curl, -f, localhost]}", "test: ['CMD', 'curl', '-f', 'localhost']"},
      {"{test: [CMD-SHELL, 'a | b']}", "test: ['CMD-SHELL', 'a | b']"},
      {"{test: [NONE]}", "test: 'NONE'"},
      {"{disable: true}", "test: 'NONE'"},
      {"{test: [HTTP, 'http://:80/up']}", "test: ['HTTP', 'http://:80/up']"},
      {"{test: [TCP, '6379']}", "test: ['TCP', ':6379']"},
      {"{test: [GRPC, ':50051/a.B']}", "test: ['GRPC', ':50051/a.B']"},
      {"{interval: 1m30s, timeout: 10s, retries: 3, start_period: 40s, start_interval: 5s}",
       "interval { seconds: 90 } timeout { seconds: 10 } retries: 3 start_period { seconds: 40 } "
       "start_interval { seconds: 5 }"},
  };
  for (const auto& [yaml, text] : cases) {
    ExpectWeb(
        StrCat("    healthcheck: ", yaml, "\n"),
        StrCat("replicated { replicas: 1 } task { container { health_check { ", text, " } } }"));
  }
}

TEST(DeployTest, PlacementAndGenericResourcesReachTheirFields) {
  ExpectWeb(R"(
    deploy:
      placement:
        preferences: [{spread: node.labels.zone}, {spread: engine.labels.rack}]
        max_replicas_per_node: 2
        strategy: binpack
      resources:
        reservations:
          generic_resources:
            - discrete_resource_spec: {kind: gpu, value: 2}
)",
            R"pb(
              replicated { replicas: 1 }
              task {
                placement {
                  preferences { spread: "node.labels.zone" }
                  preferences { spread: "engine.labels.rack" }
                  max_replicas_per_node: 2
                  strategy: STRATEGY_BINPACK
                }
                resources { reservations { generic { kind: "gpu" count: 2 } } }
              })pb");
}

TEST(DeployTest, SchedulesAreALineOrAMap) {
  ExpectWeb("    deploy: {mode: replicated-job, schedule: '*/5 * * * *'}\n",
            "replicated_job {} schedule { expression: '*/5 * * * *' }");
  ExpectWeb(R"(
    deploy:
      mode: replicated-job
      schedule:
        cron: "@daily"
        time_zone: Europe/Berlin
        concurrency: replace
        history: 0
        starting_deadline: 1m
)",
            R"pb(
              replicated_job {}
              schedule {
                expression: "@daily"
                time_zone: "Europe/Berlin"
                concurrency: CONCURRENCY_REPLACE
                history: 0
                starting_deadline { seconds: 60 }
              })pb");
}

TEST(DeployTest, AutoscaleIsTheFlagsLineOrAMap) {
  constexpr char kWanted[] = R"pb(
    replicated { replicas: 1 }
    task { resources { limits { nano_cpus: 1000000000 } } }
    autoscale {
      min: 2
      max: 9
      cpu_percent: 70
      metrics { name: "queue" port: 9090 value: 10 }
      cooldown { seconds: 60 }
    })pb";
  constexpr char kLimits[] = "      resources: {limits: {cpus: '1'}}\n";
  ExpectWeb(StrCat("    deploy:\n", kLimits,
                   "      autoscale: min=2,max=9,cpu=70%,metric=queue:9090:10,cooldown=1m\n"),
            kWanted);
  for (const char* metric : {"{name: queue, port: 9090, value: 10}", "'queue:9090:10'"}) {
    ExpectWeb(StrCat("    deploy:\n", kLimits,
                     "      autoscale: {min: 2, max: 9, cpu: 70%, cooldown: 1m, metrics: [", metric,
                     "]}\n"),
              kWanted);
  }
}

TEST(DeployTest, WhatDoesNotGoTogetherIsRefusedWithItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"    deploy: {mode: global, replicas: 2}\n",
       "web.yml:4:38: services.web.deploy.replicas: a global service has one task on each node"},
      {"    deploy: {mode: global, placement: {max_replicas_per_node: 2}}\n",
       "deploy.placement.max_replicas_per_node: a global service"},
      {"    deploy: {max_concurrent: 2}\n", "use mode: replicated-job"},
      {"    deploy: {mode: replicated-job, replicas: 0}\n", "from 1"},
      {"    deploy: {mode: replicated-job, update_config: {delay: 1s}}\n",
       "deploy.update_config: a job is not changed in place"},
      {"    deploy: {schedule: '@daily'}\n", "deploy.schedule: only jobs run by a schedule"},
      {"    deploy: {mode: replicated-job, schedule: {history: 3}}\n",
       "deploy.schedule.cron: is missing"},
      {"    deploy: {mode: global, autoscale: 'min=1,max=2,cpu=1'}\n", "use mode: replicated"},
      {"    deploy: {autoscale: {min: 1, max: 2}}\n", "deploy.autoscale: nothing to go by"},
      {"    deploy: {autoscale: {min: 1, max: 2, cpu: 70%}}\n", "add resources.limits.cpus"},
      {"    deploy: {autoscale: {min: 1, max: 2, metrics: [x]}}\n",
       "deploy.autoscale.metrics: metric \"x\" must be"},
      {"    deploy: {update_config: {order: random}}\n",
       "web.yml:4:37: services.web.deploy.update_config.order: must be start-first or stop-first"},
      {"    deploy: {rollback_config: {failure_action: rollback}}\n", "pause or continue"},
      {"    deploy: {update_config: {max_failure_ratio: 2}}\n", "from 0 to 1"},
      {"    deploy: {update_config: {ordre: x}}\n", "did you mean order?"},
      {"    deploy: {placement: {preferences: [{spread: zone}]}}\n",
       "deploy.placement.preferences[0].spread: \"zone\" is no label"},
      {"    deploy: {placement: {preferences: [zone]}}\n", "preferences[0]: must be a map"},
      {"    deploy: {placement: {preferences: zone}}\n", "preferences: must be a list"},
      {"    deploy: {placement: {strategy: x}}\n", "must be spread or binpack"},
      {"    deploy: {resources: {reservations: {generic_resources: [{kind: gpu}]}}}\n",
       "generic_resources[0].kind: unknown key"},
      {"    deploy: {resources: {limits: {generic_resources: []}}}\n", "unknown key"},
      {"    healthcheck: {test: [SHELL, x]}\n", "healthcheck.test: must begin with CMD"},
      {"    healthcheck: {test: [HTTP, 'http://db:80/']}\n", "its own container, not db"},
      {"    healthcheck: {test: x, disable: true}\n", "healthcheck.disable: says"},
      {"    healthcheck: {intervall: 1s}\n", "did you mean interval?"},
      {"    healthcheck: true\n", "services.web.healthcheck: must be a map"},
  };
  for (const auto& [lines, words] : cases) ExpectInvalid(lines, words);
}

std::vector<std::string> Names(const absl::StatusOr<Stack>& stack) {
  std::vector<std::string> names;
  if (!stack.ok()) return {std::string(stack.status().message())};
  for (const StackService& service : stack->services) names.push_back(service.name);
  return names;
}

constexpr char kShop[] = R"(
services:
  web:
    image: busybox
    depends_on:
      api: {condition: service_healthy}
      seed: {condition: service_completed_successfully}
  api: {image: busybox, depends_on: [db]}
  seed: {image: busybox, deploy: {mode: replicated-job}, depends_on: {db: }}
  db: {image: busybox}
  mail: {image: busybox}
)";

TEST(DependsOnTest, NamesAreThoseOfTheStackAndWhatIsWaitedForGoesFirst) {
  const auto stack = Load(kShop);
  EXPECT_THAT(Names(stack), ElementsAre("db", "api", "seed", "web", "mail"));
  ASSERT_OK(stack);
  const v1::ServiceSpec& web = stack->services[3].spec;
  ASSERT_EQ(web.depends_on_size(), 2);
  EXPECT_EQ(web.depends_on(0).service(), "shop_api");
  EXPECT_EQ(web.depends_on(0).condition(), v1::Dependency::CONDITION_HEALTHY);
  EXPECT_EQ(web.depends_on(1).condition(), v1::Dependency::CONDITION_COMPLETED);
  EXPECT_EQ(stack->services[1].spec.depends_on(0).condition(), v1::Dependency::CONDITION_STARTED);
}

TEST(DependsOnTest, WhatCanNeverStartIsRefusedWithItsPlace) {
  EXPECT_THAT(
      Load("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n"
           "  c: {image: x, depends_on: [b]}\n"),
      StatusIs(kInvalid,
               "web.yml:4:29: services.c.depends_on: none of them would ever start: b waits "
               "for c waits for b"));
  EXPECT_THAT(Load("services: {a: {image: x, depends_on: [a]}}\n"),
              StatusIs(kInvalid, HasSubstr("a waits for a")));
  ExpectInvalid("    depends_on: [db]\n",
                "web.yml:4:18: services.web.depends_on.db: there is no such service in the file");
  ExpectInvalid("    depends_on: {web: {condition: service_ready}}\n",
                "depends_on.web.condition: must be service_started, service_healthy or");
  ExpectInvalid(
      "    depends_on: {db: {condition: service_completed_successfully}}\n"
      "  db: {image: x}\n",
      "db never completes, since it is no job");
  ExpectInvalid("    depends_on: db\n", "services.web.depends_on: must be a map");
}

TEST(DependsOnTest, RestartAndRequiredAreWarnings) {
  const auto stack = Load(
      Web("    depends_on: {db: {condition: service_started, restart: true}}\n  db: {image: x}\n"));
  ASSERT_OK(stack);
  EXPECT_THAT(stack->warnings,
              ElementsAre(AllOf(StartsWith("web.yml:4:51: services.web.depends_on.db.restart"),
                                HasSubstr("left out"))));
}

TEST(DeployTest, WhatConfigPrintsIsReadAgainAsTheSame) {
  const std::string file = StrCat(kShop, R"(
  all:
    image: busybox
    healthcheck: {test: [CMD-SHELL, 'echo $$HOME'], interval: 5s}
    deploy:
      resources:
        limits: {memory: 64m}
        reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}
      update_config: {order: start-first, max_failure_ratio: 0.1}
      placement: {preferences: [{spread: node.labels.zone}], strategy: spread}
      autoscale: {min: 1, max: 3, memory: 80%, metrics: [{name: q, port: 80, value: 2}]}
  nightly:
    image: busybox
    deploy: {mode: replicated-job, schedule: {cron: '30 2 * * *', concurrency: forbid}}
)");
  const auto once = RenderStack({{"a.yml", "/srv", file}}, Options(), nullptr);
  ASSERT_OK(once);
  const auto first = Load(file);
  const auto second = Load(*once);
  ASSERT_OK(first);
  ASSERT_OK(second);
  ASSERT_EQ(first->services.size(), second->services.size());
  for (size_t i = 0; i < first->services.size(); ++i) {
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(first->services[i].spec,
                                                                   second->services[i].spec))
        << *once;
  }
}

TEST(DeployTest, ASecondFilesTestReplacesTheFirstsAndDependenciesAdd) {
  const auto stack =
      LoadStack({{"a.yml", "/srv",
                  Web("    healthcheck: {test: [CMD, a], interval: 5s}\n    depends_on: [db]\n"
                      "  db: {image: x}\n  api: {image: x}\n")},
                 {"b.yml", "/srv",
                  "services: {web: {healthcheck: {test: [CMD, b]}, depends_on: {api: {condition: "
                  "service_healthy}}}}\n"}},
                Options());
  ASSERT_OK(stack);
  const v1::ServiceSpec& web = stack->services.back().spec;
  EXPECT_THAT(web.task().container().health_check().test(), ElementsAre("CMD", "b"));
  EXPECT_EQ(web.task().container().health_check().interval().seconds(), 5);
  EXPECT_EQ(web.depends_on_size(), 2);
}

}  // namespace
}  // namespace swarm::cli::compose
