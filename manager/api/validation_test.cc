#include "manager/api/validation.h"

#include <functional>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/api_world.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The error of a good spec after `spoil`; "" when it is still good.
std::string Complaint(const std::function<void(v1::ServiceSpec&)>& spoil) {
  v1::ServiceSpec spec = SpecOf("web", "nginx");
  spoil(spec);
  absl::Status status = ValidateServiceSpec(spec);
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

v1::ContainerSpec& Container(v1::ServiceSpec& spec) {
  return *spec.mutable_task()->mutable_container();
}
v1::Resources& Limits(v1::ServiceSpec& spec) {
  return *spec.mutable_task()->mutable_resources()->mutable_limits();
}
v1::Resources& Reservations(v1::ServiceSpec& spec) {
  return *spec.mutable_task()->mutable_resources()->mutable_reservations();
}

TEST(ValidationTest, AcceptsAFullSpec) {
  EXPECT_EQ("", Complaint([](v1::ServiceSpec& s) {
              Container(s).add_env("A=b=c");
              Container(s).add_env("EMPTY=");
              Container(s).set_dir("/srv");
              Container(s).set_user("www-data:www-data");
              Container(s).set_hostname("web-1.example");
              Container(s).set_stop_signal("SIGRTMIN+3");
              Container(s).add_capability_add("NET_RAW");
              Container(s).add_capability_drop("all");
              (*Container(s).mutable_sysctls())["net.core.somaxconn"] = "1024";
              v1::Ulimit& limit = *Container(s).add_ulimits();
              limit.set_name("nofile");
              limit.set_soft(1024);
              limit.set_hard(-1);
              Limits(s).set_memory_bytes(64 << 20);
              Reservations(s).set_memory_bytes(4 << 20);
              Limits(s).set_nano_cpus(1'000'000);
              s.mutable_task()->mutable_placement()->add_constraints("node.labels.zone != a");
              s.mutable_task()->mutable_restart()->mutable_delay()->set_seconds(1);
            }));
}

TEST(ValidationTest, RefusesBadNames) {
  const auto with = [](std::string name) {
    return Complaint([&](v1::ServiceSpec& s) { s.set_name(name); });
  };
  EXPECT_EQ("name: is empty", with(""));
  EXPECT_THAT(with("-web"), HasSubstr("is not a name"));
  EXPECT_THAT(with("a b"), HasSubstr("is not a name"));
  EXPECT_THAT(with(std::string(64, 'a')), HasSubstr("longer than 63"));
  EXPECT_EQ("", with(std::string(63, 'a')));
  EXPECT_THAT(with("host"), HasSubstr("is reserved"));
  EXPECT_THAT(with("Ingress"), HasSubstr("is reserved"));
  EXPECT_THAT(with("0000000000000000000000001"), HasSubstr("shape of an id"));
  EXPECT_THAT(with("evil\n"), HasSubstr("evil\\n"));
}

TEST(ValidationTest, NamesTheFieldAndTheSmallestLimit) {
  EXPECT_EQ("task.resources.limits.memory_bytes: 1 MiB is below the smallest limit of 4 MiB",
            Complaint([](v1::ServiceSpec& s) { Limits(s).set_memory_bytes(1 << 20); }));
  EXPECT_EQ(
      "task.resources.reservations.nano_cpus: 0.0001 cores is below the smallest reservation of "
      "0.001",
      Complaint([](v1::ServiceSpec& s) { Reservations(s).set_nano_cpus(100'000); }));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Limits(s).set_memory_bytes(-1); }),
              HasSubstr("-1 bytes is below"));
}

TEST(ValidationTest, RefusesReservationsAboveTheLimit) {
  EXPECT_EQ("task.resources.reservations.memory_bytes: 16 MiB is above the limit of 8 MiB",
            Complaint([](v1::ServiceSpec& s) {
              Limits(s).set_memory_bytes(8 << 20);
              Reservations(s).set_memory_bytes(16 << 20);
            }));
}

TEST(ValidationTest, RefusesWhatIsNotBuiltByName) {
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                s.mutable_task()->mutable_log_driver()->set_name("gelf");
              }),
              StartsWith("task.log_driver.name: "));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { s.clear_mode(); }), StartsWith("mode: "));
}

TEST(ValidationTest, TemplatesMustExpandWhereverTheTaskComesToRun) {
  EXPECT_EQ("", Complaint([](v1::ServiceSpec& s) {
              Container(s).add_env("N={{ .Node.Hostname}}");
              Container(s).set_hostname("{{.Service.Name}}-{{.Task.Slot}}");
            }));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).add_env("GO={{.Field}}"); }),
              StartsWith("task.container.env[0]: template {{.Field}} is unknown; there are"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).add_env("P={{secret \"x\"}}"); }),
              HasSubstr("for secrets and configs with template driver golang"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).set_hostname("{{.Task.Slot"); }),
              StartsWith("task.container.hostname: template {{.Task.Slot has no }}"));
}

TEST(ValidationTest, RefusesMalformedContainerFields) {
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).set_image("Nope:::"); }),
              StartsWith("task.container.image: "));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).clear_image(); }),
              StartsWith("task.container.image: "));
  EXPECT_EQ("task.container.env[1]: \"NOVALUE\" is not KEY=value",
            Complaint([](v1::ServiceSpec& s) {
              Container(s).add_env("A=1");
              Container(s).add_env("NOVALUE");
            }));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).add_env("=x"); }),
              HasSubstr("empty"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).add_args(std::string("a\0b", 3)); }),
              HasSubstr("NUL"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).set_stop_signal("SIGNOPE"); }),
              HasSubstr("SIGNOPE"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).set_stop_signal("65"); }),
              HasSubstr("not a signal"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).add_capability_add("FLY"); }),
              StartsWith("task.container.capability_add[0]: "));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                (*Container(s).mutable_sysctls())["vm.swappiness"] = "1";
              }),
              HasSubstr("whole machine"));
  EXPECT_THAT(
      Complaint([](v1::ServiceSpec& s) { (*Container(s).mutable_sysctls())["net/../x"] = "1"; }),
      HasSubstr("not a sysctl"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                Container(s).add_ulimits()->set_name("nofile");
                Container(s).mutable_ulimits(0)->set_soft(2);
                Container(s).mutable_ulimits(0)->set_hard(1);
              }),
              HasSubstr("above the hard one"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).set_dir("relative"); }),
              HasSubstr("absolute"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).set_user("a:b:c"); }),
              StartsWith("task.container.user: "));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                Container(s).mutable_stop_grace_period()->set_seconds(-1);
              }),
              HasSubstr("negative"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Container(s).set_oom_score_adj(1001); }),
              StartsWith("task.container.oom_score_adj: "));
}

TEST(ValidationTest, RefusesHostSysctlsOnTheHostsNetwork) {
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                s.mutable_task()->add_networks()->set_target("host");
                (*Container(s).mutable_sysctls())["net.core.somaxconn"] = "1";
              }),
              HasSubstr("would change the host"));
}

TEST(ValidationTest, HostNamespacesMustNotChangeTheNode) {
  EXPECT_EQ("", Complaint([](v1::ServiceSpec& s) {
              Container(s).set_host_pid(true);
              Container(s).set_host_ipc(true);
              Container(s).set_host_uts(true);
            }));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                Container(s).set_host_uts(true);
                Container(s).set_hostname("web");
              }),
              StartsWith("task.container.hostname: would rename the node"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                Container(s).set_host_uts(true);
                (*Container(s).mutable_sysctls())["kernel.domainname"] = "x";
              }),
              StartsWith("task.container.sysctls[kernel.domainname]: would change the node's"));
  for (const char* name : {"kernel.shmmax", "fs.mqueue.msg_max"}) {
    const auto with = [&](bool host_ipc) {
      return Complaint([&](v1::ServiceSpec& s) {
        Container(s).set_host_ipc(host_ipc);
        (*Container(s).mutable_sysctls())[name] = "1";
      });
    };
    EXPECT_EQ("", with(false));
    EXPECT_THAT(with(true), HasSubstr("would change the node's"));
  }
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                Container(s).set_host_ipc(true);
                Container(s).set_shm_size_bytes(1 << 20);
              }),
              StartsWith("task.container.shm_size_bytes: with host_ipc"));
}

TEST(ValidationTest, RefusesBadConstraintsWithTheirIndex) {
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                s.mutable_task()->mutable_placement()->add_constraints("node.role == worker");
                s.mutable_task()->mutable_placement()->add_constraints("node.role = worker");
              }),
              StartsWith("task.placement.constraints[1]: "));
}

TEST(ValidationTest, BoundsReplicasAndSize) {
  EXPECT_EQ("",
            Complaint([](v1::ServiceSpec& s) { s.mutable_replicated()->set_replicas(1'000'000); }));
  EXPECT_THAT(
      Complaint([](v1::ServiceSpec& s) { s.mutable_replicated()->set_replicas(1'000'001); }),
      StartsWith("replicated.replicas: "));
  EXPECT_THAT(
      Complaint([](v1::ServiceSpec& s) { Container(s).add_args(std::string(kMaxSpecBytes, 'x')); }),
      HasSubstr("above the most of 256 KiB"));
}

TEST(ValidationTest, RefusesBadLabels) {
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { (*s.mutable_labels())[""] = "x"; }),
              HasSubstr("key is empty"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { (*s.mutable_labels())["a=b"] = "x"; }),
              HasSubstr("not a label's key"));
}

TEST(ValidationTest, BoundsTheClustersSettings) {
  v1::ClusterSpec spec;
  EXPECT_OK(ValidateClusterSpec(spec));
  spec.mutable_heartbeat_period()->set_nanos(1);
  EXPECT_THAT(ValidateClusterSpec(spec), testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                                           StartsWith("heartbeat_period")));
  // What the dispatcher will use, not a second longer.
  spec.mutable_heartbeat_period()->set_nanos(0);
  spec.mutable_heartbeat_period()->set_seconds(600);
  EXPECT_OK(ValidateClusterSpec(spec));
  spec.mutable_heartbeat_period()->set_seconds(601);
  EXPECT_THAT(ValidateClusterSpec(spec),
              testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                "heartbeat_period: is not between 100ms and 10m"));
  spec.clear_heartbeat_period();
  spec.mutable_node_cert_expiry()->set_seconds(91 * 24 * 3600);
  EXPECT_THAT(ValidateClusterSpec(spec), testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                                           StartsWith("node_cert_expiry")));
}

TEST(ValidationTest, TakesAnyBytesForASpecWithoutCrashing) {
  auto random = MakeSeededRandom(1);
  for (int i = 0; i < 2'000; ++i) {
    v1::ServiceSpec spec;
    if (!spec.ParseFromString(random->Bytes(1 + random->Below(200)))) continue;
    ValidateServiceSpec(spec).IgnoreError();
  }
}

}  // namespace
}  // namespace swarm::manager
