#include "manager/api/mount_validation.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::StartsWith;

// What a mount of the volume db at /data, changed so, is told.
std::string Complaint(const std::function<void(v1::Mount&)>& change) {
  v1::ContainerSpec spec;
  v1::Mount& mount = *spec.add_mounts();
  mount.set_type(v1::Mount::TYPE_VOLUME);
  mount.set_source("db");
  mount.set_target("/data");
  change(mount);
  return std::string(ValidateMounts(spec).message());
}

void MakeBind(v1::Mount& mount, const std::string& source) {
  mount.set_type(v1::Mount::TYPE_BIND);
  mount.set_source(source);
}

TEST(MountValidationTest, TakesWhatIsRight) {
  EXPECT_EQ(Complaint([](v1::Mount&) {}), "");
  EXPECT_EQ(Complaint([](v1::Mount& m) { MakeBind(m, "/"); }), "");
  EXPECT_EQ(Complaint([](v1::Mount& m) { m.clear_source(); }), "");
  EXPECT_EQ(Complaint([](v1::Mount& m) {
              m.clear_source();
              m.set_type(v1::Mount::TYPE_TMPFS);
              m.mutable_tmpfs()->set_size_bytes(1 << 20);
              m.mutable_tmpfs()->add_options("exec");
              m.mutable_tmpfs()->add_options("uid=70");
            }),
            "");
  // Whether a node has the driver is known when a task is placed.
  EXPECT_EQ(Complaint([](v1::Mount& m) {
              m.mutable_volume()->set_driver("rexray/dobs");
              (*m.mutable_volume()->mutable_driver_options())["size"] = "one";
            }),
            "");
}

TEST(MountValidationTest, TargetsAreCleanAndEachMountedOnOnce) {
  for (const char* bad : {"", "data", "/", "/a/", "/a//b", "/a/../b", "/a/./b", "/a\n"}) {
    EXPECT_THAT(Complaint([&](v1::Mount& m) { m.set_target(bad); }),
                StartsWith("task.container.mounts[0].target: "))
        << bad;
  }
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.set_target("/proc"); }), HasSubstr("/proc"));
  v1::ContainerSpec spec;
  for (int i = 0; i < 2; ++i) spec.add_mounts()->set_target("/data");
  EXPECT_EQ(ValidateMounts(spec).message(),
            "task.container.mounts[1].target: /data is mounted on twice");
}

TEST(MountValidationTest, SourcesFitTheirType) {
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.set_source("/srv"); }), HasSubstr("use type bind"));
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.set_source("-x"); }), HasSubstr("no volume name"));
  EXPECT_THAT(Complaint([](v1::Mount& m) { MakeBind(m, "srv"); }),
              HasSubstr("not an absolute path on the node"));
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.set_type(v1::Mount::TYPE_TMPFS); }),
              HasSubstr("a tmpfs has none"));
  EXPECT_EQ(Complaint([](v1::Mount& m) { m.set_source("data-{{.Task.Slot}}"); }), "");
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.set_source("{{.Node.Name}}"); }),
              HasSubstr("{{.Node.Name}}"));
}

TEST(MountValidationTest, OptionsOfAnotherTypeAreAMisunderstanding) {
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.mutable_bind()->set_non_recursive(true); }),
              StartsWith("task.container.mounts[0].bind: is for type bind"));
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.mutable_tmpfs()->set_size_bytes(1); }),
              StartsWith("task.container.mounts[0].tmpfs: "));
  EXPECT_THAT(Complaint([](v1::Mount& m) {
                MakeBind(m, "/srv");
                m.mutable_volume()->set_no_copy(true);
              }),
              StartsWith("task.container.mounts[0].volume: "));
}

TEST(MountValidationTest, OptionsAreCheckedByName) {
  EXPECT_THAT(Complaint([](v1::Mount& m) { m.mutable_volume()->set_subpath("../x"); }),
              StartsWith("task.container.mounts[0].volume.subpath: "));
  EXPECT_THAT(Complaint([](v1::Mount& m) {
                (*m.mutable_volume()->mutable_driver_options())["sice"] = "1";
              }),
              StartsWith("task.container.mounts[0].volume.driver_options: sice: is no option"));
  EXPECT_THAT(Complaint([](v1::Mount& m) {
                m.clear_source();
                m.set_type(v1::Mount::TYPE_TMPFS);
                m.mutable_tmpfs()->add_options("size=1");
              }),
              StartsWith("task.container.mounts[0].tmpfs.options: \"size=1\" is unknown"));
}

TEST(MountValidationTest, DevicesAndRightsAreCheckedByName) {
  v1::ContainerSpec spec;
  spec.add_devices()->set_host_path("/dev/fuse");
  spec.mutable_devices(0)->set_permissions("rw");
  EXPECT_THAT(ValidateDevices(spec), IsOk());
  spec.mutable_devices(0)->set_permissions("rwx");
  EXPECT_THAT(std::string(ValidateDevices(spec).message()),
              StartsWith("task.container.devices[0].permissions"));
  spec.add_security_opt("apparmor=mine");
  EXPECT_THAT(std::string(ValidateSecurity(spec).message()),
              StartsWith("task.container.security_opt[0]: "));
  spec.set_security_opt(0, R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW"})");
  EXPECT_THAT(ValidateSecurity(spec), IsOk());
  spec.set_security_opt(0, R"(seccomp={"defaultAction":"ALLOW"})");
  EXPECT_THAT(std::string(ValidateSecurity(spec).message()),
              StartsWith("task.container.security_opt: seccomp: defaultAction: \"ALLOW\""));
  spec.set_security_opt(0, "seccomp=./profile.json");
  EXPECT_THAT(std::string(ValidateSecurity(spec).message()), HasSubstr("a profile's JSON"));
  spec.set_security_opt(0, "no-new-privileges");
  EXPECT_THAT(ValidateSecurity(spec), IsOk());
  spec.set_allow_new_privileges(true);
  EXPECT_THAT(ValidateSecurity(spec).message(), HasSubstr("contradicts"));
}

TEST(MountValidationTest, VolumesHaveNamesAndOptionsOfTheirDriver) {
  v1::VolumeSpec spec;
  EXPECT_THAT(std::string(ValidateVolumeSpec(spec).message()), StartsWith("name: "));
  spec.set_name("data");
  EXPECT_THAT(ValidateVolumeSpec(spec), IsOk());
  (*spec.mutable_options())["device"] = "/x";
  EXPECT_THAT(std::string(ValidateVolumeSpec(spec).message()),
              StartsWith("options: device: needs a type"));
  spec.set_driver("other");
  EXPECT_THAT(ValidateVolumeSpec(spec), IsOk());
}

}  // namespace
}  // namespace swarm::manager
