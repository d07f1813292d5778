// The flags for a service's rules, from words to spec.
#include "cli/service_flag_themes.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include "cli/service_flags_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::testing::HasSubstr;

// Without the image, which is in each of them.
void ExpectSpec(absl::StatusOr<v1::ServiceSpec> spec, const std::string& text) {
  ASSERT_OK(spec);
  v1::ServiceSpec wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &wanted));
  wanted.mutable_task()->mutable_container()->set_image("img");
  google::protobuf::util::MessageDifferencer differ;
  std::string report;
  differ.ReportDifferencesToString(&report);
  EXPECT_TRUE(differ.Compare(wanted, *spec)) << report;
}

void ExpectUsage(const absl::Status& status, const std::string& words) {
  EXPECT_EQ(ExitCodeOf(status), 2) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(words));
}

// --------------------------------------------------------------------------------------- mode

TEST(ModeFlagsTest, EachModeHasItsShape) {
  ExpectSpec(Create({"--mode=replicated", "--replicas=3"}), "replicated { replicas: 3 }");
  ExpectSpec(Create({"--mode", "global"}), "global {}");
  ExpectSpec(Create({"--mode=global-job"}), "global_job {}");
  ExpectSpec(Create({"--mode=replicated-job"}), "replicated_job {}");
}

TEST(ModeFlagsTest, ReplicasOfAJobAreItsCompletionsAllAtOnceUnlessToldOtherwise) {
  ExpectSpec(Create({"--mode=replicated-job", "--replicas=5"}),
             "replicated_job { max_concurrent: 5 total_completions: 5 }");
  ExpectSpec(Create({"--mode=replicated-job", "--replicas=5", "--max-concurrent=2"}),
             "replicated_job { max_concurrent: 2 total_completions: 5 }");
  auto spec = Create({"--mode=replicated-job", "--max-concurrent=2"});
  ASSERT_OK(Update({"--replicas=7"}, *spec));
  ExpectSpec(spec, "replicated_job { max_concurrent: 2 total_completions: 7 }");
}

TEST(ModeFlagsTest, WhatAModeDoesNotHaveIsRefusedWithWhatToWriteInstead) {
  ExpectUsage(Create({"--mode=global", "--replicas=2"}).status(),
              "--replicas: a global service has one task on each node; leave it out, or use "
              "--mode replicated");
  ExpectUsage(Create({"--max-concurrent=2"}).status(), "use --mode replicated-job");
  ExpectUsage(Create({"--mode=global", "--replicas-max-per-node=2"}).status(),
              "--replicas-max-per-node: a global service");
  ExpectUsage(Create({"--mode=replicated-job", "--replicas=0"}).status(), "--replicas=0");
  ExpectUsage(Create({"--mode=odd"}).status(),
              "must be replicated, global, replicated-job or global-job");
  v1::ServiceSpec global = *Create({"--mode=global"});
  ExpectUsage(Update({"--replicas=2"}, global), "--replicas: a global service");
  ExpectUsage(Update({"--mode=replicated"}, global), "--mode cannot be changed");
}

TEST(ModeFlagsTest, AScheduleMakesAJobRunByItself) {
  auto spec = Create({"--mode=replicated-job", "--schedule=*/5 * * * *",
                      "--schedule-time-zone=Europe/Berlin", "--schedule-concurrency=replace",
                      "--schedule-history=3", "--schedule-starting-deadline=1m"});
  ExpectSpec(spec, R"pb(
    replicated_job {}
    schedule {
      expression: "*/5 * * * *"
      time_zone: "Europe/Berlin"
      concurrency: CONCURRENCY_REPLACE
      history: 3
      starting_deadline { seconds: 60 }
    })pb");
  ASSERT_OK(Update({"--schedule-history=0", "--schedule=@daily"}, *spec));
  EXPECT_EQ(spec->schedule().expression(), "@daily");
  EXPECT_EQ(spec->schedule().time_zone(), "Europe/Berlin");
  ASSERT_OK(Update({"--schedule=off"}, *spec));
  ExpectSpec(spec, "replicated_job {}");
}

TEST(ModeFlagsTest, ASchedulesFlagsNeedAJobAndASchedule) {
  ExpectUsage(Create({"--schedule=@daily"}).status(),
              "--schedule: only jobs run by a schedule; use --mode replicated-job");
  ExpectUsage(Create({"--mode=global-job", "--schedule=@daily"}).status(), "replicated-job");
  ExpectUsage(Create({"--mode=replicated-job", "--schedule-history=3"}).status(),
              "--schedule-history: add --schedule");
  ExpectUsage(Create({"--mode=replicated-job", "--schedule=@daily", "--schedule-concurrency=maybe"})
                  .status(),
              "must be allow, forbid or replace");
}

TEST(ModeFlagsTest, AutoscaleReadsItsRulesAndIsSwitchedOff) {
  auto spec = Create({"--limit-cpu=1", "--reserve-memory=64m",
                      "--autoscale=min=2,max=20,cpu=70%,memory=80,metric=queue:9090:10,"
                      "metric=rps:80/stats:2.5,window=30s,cooldown=2m"});
  ExpectSpec(spec, R"pb(
    replicated { replicas: 1 }
    task {
      resources {
        limits { nano_cpus: 1000000000 }
        reservations { memory_bytes: 67108864 }
      }
    }
    autoscale {
      min: 2
      max: 20
      cpu_percent: 70
      memory_percent: 80
      metrics { name: "queue" port: 9090 value: 10 }
      metrics { name: "rps" port: 80 path: "/stats" value: 2.5 }
      window { seconds: 30 }
      cooldown { seconds: 120 }
    })pb");
  ExpectUsage(Update({"--replicas=3"}, *spec), "is set by autoscaling, between 2 and 20");
  ASSERT_OK(Update({"--autoscale=off", "--replicas=3"}, *spec));
  EXPECT_FALSE(spec->has_autoscale());
  EXPECT_EQ(spec->replicated().replicas(), 3u);
}

TEST(ModeFlagsTest, AutoscaleThatCannotWorkIsRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"max=3,cpu=70%", "min is missing"},
      {"min=3,max=2,cpu=70%", "at least min"},
      {"min=1,max=2", "nothing to go by: add cpu=70%"},
      {"min=1,max=2,cpu=0", "is no percentage"},
      {"min=1,max=2,cpu=70%", "add --limit-cpu or --reserve-cpu"},
      {"min=1,max=2,memory=70%", "add --limit-memory or --reserve-memory"},
      {"min=1,max=2,metric=queue", "must be NAME:PORT[/path]:VALUE"},
      {"min=1,max=2,metric=queue:99999:1", "must be NAME:PORT[/path]:VALUE"},
      {"min=1,max=2,metric=9q:80:1", "is no metric's name"},
      {"min=1,max=2,metric=q:80:0", "must be above 0"},
      {"min=1,max=2,disk=70%", "unknown key \"disk\""},
      {"2-20", "must be KEY=VALUE"},
      {"off", "must be KEY=VALUE"},
  };
  for (const auto& [text, words] : cases) {
    ExpectUsage(Create({StrCat("--autoscale=", text)}).status(), words);
  }
  ExpectUsage(Create({"--mode=global", "--autoscale=min=1,max=2,cpu=1"}).status(),
              "only replicated services are scaled");
}

TEST(ModeFlagsTest, DependenciesAreAddedChangedAndRemoved) {
  auto spec = Create({"--depends-on=db:healthy", "--depends-on=cache", "--depends-on=a:completed"});
  ExpectSpec(spec, R"pb(
    replicated { replicas: 1 }
    depends_on { service: "db" condition: CONDITION_HEALTHY }
    depends_on { service: "cache" condition: CONDITION_STARTED }
    depends_on { service: "a" condition: CONDITION_COMPLETED })pb");
  ASSERT_OK(Update({"--depends-on-rm=a", "--depends-on-rm=gone", "--depends-on-add=db"}, *spec));
  ExpectSpec(spec, R"pb(
    replicated { replicas: 1 }
    depends_on { service: "cache" condition: CONDITION_STARTED }
    depends_on { service: "db" condition: CONDITION_STARTED })pb");
  ExpectUsage(Create({"--name=web", "--depends-on=web"}).status(), "waits for itself");
  ExpectUsage(Create({"--depends-on=db:ready"}).status(), "must be started, healthy or completed");
  ExpectUsage(Update({"--depends-on=db"}, *spec), "use --depends-on-add and --depends-on-rm");
}

// ------------------------------------------------------------------------------------ rollout

TEST(RolloutFlagsTest, EveryFlagReachesItsField) {
  ExpectSpec(Create({"--update-parallelism=0", "--update-delay=10s",
                     "--update-failure-action=rollback", "--update-max-failure-ratio=0.25",
                     "--update-monitor=1m", "--update-order=start-first", "--update-deadline=2m",
                     "--rollback-parallelism=2", "--rollback-delay=1s",
                     "--rollback-failure-action=continue", "--rollback-max-failure-ratio=1",
                     "--rollback-monitor=2s", "--rollback-order=stop-first"}),
             R"pb(
               replicated { replicas: 1 }
               update {
                 parallelism: 0
                 delay { seconds: 10 }
                 failure_action: FAILURE_ACTION_ROLLBACK
                 max_failure_ratio: 0.25
                 monitor { seconds: 60 }
                 order: ORDER_START_FIRST
                 progress_deadline { seconds: 120 }
               }
               rollback {
                 parallelism: 2
                 delay { seconds: 1 }
                 failure_action: FAILURE_ACTION_CONTINUE
                 max_failure_ratio: 1
                 monitor { seconds: 2 }
                 order: ORDER_STOP_FIRST
               })pb");
}

TEST(RolloutFlagsTest, AnUpdateChangesOnlyWhatIsGiven) {
  auto spec = Create({"--update-delay=10s", "--update-order=start-first"});
  ASSERT_OK(Update({"--update-order=stop-first", "--rollback-monitor=1s"}, *spec));
  ExpectSpec(spec, R"pb(
    replicated { replicas: 1 }
    update {
      delay { seconds: 10 }
      order: ORDER_STOP_FIRST
    }
    rollback { monitor { seconds: 1 } })pb");
}

TEST(RolloutFlagsTest, WordsThatAreNoneAndJobsAreRefused) {
  ExpectUsage(Create({"--update-order=any"}).status(), "must be start-first or stop-first");
  ExpectUsage(Create({"--update-failure-action=stop"}).status(),
              "must be pause, continue or rollback");
  ExpectUsage(Create({"--rollback-failure-action=rollback"}).status(), "pause or continue");
  ExpectUsage(Create({"--update-max-failure-ratio=20"}).status(), "from 0 to 1");
  ExpectUsage(Create({"--update-deadline=0s"}).status(), "must be above 0");
  ExpectUsage(Create({"--mode=replicated-job", "--update-delay=1s"}).status(),
              "--update-delay: a job is not changed in place, an update begins a new run; leave it "
              "out");
  v1::ServiceSpec job = *Create({"--mode=global-job"});
  ExpectUsage(Update({"--rollback-order=start-first"}, job), "--rollback-order: a job");
}

// ------------------------------------------------------------------------------------- health

TEST(HealthFlagsTest, EachProbeHasItsTest) {
  const std::pair<Words, const char*> cases[] = {
      {{"--health-cmd=curl -f localhost"}, "test: ['CMD-SHELL', 'curl -f localhost']"},
      {{"--health-http=http://:8080/up"}, "test: ['HTTP', 'http://:8080/up']"},
      {{"--health-http=:8080"}, "test: ['HTTP', 'http://:8080']"},
      {{"--health-http=http://localhost:8080/"}, "test: ['HTTP', 'http://:8080/']"},
      {{"--health-tcp=6379"}, "test: ['TCP', ':6379']"},
      {{"--health-grpc=:50051/my.Service"}, "test: ['GRPC', ':50051/my.Service']"},
      {{"--no-healthcheck"}, "test: 'NONE'"},
      {{"--health-interval=5s", "--health-timeout=2s", "--health-retries=4",
        "--health-start-period=1m", "--health-start-interval=1s"},
       "interval { seconds: 5 } timeout { seconds: 2 } retries: 4 start_period { seconds: 60 } "
       "start_interval { seconds: 1 }"},
  };
  for (const auto& [flags, text] : cases) {
    ExpectSpec(
        Create(flags),
        StrCat("replicated { replicas: 1 } task { container { health_check { ", text, " } } }"));
  }
}

TEST(HealthFlagsTest, ProbesThatCannotBeAreRefused) {
  ExpectUsage(Create({"--health-cmd=true", "--health-tcp=:1"}).status(),
              "--health-cmd and --health-tcp: a service has one health check");
  ExpectUsage(Create({"--no-healthcheck", "--health-retries=1"}).status(),
              "--no-healthcheck conflicts with --health-retries");
  ExpectUsage(Create({"--health-http=https://:1/"}).status(), "https is not probed");
  ExpectUsage(Create({"--health-http=http://db:80/"}).status(),
              "a probe reaches its own container, not db");
  ExpectUsage(Create({"--health-tcp=redis"}).status(), "has no port; write :6379");
  ExpectUsage(Create({"--health-grpc=:70000"}).status(), "has no port");
}

TEST(HealthFlagsTest, AnUpdateKeepsTheTestAndAnEmptyCommandIsTheImagesAgain) {
  auto spec = Create({"--health-cmd=true"});
  ASSERT_OK(Update({"--health-interval=5s"}, *spec));
  ASSERT_OK(Update({"--health-tcp=:1"}, *spec));
  ExpectSpec(spec,
             "replicated { replicas: 1 } task { container { health_check { test: ['TCP', ':1'] "
             "interval { seconds: 5 } } } }");
  ASSERT_OK(Update({"--no-healthcheck"}, *spec));
  ASSERT_OK(Update({"--health-cmd="}, *spec));
  ExpectSpec(spec, "replicated { replicas: 1 }");
}

// ---------------------------------------------------------------------------------- placement

TEST(PlacementFlagsTest, PreferencesStrategyAndGenericResourcesReachTheirFields) {
  auto spec = Create({"--placement-pref=spread=node.labels.zone",
                      "--placement-pref=spread=node.labels.rack", "--placement-strategy=binpack",
                      "--generic-resource=gpu=2", "--generic-resource=radio=1"});
  ExpectSpec(spec, R"pb(
    replicated { replicas: 1 }
    task {
      placement {
        preferences { spread: "node.labels.zone" }
        preferences { spread: "node.labels.rack" }
        strategy: STRATEGY_BINPACK
      }
      resources {
        reservations {
          generic { kind: "gpu" count: 2 }
          generic { kind: "radio" count: 1 }
        }
      }
    })pb");
  ASSERT_OK(Update({"--placement-pref-rm=spread=node.labels.zone", "--generic-resource-rm=radio",
                    "--placement-pref-add=spread=engine.labels.os", "--generic-resource-add=gpu=4",
                    "--placement-strategy=spread"},
                   *spec));
  ExpectSpec(spec, R"pb(
    replicated { replicas: 1 }
    task {
      placement {
        preferences { spread: "node.labels.rack" }
        preferences { spread: "engine.labels.os" }
        strategy: STRATEGY_SPREAD
      }
      resources { reservations { generic { kind: "gpu" count: 4 } } }
    })pb");
}

TEST(PlacementFlagsTest, WhatIsNoLabelOrNumberIsRefused) {
  ExpectUsage(Create({"--placement-pref=node.labels.a"}).status(), "must be spread=node.labels");
  ExpectUsage(Create({"--placement-pref=spread=node.role"}).status(), "is no label");
  ExpectUsage(Create({"--placement-strategy=random"}).status(), "must be spread or binpack");
  ExpectUsage(Create({"--generic-resource=gpu=GPU-1"}).status(), "must be KIND=NUMBER");
  ExpectUsage(Create({"--generic-resource=gpu=0"}).status(), "is not at least 1");
}

}  // namespace
}  // namespace swarm::cli
