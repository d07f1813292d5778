#include <google/protobuf/text_format.h>

#include "cli/output/inspect.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

// A second and more is added, so that nothing is at the epoch.
ServiceStory At(int64_t seconds) { return {absl::FromUnixSeconds(seconds), {}, {}, {}}; }

TEST(PrettyServiceTest, AnUpdateThatWasRolledBackTellsWhyWhenAndToWhat) {
  ServiceStory story = At(1100);
  story.revisions = {Parse<v1::Revision>("id: 'r6' number: 6"),
                     Parse<v1::Revision>("id: 'r7' number: 7")};
  const std::string text = PrettyService(Parse<v1::Service>(R"pb(
                                           id: "s"
                                           spec {
                                             name: "web"
                                             replicated { replicas: 3 }
                                             update {
                                               parallelism: 2
                                               delay { seconds: 10 }
                                               failure_action: FAILURE_ACTION_ROLLBACK
                                               max_failure_ratio: 0.25
                                               order: ORDER_START_FIRST
                                             }
                                           }
                                           revision_id: "r6"
                                           previous_revision_id: "r7"
                                           revision: 6
                                           update_status {
                                             state: STATE_ROLLBACK_COMPLETED
                                             started_at { seconds: 1000 }
                                             completed_at { seconds: 1040 }
                                             message: "web.2: exit code 1"
                                           })pb"),
                                         story);
  EXPECT_THAT(text, HasSubstr("Revision:           6 (previous: 7)\n"));
  EXPECT_THAT(text, HasSubstr("UpdateStatus:\n"
                              " State:             rollback_completed\n"
                              " Started:           1970-01-01T00:16:40Z (About a minute ago)\n"
                              " Completed:         1970-01-01T00:17:20Z (About a minute ago)\n"
                              " Message:           web.2: exit code 1\n"));
  EXPECT_THAT(text, HasSubstr("UpdateConfig:\n"
                              " Parallelism:       2\n"
                              " Delay:             10s\n"
                              " On failure:        rollback\n"
                              " Monitoring Period: 5s\n"
                              " Max failure ratio: 0.25\n"
                              " Update order:      start-first\n"
                              " Deadline:          10m\n"
                              "RollbackConfig:\n"
                              " Parallelism:       1\n"));
}

TEST(PrettyServiceTest, ACronJobTellsItsRunsTheNewestFirstAndTheNextOne) {
  const std::string text =
      PrettyService(Parse<v1::Service>(R"pb(
                      spec {
                        name: "report"
                        replicated_job { total_completions: 5 max_concurrent: 2 }
                        schedule { expression: "*/5 * * * *" }
                      }
                      runs {
                        run: 1
                        state: STATE_COMPLETE
                        started_at { seconds: 1000 }
                        ended_at { seconds: 1012 }
                        completions: 5
                        completed: 5
                      }
                      runs {
                        state: STATE_MISSED
                        scheduled_at { seconds: 1300 }
                        message: "the manager was down"
                      }
                      runs {
                        run: 2
                        state: STATE_FAILED
                        started_at { seconds: 1600 }
                        ended_at { seconds: 1601 }
                        completions: 5
                        completed: 3
                        message: "exit code 3"
                      }
                      next_run_at { seconds: 1900 })pb"),
                    At(1720));
  EXPECT_THAT(text, AllOf(HasSubstr("Service Mode:       Replicated Job\n"
                                    " Max Concurrent:    2\n"
                                    " Total Completions: 5\n"),
                          HasSubstr("Schedule:           */5 * * * *\n"
                                    " Time Zone:         UTC\n"
                                    " Concurrency:       forbid\n"),
                          HasSubstr(" Next Run:          1970-01-01T00:31:40Z (in 3 minutes)\n"),
                          Not(HasSubstr("UpdateConfig"))));
  EXPECT_THAT(
      text,
      HasSubstr("Runs:\n"
                " - run 2: failed, 3/5 completed, started 1970-01-01T00:26:40Z (2 minutes ago), "
                "took 1s: exit code 3\n"
                " - missed, was due 1970-01-01T00:21:40Z (7 minutes ago): the manager was down\n"
                " - run 1: complete, 5/5 completed, started 1970-01-01T00:16:40Z (12 minutes ago), "
                "took 12s\n"));
}

TEST(PrettyServiceTest, AutoscalingTellsTargetsWhereItStandsAndWhy) {
  const std::string text =
      PrettyService(Parse<v1::Service>(R"pb(
                      spec {
                        name: "web"
                        replicated { replicas: 2 }
                        autoscale {
                          min: 2
                          max: 20
                          cpu_percent: 70
                          metrics { name: "queue" port: 9090 value: 10 }
                        }
                      }
                      autoscale {
                        replicas: 5
                        message: "cpu 45% (wanted 70%); can scale down in 2 min"
                        decisions {
                          at { seconds: 1000 }
                          from: 2
                          to: 3
                          reason: "first"
                        }
                        decisions {
                          at { seconds: 1060 }
                          from: 3
                          to: 5
                          reason: "cpu 93%"
                        }
                      })pb"),
                    At(1090));
  EXPECT_THAT(text,
              HasSubstr("Autoscale:          2 to 20 replicas\n"
                        " Targets:           cpu 70%, queue:9090/metrics 10\n"
                        " Window:            1m\n"
                        " Cooldown:          5m\n"
                        " Wanted Now:        5\n"
                        " Currently:         cpu 45% (wanted 70%); can scale down in 2 min\n"
                        " Decisions:\n"
                        " - 1970-01-01T00:17:40Z (30 seconds ago): from 3 to 5, cpu 93%\n"
                        " - 1970-01-01T00:16:40Z (About a minute ago): from 2 to 3, first\n"));
}

TEST(PrettyServiceTest, ALogDriverIsToldWithItsOptions) {
  const std::string text = PrettyService(Parse<v1::Service>(R"pb(
                                           spec {
                                             task {
                                               log_driver {
                                                 options { key: "max-size" value: "10m" }
                                                 options { key: "max-file" value: "5" }
                                               }
                                             }
                                           })pb"),
                                         At(1));
  EXPECT_THAT(text, HasSubstr("Log Driver:         json-file max-file=5 max-size=10m\n"));
}

TEST(PrettyServiceTest, QuarantineIsToldWithWhatEndsIt) {
  const auto pretty = [](const std::string& quarantine) {
    return PrettyService(
        Parse<v1::Service>("id: 's' spec { name: 'web' } quarantine { " + quarantine +
                           " reason: 'manager/scheduler ended while it decided about this "
                           "service' since { seconds: 1000 } }"),
        At(1180));
  };
  EXPECT_THAT(pretty("crashes: 2"),
              HasSubstr("Name:               web\n"
                        "Status:             in quarantine: manager/scheduler ended while it "
                        "decided about this service; change its spec, or try again with service "
                        "update --force\n"
                        " Since:             1970-01-01T00:16:40Z (3 minutes ago)\n"));
  EXPECT_THAT(
      pretty("crashes: 1"),
      AllOf(HasSubstr(
                "Warning:            manager/scheduler ended while it decided about "
                "this service; if that happens again within an hour, it is put in quarantine\n"),
            Not(HasSubstr("Status:"))));
}

TEST(PrettyServiceTest, HealthPlacementAndDependenciesAreTold) {
  ServiceStory story = At(1000);
  story.tasks = {Parse<v1::Task>("service_name: 'web' slot: 1 status { state: STATE_RUNNING health "
                                 "{ state: STATE_HEALTHY } }"),
                 Parse<v1::Task>("service_name: 'web' slot: 2 status { state: STATE_STARTING "
                                 "health { state: STATE_STARTING failing_streak: 1 log { output: "
                                 "'404' } } }"),
                 Parse<v1::Task>("service_name: 'web' slot: 1 status { state: STATE_FAILED health "
                                 "{ state: STATE_UNHEALTHY failing_streak: 3 } }")};
  const std::string text =
      PrettyService(Parse<v1::Service>(R"pb(
                      spec {
                        name: "web"
                        global {}
                        depends_on { service: "db" condition: CONDITION_HEALTHY }
                        task {
                          container {
                            health_check {
                              test: [ "HTTP", "http://:80/" ]
                              interval { seconds: 5 }
                            }
                          }
                          placement {
                            preferences { spread: "node.labels.zone" }
                            strategy: STRATEGY_BINPACK
                          }
                          resources { reservations { generic { kind: "gpu" count: 2 } } }
                        }
                      }
                      waiting_for: "db to be healthy")pb"),
                    story);
  EXPECT_THAT(text, AllOf(HasSubstr("Service Mode:       Global\n"
                                    "Depends On:\n - db (healthy)\n"
                                    "Waiting For:        db to be healthy\n"),
                          HasSubstr("Health:             1 healthy, 1 starting\n"
                                    " - web.2: starting, 1 failure: 404\n"),
                          HasSubstr(" Preferences:       spread=node.labels.zone\n"
                                    " Strategy:          binpack\n"),
                          HasSubstr("Healthcheck:\n"
                                    " Test:              HTTP http://:80/\n"
                                    " Interval:          5s\n"
                                    " Timeout:           30s\n"
                                    " Retries:           3\n"),
                          HasSubstr("  Generic Resources: gpu=2\n")));
}

TEST(PrettyServiceTest, LimitsAreToldAsTheyWereGiven) {
  const std::string text = PrettyService(
      Parse<v1::Service>(R"pb(
        spec {
          name: "web"
          task { resources { limits { nano_cpus: 500000000 memory_bytes: 67108864 } } }
        })pb"),
      At(1100));
  EXPECT_THAT(text, HasSubstr(" Limits:\n"
                              "  CPU:              0.5\n"
                              "  Memory:           64MiB\n"));
}

TEST(PrettyServiceTest, MountsAndRightsAreToldAndAreInDockersWordsInJson) {
  const auto service = Parse<v1::Service>(R"pb(
    spec {
      task {
        container {
          mounts {
            type: TYPE_VOLUME
            source: "data"
            target: "/d"
            volume { subpath: "a" }
          }
          mounts {
            type: TYPE_BIND
            source: "/srv"
            target: "/srv"
            read_only: true
            bind { propagation: PROPAGATION_RSLAVE }
          }
          mounts {
            type: TYPE_TMPFS
            target: "/t"
            tmpfs { size_bytes: 4096 mode: 448 }
          }
          devices { host_path: "/dev/fuse" container_path: "/dev/f" permissions: "rw" }
          privileged: true
          security_opt: "seccomp=unconfined"
          security_opt: "seccomp={}"
          host_pid: true
          host_uts: true
        }
      }
    })pb");
  EXPECT_THAT(
      PrettyService(service, At(1100)),
      AllOf(HasSubstr("Mounts:\n"), HasSubstr("volume data (a) at /d\n"),
            HasSubstr("bind /srv at /srv, read-only\n"), HasSubstr("tmpfs at /t\n"),
            HasSubstr("/dev/fuse as /dev/f (rw)\n"),
            HasSubstr("seccomp=unconfined, seccomp={…} (2 bytes)"), HasSubstr("pid, uts\n")));
  EXPECT_THAT(
      ServiceObject(service).Compact(),
      AllOf(
          HasSubstr(
              R"({"Type":"volume","Source":"data","Target":"/d","VolumeOptions":{"Subpath":"a"}})"),
          HasSubstr(R"("ReadOnly":true,"BindOptions":{"Propagation":"rslave"}})"),
          HasSubstr(R"("TmpfsOptions":{"SizeBytes":4096,"Mode":448}})"),
          HasSubstr(R"("CgroupPermissions":"rw"}],"Privileged":true)"),
          HasSubstr(R"("PidMode":"host","UTSMode":"host")")));
}

TEST(PrettyServiceTest, NetworksAddressesAndPortsAreTold) {
  ServiceStory story = At(1000);
  story.networks = {Parse<v1::Network>("id: 'n1' spec { name: 'front' }")};
  const std::string text = PrettyService(
      Parse<v1::Service>(R"pb(
        spec {
          name: "web"
          task {
            container {
              hosts: "10.0.0.9 db"
              dns { nameservers: "9.9.9.9" options: "timeout:3" }
            }
            networks {
              target: "n1"
              aliases: [ "www", "w" ]
            }
          }
          endpoint {
            ports { target_port: 80 }
            ports { target_port: 90 published_port: 9000 publish_mode: PUBLISH_MODE_HOST }
          }
        }
        endpoint {
          virtual_ips { network_id: "n1" v4: "10.0.1.2" v6: "fd00::2" }
          ports { target_port: 80 published_port: 30000 }
          ports { target_port: 90 published_port: 9000 publish_mode: PUBLISH_MODE_HOST }
        })pb"),
      story);
  EXPECT_THAT(text, HasSubstr("Networks:\n"
                              " - front (also as www, w)\n"
                              "Hosts:\n"
                              " - 10.0.0.9 db\n"
                              "DNS:\n"
                              " Name Servers:      9.9.9.9\n"
                              " Options:           timeout:3\n"
                              "Endpoint Mode:      vip\n"
                              "Virtual IPs:\n"
                              " - front: 10.0.1.2, fd00::2\n"
                              "Ports:\n"
                              " - *:30000->80/tcp (ingress)\n"
                              " - *:9000->90/tcp (host)\n"));
}

}  // namespace
}  // namespace swarm::cli
