#include "manager/api/mode_validation.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/api/validation.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Change = std::function<void(v1::ServiceSpec&)>;

v1::ServiceSpec Replicated(const Change& change = nullptr) {
  v1::ServiceSpec spec;
  spec.set_name("web");
  spec.mutable_replicated()->set_replicas(3);
  spec.mutable_task()->mutable_container()->set_image("app:1");
  if (change != nullptr) change(spec);
  return spec;
}

void Refuses(const Change& change, const std::string& path, const std::string& advice) {
  EXPECT_THAT(ValidateServiceSpec(Replicated(change)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr(path + ": "), HasSubstr(advice))));
}

void SetTest(v1::ServiceSpec& spec, const std::vector<std::string>& words) {
  auto& check = *spec.mutable_task()->mutable_container()->mutable_health_check();
  check.mutable_test()->Assign(words.begin(), words.end());
}

TEST(ModeValidationTest, EveryModeIsAccepted) {
  EXPECT_THAT(ValidateServiceSpec(Replicated()), IsOk());
  for (const Change& mode : {Change([](auto& s) { s.mutable_global(); }),
                             Change([](auto& s) { s.mutable_replicated_job(); }),
                             Change([](auto& s) { s.mutable_global_job(); })}) {
    EXPECT_THAT(ValidateServiceSpec(Replicated(mode)), IsOk());
  }
}

TEST(ModeValidationTest, JobsHaveNoUpdateRules) {
  Refuses([](auto& s) { s.mutable_replicated_job(), s.mutable_update(); }, "update",
          "begins a new run");
  Refuses([](auto& s) { s.mutable_global_job(), s.mutable_rollback(); }, "rollback",
          "begins a new run");
}

TEST(ModeValidationTest, UpdateRulesHaveBounds) {
  Refuses([](auto& s) { s.mutable_update()->set_max_failure_ratio(1.5); },
          "update.max_failure_ratio", "between 0 and 1");
  Refuses([](auto& s) { s.mutable_update()->mutable_monitor()->set_seconds(-1); }, "update.monitor",
          "");
  Refuses([](auto& s) { s.mutable_update()->mutable_progress_deadline(); },
          "update.progress_deadline", "above 0");
  Refuses(
      [](auto& s) {
        s.mutable_rollback()->set_failure_action(v1::UpdateConfig::FAILURE_ACTION_ROLLBACK);
      },
      "rollback.failure_action", "pause or continue");
}

TEST(ModeValidationTest, AGlobalServiceHasNoMaxPerNode) {
  Refuses(
      [](auto& s) {
        s.mutable_global();
        s.mutable_task()->mutable_placement()->set_max_replicas_per_node(2);
      },
      "task.placement.max_replicas_per_node", "leave this out");
}

TEST(ModeValidationTest, AJobThatWouldRunNothingIsRefused) {
  Refuses([](auto& s) { s.mutable_replicated_job()->set_max_concurrent(0); },
          "replicated_job.max_concurrent", "1 or more");
  Refuses([](auto& s) { s.mutable_replicated_job()->set_total_completions(0); },
          "replicated_job.total_completions", "1 or more");
}

TEST(ModeValidationTest, SchedulesAreForJobsAndMustParse) {
  Refuses([](auto& s) { s.mutable_schedule()->set_expression("* * * * *"); }, "schedule",
          "--mode replicated-job");
  Refuses(
      [](auto& s) {
        s.mutable_replicated_job();
        s.mutable_schedule()->set_expression("61 * * * *");
      },
      "schedule", "61");
  Refuses(
      [](auto& s) {
        s.mutable_replicated_job();
        s.mutable_schedule()->set_expression("0 3 * * *");
        s.mutable_schedule()->set_time_zone("Mars/Olympus");
      },
      "schedule", "Mars/Olympus");
  EXPECT_THAT(ValidateServiceSpec(Replicated([](auto& s) {
                s.mutable_replicated_job();
                s.mutable_schedule()->set_expression("*/5 * * * *");
                s.mutable_schedule()->set_time_zone("Europe/Berlin");
              })),
              IsOk());
}

TEST(ModeValidationTest, AutoscalingNeedsBoundsAndSomethingToGoBy) {
  const auto autoscale = [](v1::ServiceSpec& spec) -> v1::Autoscale& {
    spec.mutable_autoscale()->set_min(2);
    spec.mutable_autoscale()->set_max(8);
    return *spec.mutable_autoscale();
  };
  Refuses([&](auto& s) { autoscale(s); }, "autoscale", "cpu=70%");
  Refuses([&](auto& s) { autoscale(s).set_cpu_percent(70); }, "autoscale.cpu_percent",
          "--limit-cpu or --reserve-cpu");
  Refuses([&](auto& s) { autoscale(s).set_memory_percent(70); }, "autoscale.memory_percent",
          "--limit-memory");
  Refuses([&](auto& s) { autoscale(s).set_max(1); }, "autoscale.max", "below min");
  Refuses([&](auto& s) { autoscale(s).set_min(0); }, "autoscale.min", "at least 1");
  Refuses([&](auto& s) { autoscale(s), s.mutable_global(); }, "autoscale", "--mode replicated");
  Refuses(
      [&](auto& s) {
        v1::MetricTarget& metric = *autoscale(s).add_metrics();
        metric.set_name("requests in flight");
      },
      "autoscale.metrics[0].name", "Prometheus");
  EXPECT_THAT(
      ValidateServiceSpec(Replicated([&](auto& s) {
        autoscale(s).set_cpu_percent(70);
        s.mutable_task()->mutable_resources()->mutable_limits()->set_nano_cpus(1'000'000'000);
      })),
      IsOk());
}

TEST(ModeValidationTest, ProbesAreOfAKnownKindAndReachTheContainerAlone) {
  const std::string path = "task.container.health_check.test";
  Refuses([](auto& s) { SetTest(s, {"curl", "localhost"}); }, path, "NONE, CMD, CMD-SHELL");
  Refuses([](auto& s) { SetTest(s, {"CMD"}); }, path, "needs a program");
  Refuses([](auto& s) { SetTest(s, {"CMD-SHELL", "a", "b"}); }, path, "one line");
  Refuses([](auto& s) { SetTest(s, {"NONE", "x"}); }, path, "nothing after it");
  Refuses(
      [](auto& s) {
        SetTest(s, {"HTTP", "https://:8443/"});
      },
      path + "[1]", "http://:PORT/path");
  Refuses(
      [](auto& s) {
        SetTest(s, {"HTTP", "http://example.com:80/"});
      },
      path + "[1]", "reach the container alone");
  Refuses([](auto& s) { SetTest(s, {"TCP", "6379"}); }, path + "[1]", ":6379");
  for (const auto& words : std::vector<std::vector<std::string>>{{"NONE"},
                                                                 {"CMD", "/check", "-q"},
                                                                 {"CMD-SHELL", "test -e /ok"},
                                                                 {"HTTP", "http://:8080/health"},
                                                                 {"TCP", ":6379"},
                                                                 {"GRPC", "localhost:50051/db"}}) {
    EXPECT_THAT(ValidateServiceSpec(Replicated([&](auto& s) { SetTest(s, words); })), IsOk())
        << words[0];
  }
}

TEST(ModeValidationTest, ProbesNeedAMillisecond) {
  Refuses(
      [](auto& s) {
        SetTest(s, {"TCP", ":1"});
        s.mutable_task()
            ->mutable_container()
            ->mutable_health_check()
            ->mutable_interval()
            ->set_nanos(500);
      },
      "task.container.health_check.interval", "below 1ms");
}

TEST(ModeValidationTest, PreferencesAreLabels) {
  Refuses(
      [](auto& s) {
        s.mutable_task()->mutable_placement()->add_preferences()->set_spread("node.hostname");
      },
      "task.placement.preferences[0].spread", "node.labels.NAME");
}

TEST(ModeValidationTest, GenericResourcesAreAskedForByNumber) {
  const auto ask = [](v1::ServiceSpec& spec) -> v1::GenericResource& {
    auto& reserved = *spec.mutable_task()->mutable_resources()->mutable_reservations();
    v1::GenericResource& gpu = *reserved.add_generic();
    gpu.set_kind("gpu");
    gpu.set_count(1);
    return gpu;
  };
  Refuses([&](auto& s) { ask(s).set_count(0); }, "task.resources.reservations.generic[0].count",
          "at least 1");
  Refuses([&](auto& s) { ask(s).add_ids("GPU-1"); }, "task.resources.reservations.generic[0].ids",
          "asks for a number");
  Refuses([&](auto& s) { ask(s), ask(s); }, "task.resources.reservations.generic[1].kind",
          "given twice");
  EXPECT_THAT(ValidateServiceSpec(Replicated([&](auto& s) { ask(s); })), IsOk());
}

TEST(ModeValidationTest, AServiceCannotWaitForItself) {
  Refuses([](auto& s) { s.add_depends_on()->set_service("web"); }, "depends_on[0].service",
          "never start");
}

TEST(ModeValidationTest, WarnsWhenTheMonitorEndsBeforeAHealthCheckCanFail) {
  const v1::ServiceSpec spec = Replicated([](auto& s) {
    SetTest(s, {"TCP", ":6379"});
    auto& check = *s.mutable_task()->mutable_container()->mutable_health_check();
    check.mutable_interval()->set_seconds(10);
    check.set_retries(3);
    check.mutable_start_period()->set_seconds(5);
    s.mutable_update()->mutable_monitor()->set_seconds(10);
  });
  EXPECT_THAT(WarningsAbout(spec, 3),
              ElementsAre(AllOf(HasSubstr("update.monitor"), HasSubstr("--update-monitor 35s"))));
}

TEST(ModeValidationTest, WarnsWhenNodesCannotHoldTheReplicas) {
  const v1::ServiceSpec spec = Replicated([](auto& s) {
    s.mutable_replicated()->set_replicas(10);
    s.mutable_task()->mutable_placement()->set_max_replicas_per_node(2);
  });
  EXPECT_THAT(WarningsAbout(spec, 3), ElementsAre(HasSubstr("6 of 10")));
  EXPECT_THAT(WarningsAbout(spec, 5), IsEmpty());
}

}  // namespace
}  // namespace swarm::manager
