// --mount and its kin.
#include "cli/errors.h"
#include "cli/service_flags_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Made(const Words& args) {
  const auto spec = Create(args);
  if (!spec.ok()) return std::string(spec.status().message());
  v1::ContainerSpec container = spec->task().container();
  container.clear_image();
  return container.ShortDebugString();
}

TEST(MountFlagsTest, MountsAreTakenAsDockerTakesThem) {
  EXPECT_EQ(Made({"--mount", "source=db,target=/data"}),
            "mounts { type: TYPE_VOLUME source: \"db\" target: \"/data\" }");
  EXPECT_EQ(Made({"--mount",
                  "type=bind,src=/srv,dst=/srv/,readonly,bind-propagation=rslave,"
                  "bind-nonrecursive"}),
            "mounts { type: TYPE_BIND source: \"/srv\" target: \"/srv\" read_only: true "
            "bind { propagation: PROPAGATION_RSLAVE non_recursive: true } }");
  EXPECT_EQ(
      Made({"--mount", "type=tmpfs,destination=/run,tmpfs-size=64m,tmpfs-mode=1770"}),
      "mounts { type: TYPE_TMPFS target: \"/run\" tmpfs { size_bytes: 67108864 mode: 1016 } }");
  EXPECT_EQ(
      Made({"--mount",
            "src=n,target=/n,volume-nocopy,volume-subpath=a/b,ro=false,"
            "volume-driver=local,\"volume-opt=o=addr=10.0.0.7,rw\""}),
      "mounts { type: TYPE_VOLUME source: \"n\" target: \"/n\" volume { no_copy: true driver: "
      "\"local\" driver_options { key: \"o\" value: \"addr=10.0.0.7,rw\" } subpath: \"a/b\" } }");
}

TEST(MountFlagsTest, DevicesAndRightsReachTheirFields) {
  EXPECT_EQ(
      Made({"--device", "/dev/fuse", "--device=/dev/a:/dev/b:rw", "--privileged", "--security-opt",
            "seccomp=unconfined", "--shm-size", "128m"}),
      "devices { host_path: \"/dev/fuse\" } devices { host_path: \"/dev/a\" container_path: "
      "\"/dev/b\" permissions: \"rw\" } privileged: true security_opt: \"seccomp=unconfined\" "
      "shm_size_bytes: 134217728");
}

TEST(MountFlagsTest, ASeccompProfileIsReadAndReplacesTheOneBefore) {
  FlagWorld world = World();
  world.read_file = [](const std::string& path) -> absl::StatusOr<std::string> {
    if (path == "p.json") return "{\n \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n";
    if (path == "bad.json") return "{\"defaultAction\": \"no\"}";
    return absl::NotFoundError("no such file");
  };
  const auto change = [&](Words args, v1::ServiceSpec& spec) {
    args.emplace_back("web");
    const auto flags = ParseFlags(ServiceUpdateFlags(), args, false);
    return flags.ok() ? ChangeSpec(*flags, world, spec) : flags.status();
  };
  v1::ServiceSpec spec =
      *Create({"--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges"});
  ASSERT_OK(change({"--security-opt-add", "seccomp=p.json"}, spec));
  const auto& options = spec.task().container().security_opt();
  ASSERT_EQ(options.size(), 2);
  EXPECT_EQ(options[0], "no-new-privileges");
  EXPECT_EQ(options[1], "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
  EXPECT_THAT(change({"--security-opt-add", "seccomp=bad.json"}, spec).message(),
              HasSubstr("--security-opt-add: seccomp: bad.json: defaultAction: \"no\""));
  EXPECT_THAT(change({"--security-opt-add", "seccomp=gone.json"}, spec).message(),
              HasSubstr("seccomp: gone.json: no such file"));
  // Its file is not known any more.
  const absl::Status by_file = change({"--security-opt-rm", "seccomp=p.json"}, spec);
  EXPECT_EQ(ExitCodeOf(by_file), kExitUsage);
  EXPECT_THAT(std::string(by_file.message()),
              AllOf(StartsWith("--security-opt-rm: seccomp=p.json: "),
                    HasSubstr("remove it with --security-opt-rm seccomp")));
  EXPECT_EQ(options.size(), 2);
  ASSERT_OK(change({"--security-opt-rm", "seccomp"}, spec));
  EXPECT_EQ(options.size(), 1);
}

TEST(MountFlagsTest, ASecurityOptionGoesHoweverItIsSpelt) {
  v1::ServiceSpec spec =
      *Create({"--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges"});
  const auto& options = spec.task().container().security_opt();
  // What is not there is no error, as of every flag that removes.
  ASSERT_OK(Update({"--security-opt-rm", "seccomp=builtin"}, spec));
  ASSERT_OK(Update({"--security-opt-rm", "no-new-privileges:false"}, spec));
  ASSERT_EQ(options.size(), 2);
  ASSERT_OK(Update({"--security-opt-rm", "seccomp:unconfined"}, spec));
  ASSERT_EQ(options.size(), 1);
  ASSERT_OK(Update({"--security-opt-rm", "no-new-privileges=true"}, spec));
  EXPECT_TRUE(options.empty());
}

TEST(MountFlagsTest, NamespacesOfTheNodeAndBack) {
  EXPECT_EQ(Made({"--pid", "host", "--ipc=host", "--uts", "host"}),
            "host_pid: true host_ipc: true host_uts: true");
  EXPECT_EQ(Made({"--pid", "private", "--ipc", "private"}), "");
  v1::ServiceSpec spec = *Create({"--pid", "host", "--ipc", "host", "--uts", "host"});
  ASSERT_OK(Update({"--pid", "", "--ipc", "private"}, spec));
  EXPECT_FALSE(spec.task().container().host_pid() || spec.task().container().host_ipc());
  EXPECT_TRUE(spec.task().container().host_uts());
  EXPECT_THAT(Made({"--pid", "container:x"}),
              StartsWith("--pid=container:x: \"container:x\" joins"));
  EXPECT_THAT(Made({"--ipc", "shareable"}), HasSubstr("use private"));
  EXPECT_THAT(Made({"--uts", "new"}), HasSubstr("must be host or private, not \"new\""));
}

TEST(MountFlagsTest, BadValuesAreOneLineWithWhatWouldDo) {
  EXPECT_THAT(Made({"--mount", "type=volume,source=db"}), HasSubstr("target is missing"));
  EXPECT_THAT(Made({"--mount", "type=npipe,target=/x"}), HasSubstr("volume, bind or tmpfs"));
  EXPECT_THAT(Made({"--mount", "a:/b"}), HasSubstr("\"a:/b\" must be KEY=VALUE"));
  EXPECT_THAT(Made({"--mount", "target=/x,colour=red"}), HasSubstr("\"colour\" is unknown"));
  EXPECT_THAT(Made({"--mount", "target=/x,\"volume-opt=a"}), HasSubstr("not closed"));
  EXPECT_THAT(Made({"--device", "fuse"}), HasSubstr("--device=fuse: must be PATH"));
  EXPECT_THAT(Made({"--security-opt", "apparmor=x"}), StartsWith("--security-opt: "));
}

TEST(MountFlagsTest, UpdateReplacesByTargetAndRemoves) {
  v1::ServiceSpec spec = *Create({"--mount", "source=db,target=/data", "--device", "/dev/fuse"});
  ASSERT_OK(Update({"--mount-add", "source=other,target=/data", "--mount-add",
                    "type=tmpfs,target=/run", "--device-rm", "/dev/fuse"},
                   spec));
  ASSERT_EQ(spec.task().container().mounts_size(), 2);
  EXPECT_EQ(spec.task().container().mounts(0).source(), "other");
  EXPECT_EQ(spec.task().container().devices_size(), 0);
  ASSERT_OK(Update({"--mount-rm", "/data", "--mount-rm", "/run"}, spec));
  EXPECT_EQ(spec.task().container().mounts_size(), 0);
  EXPECT_THAT(Update({"--mount", "target=/x"}, spec).message(), HasSubstr("--mount-add"));
}

}  // namespace
}  // namespace swarm::cli
