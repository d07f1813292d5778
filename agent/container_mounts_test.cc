#include "agent/container_mounts.h"

#include <stdlib.h>
#include <unistd.h>

#include <memory>

#include "common/file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
constexpr auto kUnmet = absl::StatusCode::kFailedPrecondition;

class ContainerMountsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "/mounts-XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    auto volumes = VolumeStore::Open(root_ + "/volumes", *clock_);
    ASSERT_OK(volumes);
    volumes_ = *std::move(volumes);
  }
  void TearDown() override { EXPECT_OK(RemoveTree(root_)); }

  v1::Mount& Add(v1::Mount::Type type, const std::string& source, const std::string& target) {
    v1::Mount& mount = *revision_.mutable_task()->mutable_container()->add_mounts();
    mount.set_type(type);
    mount.set_source(source);
    mount.set_target(target);
    return mount;
  }
  absl::StatusOr<std::vector<ContainerMount>> Settle() {
    return SettleMounts(volumes_.get(),
                        {"task1", 1, std::make_shared<v1::Revision>(revision_), {}, {}}, image_,
                        values_);
  }

  std::string root_;
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<VolumeStore> volumes_;
  v1::Revision revision_;
  MountsOfImage image_;
  TemplateValues values_;
};

TEST_F(ContainerMountsTest, AMissingBindSourceIsSaidAndMadeOnlyWhenAsked) {
  v1::Mount& mount = Add(v1::Mount::TYPE_BIND, root_ + "/missing", "/x");
  EXPECT_THAT(Settle(), StatusIs(kUnmet, "bind source path does not exist: " + root_ + "/missing"));
  mount.mutable_bind()->set_create_host_path(true);
  mount.set_read_only(true);
  const auto mounts = Settle();
  ASSERT_OK(mounts);
  EXPECT_THAT(mounts->at(0).options, ElementsAre("rbind", "rprivate", "rro"));
  EXPECT_TRUE(PathExists(root_ + "/missing"));
}

TEST_F(ContainerMountsTest, TemplatesBecomeVolumesOfTheirOwnAndNeverPathsThatClimb) {
  values_.fields = {{".Task.Slot", "2"}, {".Node.Hostname", "../../etc"}};
  v1::Mount& mount = Add(v1::Mount::TYPE_VOLUME, "db-{{.Task.Slot}}", "/data/{{.Task.Slot}}");
  (*mount.mutable_volume()->mutable_labels())["slot"] = "{{.Task.Slot}}";
  const auto mounts = Settle();
  ASSERT_OK(mounts);
  EXPECT_EQ(mounts->at(0).source, root_ + "/volumes/db-2/_data");
  EXPECT_EQ(mounts->at(0).target, "/data/2");
  EXPECT_EQ(volumes_->List().at(0).labels().at("slot"), "2");
  mount.set_target("/data/{{.Node.Hostname}}");
  EXPECT_THAT(Settle(),
              StatusIs(kUnmet, HasSubstr("the target \"/data/../../etc\" is not a clean")));
  mount.set_target("/data");
  mount.set_source("{{.Node.Hostname}}");
  EXPECT_THAT(Settle(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no volume name")));
  mount.set_type(v1::Mount::TYPE_BIND);
  mount.clear_volume();
  EXPECT_THAT(Settle(), StatusIs(kUnmet, HasSubstr("is not an absolute path")));
}

TEST_F(ContainerMountsTest, ATmpfsIsQuietAndOpenToAllUnlessSaidOtherwise) {
  v1::Mount& mount = Add(v1::Mount::TYPE_TMPFS, "", "/run");
  EXPECT_THAT(Settle()->at(0).options, ElementsAre("nosuid", "nodev", "noexec", "mode=1777"));
  mount.mutable_tmpfs()->set_size_bytes(4096);
  mount.mutable_tmpfs()->set_mode(0700);
  mount.mutable_tmpfs()->add_options("exec");
  EXPECT_THAT(Settle()->at(0).options,
              ElementsAre("nosuid", "nodev", "noexec", "mode=700", "size=4096", "exec"));
}

TEST_F(ContainerMountsTest, AVolumeIsMadeOnFirstUseAndItsSubpathMustBeThere) {
  v1::Mount& mount = Add(v1::Mount::TYPE_VOLUME, "db", "/data");
  const auto mounts = Settle();
  ASSERT_OK(mounts);
  EXPECT_EQ(mounts->at(0).source, root_ + "/volumes/db/_data");
  mount.mutable_volume()->set_subpath("a/b");
  EXPECT_THAT(Settle(), StatusIs(kUnmet, "volume db: subpath \"a/b\" is not in it"));
  ASSERT_OK(MakeDirectories(root_ + "/volumes/db/_data/a/b", 0755));
  EXPECT_THAT(Settle()->at(0).options, ElementsAre("rbind", "rprivate", "swarm:subpath=a/b"));
  EXPECT_OK(volumes_->Release("task1"));
}

TEST_F(ContainerMountsTest, AnUnknownDriverIsSaidInWords) {
  Add(v1::Mount::TYPE_VOLUME, "db", "/data").mutable_volume()->set_driver("rexray");
  EXPECT_THAT(Settle(), StatusIs(kUnmet, "volume driver \"rexray\" is not on this node"));
}

TEST_F(ContainerMountsTest, WhatIsWrongWithALocalVolumeIsSaidWithItsName) {
  v1::Mount::VolumeOptions& options = *Add(v1::Mount::TYPE_VOLUME, "db", "/data").mutable_volume();
  options.set_driver("local");
  (*options.mutable_driver_options())["sice"] = "1";
  EXPECT_THAT(Settle(),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("volume db: sice: ")));
}

TEST_F(ContainerMountsTest, VolumesOfTheImageAreAnonymousAndOnlyWhereNothingElseIs) {
  Add(v1::Mount::TYPE_TMPFS, "", "/run");
  image_.volumes = {"/data//", "/run"};
  const auto mounts = Settle();
  ASSERT_OK(mounts);
  ASSERT_EQ(mounts->size(), 2u);
  EXPECT_EQ(mounts->at(1).target, "/data");
  EXPECT_TRUE(volumes_->List().at(0).anonymous());
  EXPECT_OK(volumes_->Release("task1"));
  EXPECT_TRUE(volumes_->List().empty());
}

TEST_F(ContainerMountsTest, AnImagesWordForAPathIsNotTrusted) {
  // CVE-2022-23648.
  for (const char* bad : {"/../../etc", "data", "/", "", "/a/./b"}) {
    image_.volumes = {bad};
    EXPECT_THAT(Settle(), StatusIs(kUnmet, HasSubstr("is not a clean absolute path"))) << bad;
  }
}

TEST_F(ContainerMountsTest, PropagationThatTheNodeCannotKeepIsRefused) {
  v1::Mount& mount = Add(v1::Mount::TYPE_BIND, "/proc", "/x");
  mount.mutable_bind()->set_propagation(v1::Mount::PROPAGATION_RSHARED);
  const auto mounts = Settle();
  // Whether /proc is shared is the machine's affair; what is said of it must fit.
  if (mounts.ok()) {
    EXPECT_THAT(mounts->at(0).options, ElementsAre("rbind", "rshared"));
  } else {
    EXPECT_THAT(mounts.status(),
                StatusIs(kUnmet, AllOf(StartsWith("bind-propagation rshared: /proc is on a mount"),
                                       HasSubstr("not shared"))));
  }
}

TEST_F(ContainerMountsTest, WhatAServerMayHoldUpIsKnownBeforehand) {
  const auto over_network = [&] { return MountsOverNetwork(revision_.task().container()); };
  Add(v1::Mount::TYPE_BIND, root_, "/x");
  auto& options =
      *Add(v1::Mount::TYPE_VOLUME, "data", "/data").mutable_volume()->mutable_driver_options();
  EXPECT_FALSE(over_network());
  options["type"] = "tmpfs";
  options["device"] = "tmpfs";
  EXPECT_FALSE(over_network());
  for (const char* type : {"nfs", "nfs4", "cifs"}) {
    options["type"] = type;
    options["device"] = "//server/export";
    options["o"] = "addr=10.0.0.7";
    EXPECT_TRUE(over_network()) << type;
  }
}

TEST(HostDevicesTest, DevicesAreAsTheNodeHasThem) {
  v1::ContainerSpec spec;
  v1::Device& device = *spec.add_devices();
  device.set_host_path("/dev/null");
  device.set_container_path("/dev/nothing");
  device.set_permissions("r");
  const auto devices = FindDevices(spec);
  ASSERT_OK(devices);
  ASSERT_EQ(devices->size(), 1u);
  EXPECT_EQ(devices->at(0).path, "/dev/nothing");
  EXPECT_EQ(devices->at(0).major, 1u);
  EXPECT_EQ(devices->at(0).minor, 3u);
  EXPECT_EQ(devices->at(0).access, "r");
  device.set_host_path("/dev/no-such");
  EXPECT_THAT(FindDevices(spec), StatusIs(kUnmet, "device /dev/no-such is not on this node"));
  device.set_host_path("/etc/passwd");
  EXPECT_THAT(FindDevices(spec), StatusIs(kUnmet, HasSubstr("is not a device")));
}

}  // namespace
}  // namespace swarm::agent
