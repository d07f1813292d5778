#include "cli/service_flags.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include "cli/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

FlagWorld World() {
  return {[](std::string_view name) -> std::optional<std::string> {
            if (name == "HOME") return "/root";
            return std::nullopt;
          },
          [](const std::string& path) -> absl::StatusOr<std::string> {
            if (path == "vars") return "# mine\nA=from file\nB=2\nHOME\nNOPE\n";
            return absl::NotFoundError("no such file");
          }};
}

absl::StatusOr<v1::ServiceSpec> Create(std::vector<std::string> args) {
  const auto rules = ServiceCreateFlags();
  auto flags = ParseFlags(rules, args, true);
  if (!flags.ok()) return flags.status();
  return SpecFromFlags(*flags, World());
}

absl::Status Update(std::vector<std::string> args, v1::ServiceSpec& spec) {
  const auto rules = ServiceUpdateFlags();
  auto flags = ParseFlags(rules, args, false);
  if (!flags.ok()) return flags.status();
  return ChangeSpec(*flags, World(), spec);
}

// The spec in protobuf's text form, for whole comparisons.
void ExpectSpec(const v1::ServiceSpec& spec, const std::string& text) {
  v1::ServiceSpec wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &wanted));
  google::protobuf::util::MessageDifferencer differ;
  std::string report;
  differ.ReportDifferencesToString(&report);
  EXPECT_TRUE(differ.Compare(wanted, spec)) << report;
}

TEST(ServiceFlagsTest, AnImageAloneIsAServiceOfOneReplica) {
  const auto spec = Create({"busybox"});
  ASSERT_OK(spec);
  ExpectSpec(*spec, "task { container { image: 'busybox' } } replicated { replicas: 1 }");
}

TEST(ServiceFlagsTest, ALogDriverHasItsOptions) {
  auto spec =
      Create({"--log-driver=local", "--log-opt", "max-size=5m", "--log-opt=labels=a=b", "x"});
  ASSERT_OK(spec);
  const std::string rest = "container { image: 'x' } } replicated { replicas: 1 }";
  ExpectSpec(*spec,
             "task { log_driver { name: 'local' options { key: 'max-size' value: '5m' }"
             " options { key: 'labels' value: 'a=b' } } " +
                 rest);
  ASSERT_OK(Update({"--log-opt=max-size=6m", "web"}, *spec));
  EXPECT_EQ(spec->task().log_driver().options().at("max-size"), "6m");
  EXPECT_EQ(spec->task().log_driver().name(), "local");
  ASSERT_OK(Update({"--log-driver=none", "web"}, *spec));
  ExpectSpec(*spec, "task { log_driver { name: 'none' } " + rest);
  EXPECT_THAT(Create({"--log-opt=max-size", "x"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("NAME=VALUE")));
}

TEST(ServiceFlagsTest, EveryBuiltFlagReachesItsField) {
  const auto spec = Create({"--name=web",
                            "-l",
                            "a=1",
                            "--label",
                            "b",
                            "--container-label=c=2",
                            "--replicas",
                            "3",
                            "--entrypoint",
                            "sh -c 'x y'",
                            "-eA=1",
                            "--env",
                            "HOME",
                            "-w/srv",
                            "-u",
                            "1000:1000",
                            "--group",
                            "wheel",
                            "--hostname=h",
                            "--stop-signal",
                            "SIGINT",
                            "--stop-grace-period",
                            "1m",
                            "--cap-add",
                            "net_admin",
                            "--cap-drop=CAP_CHOWN",
                            "--read-only",
                            "--sysctl",
                            "net.core.somaxconn=5",
                            "--ulimit",
                            "nofile=10:20",
                            "--ulimit=core=0",
                            "--oom-score-adj=-5",
                            "--limit-cpu=.5",
                            "--limit-memory=64m",
                            "--limit-pids=9",
                            "--reserve-cpu=0.25",
                            "--reserve-memory=1g",
                            "--constraint",
                            "node.role==worker",
                            "--replicas-max-per-node=2",
                            "--restart-condition=on-failure",
                            "--restart-delay=2s",
                            "--restart-max-attempts=4",
                            "--restart-window=1h",
                            "--network=host",
                            "--no-resolve-image",
                            "--allow-new-privileges",
                            "img:1",
                            "run",
                            "-d"});
  ASSERT_OK(spec);
  ExpectSpec(*spec, R"pb(
    name: "web"
    labels { key: "a" value: "1" }
    labels { key: "b" value: "" }
    no_resolve_image: true
    replicated { replicas: 3 }
    task {
      container {
        image: "img:1"
        labels { key: "c" value: "2" }
        command: [ "sh", "-c", "x y" ]
        args: [ "run", "-d" ]
        env: [ "A=1", "HOME=/root" ]
        dir: "/srv"
        user: "1000:1000"
        groups: "wheel"
        hostname: "h"
        read_only: true
        stop_signal: "SIGINT"
        stop_grace_period { seconds: 60 }
        capability_add: "CAP_NET_ADMIN"
        capability_drop: "CAP_CHOWN"
        sysctls { key: "net.core.somaxconn" value: "5" }
        ulimits { name: "nofile" soft: 10 hard: 20 }
        ulimits { name: "core" soft: 0 hard: 0 }
        oom_score_adj: -5
        allow_new_privileges: true
      }
      resources {
        limits { nano_cpus: 500000000 memory_bytes: 67108864 pids: 9 }
        reservations { nano_cpus: 250000000 memory_bytes: 1073741824 }
      }
      restart {
        condition: CONDITION_ON_FAILURE
        delay { seconds: 2 }
        max_attempts: 4
        window { seconds: 3600 }
      }
      placement { constraints: "node.role==worker" max_replicas_per_node: 2 }
      networks { target: "host" }
    })pb");
}

TEST(ServiceFlagsTest, EnvFilesStandBelowEnvAndNamesAloneTakeTheCallersValue) {
  const auto spec = Create({"--env-file=vars", "-e", "A=flag", "-e", "NOPE", "x"});
  ASSERT_OK(spec);
  EXPECT_THAT(spec->task().container().env(), ElementsAre("A=flag", "B=2", "HOME=/root"));
  EXPECT_THAT(Create({"--env-file=gone", "x"}), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ServiceFlagsTest, MalformedValuesAreUsageErrors) {
  for (const char* flag :
       {"--replicas=-1", "--replicas=x", "--limit-cpu=a", "--limit-memory=1x", "--restart-delay=5",
        "--restart-condition=sometimes", "--ulimit=nofile", "--sysctl=a", "--mode=odd",
        "--entrypoint='x", "--env==x", "--network=a,b", "--label==1"}) {
    const auto spec = Create({flag, "x"});
    EXPECT_FALSE(spec.ok()) << flag;
    EXPECT_EQ(ExitCodeOf(spec.status()), 2) << flag;
  }
}

TEST(ServiceFlagsTest, TemplatesPassAndTheStacksLabelIsRefused) {
  const auto spec = Create({"-eA={{.Node.ID}}", "--hostname={{.Task.Slot}}", "x"});
  ASSERT_OK(spec);
  EXPECT_EQ(spec->task().container().env(0), "A={{.Node.ID}}");
  EXPECT_EQ(spec->task().container().hostname(), "{{.Task.Slot}}");
  EXPECT_THAT(Create({"-lcom.docker.stack.namespace=a", "x"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("reserved")));
}

TEST(ServiceFlagsTest, SecretsAndConfigsAreMountedByNameOrInDetail) {
  const auto spec = Create({"--secret=pw", "--config", "source=nginx,target=/etc/nginx.conf",
                            "--secret", "src=key,uid=1000,gid=1001,mode=0400", "x"});
  ASSERT_OK(spec);
  const v1::ContainerSpec& container = spec->task().container();
  ASSERT_EQ(container.secrets_size(), 2);
  EXPECT_EQ(container.secrets(0).ShortDebugString(), "secret_name: \"pw\"");
  EXPECT_EQ(container.secrets(1).ShortDebugString(),
            "secret_name: \"key\" file { uid: \"1000\" gid: \"1001\" mode: 256 }");
  EXPECT_EQ(container.configs(0).ShortDebugString(),
            "config_name: \"nginx\" file { name: \"/etc/nginx.conf\" }");
  for (const auto& [flag, message] : std::vector<std::pair<std::string, std::string>>{
           {"--secret=", "--secret=: needs a source"},
           {"--secret=a,b", "is none of source=NAME"},
           {"--config=source=a,mode=rw", "is no permissions"},
           {"--config=source=a,mode=01777", "is no permissions"}}) {
    EXPECT_THAT(Create({flag, "x"}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << flag;
  }
}

TEST(ServiceFlagsTest, AnUpdateChangesWhatIsGivenAndNothingElse) {
  v1::ServiceSpec spec =
      *Create({"--name=web", "--replicas=3", "-eA=1", "-eB=2", "--limit-cpu=1",
               "--constraint=node.role == worker", "--cap-add=chown", "img:1", "arg"});
  v1::ServiceSpec same = spec;
  ASSERT_OK(Update({"web"}, same));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(spec, same));

  ASSERT_OK(Update({"--image=img:2", "--args", "a 'b c'", "--force", "--env-add=B=3",
                    "--env-add=C=4", "--env-rm=A", "--limit-cpu=0", "--constraint-rm",
                    "node.role==worker", "--cap-drop=CHOWN", "--label-add=l=1", "web"},
                   spec));
  ExpectSpec(spec, R"pb(
    name: "web"
    labels { key: "l" value: "1" }
    replicated { replicas: 3 }
    task {
      force_update: 1
      container {
        image: "img:2"
        args: [ "a", "b c" ]
        env: [ "B=3", "C=4" ]
        capability_drop: "CAP_CHOWN"
      }
    })pb");
}

TEST(ServiceFlagsTest, RemovalsComeBeforeAdditions) {
  v1::ServiceSpec spec =
      *Create({"--ulimit=nofile=1", "--sysctl=a=1", "--group=g", "--network=host", "--cap-add=ALL",
               "--container-label=x=1", "img"});
  ASSERT_OK(
      Update({"--ulimit-rm=nofile", "--ulimit-add=nofile=7", "--sysctl-rm=a", "--group-rm=g",
              "--group-add=h", "--network-rm=host", "--cap-rm=all", "--container-label-rm=x", "s"},
             spec));
  ExpectSpec(spec, R"pb(
    replicated { replicas: 1 }
    task {
      container {
        image: "img"
        groups: "h"
        ulimits { name: "nofile" soft: 7 hard: 7 }
      }
    })pb");
}

}  // namespace
}  // namespace swarm::cli
