#include "common/local_volume.h"

#include <sys/mount.h>

#include "common/security_options.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Complaint(const std::map<std::string, std::string>& options) {
  return std::string(ParseLocalVolume(options).status().message());
}

TEST(LocalVolumeTest, NamesAreWhatAFolderMayBeCalled) {
  EXPECT_TRUE(CheckVolumeName("shop_db-data.1").ok());
  for (const char* bad : {"", ".", "..", "a/b", "-v", "_x", "a b"}) {
    EXPECT_THAT(CheckVolumeName(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
  EXPECT_FALSE(CheckVolumeName(std::string(kMaxVolumeName + 1, 'a')).ok());
}

TEST(LocalVolumeTest, WithoutOptionsIsAFolder) {
  const auto volume = ParseLocalVolume({});
  ASSERT_TRUE(volume.ok());
  EXPECT_FALSE(volume->is_mounted());
  EXPECT_FALSE(volume->is_shared());
}

TEST(LocalVolumeTest, PartsFlagsFromTheFileSystemsOwnOptions) {
  const auto volume = ParseLocalVolume(
      {{"type", "nfs"}, {"device", ":/export"}, {"o", "addr=10.0.0.7,ro,nosuid,rw,soft"}});
  ASSERT_TRUE(volume.ok()) << volume.status();
  EXPECT_EQ(volume->data, "addr=10.0.0.7,soft");
  EXPECT_EQ(volume->flags, uint64_t{MS_NOSUID});
  EXPECT_TRUE(volume->is_shared());
}

TEST(LocalVolumeTest, RefusesByTheOptionsName) {
  EXPECT_THAT(Complaint({{"sice", "1"}}), StartsWith("sice: is no option"));
  EXPECT_THAT(Complaint({{"device", "/x"}}), StartsWith("device: needs a type"));
  EXPECT_THAT(Complaint({{"type", "nfs"}}), StartsWith("device: must be set"));
  EXPECT_THAT(Complaint({{"type", "none"}, {"device", "/x"}}), HasSubstr("bind"));
  EXPECT_THAT(Complaint({{"type", "none"}, {"device", "x"}, {"o", "bind"}}),
              HasSubstr("not an absolute path"));
  EXPECT_THAT(Complaint({{"type", "tmpfs"}, {"device", "t"}, {"o", "remount"}}),
              HasSubstr("not for volumes"));
  EXPECT_THAT(Complaint({{"size", "big"}}), StartsWith("size: "));
  EXPECT_THAT(Complaint({{"type", "tmpfs"}, {"device", "t"}, {"size", "1m"}}),
              StartsWith("size: is for volumes without a type"));
}

TEST(SecurityOptionsTest, TakesDockersWordsWithEitherSign) {
  SecurityOptions options;
  ASSERT_TRUE(options.Add("no-new-privileges").ok());
  EXPECT_EQ(options.no_new_privileges, true);
  ASSERT_TRUE(options.Add("no-new-privileges=false").ok());
  EXPECT_EQ(options.no_new_privileges, false);
  ASSERT_TRUE(options.Add("seccomp:unconfined").ok());
  EXPECT_TRUE(options.seccomp_unconfined);
  ASSERT_TRUE(options.Add("systempaths=unconfined").ok());
  EXPECT_TRUE(options.system_paths_unconfined);
}

TEST(SecurityOptionsTest, OfSeveralSeccompProfilesTheLastCounts) {
  SecurityOptions options;
  ASSERT_TRUE(options.Add("seccomp=unconfined").ok());
  ASSERT_TRUE(options.Add("seccomp={\"a\":1}").ok());
  EXPECT_FALSE(options.seccomp_unconfined);
  EXPECT_EQ(options.seccomp_profile, "{\"a\":1}");
  ASSERT_TRUE(options.Add("seccomp=builtin").ok());
  EXPECT_FALSE(options.seccomp_unconfined);
  EXPECT_EQ(options.seccomp_profile, "");
  EXPECT_EQ(SeccompFile("seccomp:./a=b.json"), "./a=b.json");
  EXPECT_EQ(SeccompFile("seccomp={}"), "");
  EXPECT_EQ(SeccompFile("label:disable"), "");
  EXPECT_EQ(SecurityOptionKey("seccomp:x"), "seccomp");
  EXPECT_TRUE(IsSameSecurityOption("seccomp=unconfined", "seccomp:unconfined"));
  EXPECT_TRUE(IsSameSecurityOption("no-new-privileges", "no-new-privileges=true"));
  EXPECT_FALSE(IsSameSecurityOption("no-new-privileges", "no-new-privileges:false"));
  EXPECT_FALSE(IsSameSecurityOption("seccomp=unconfined", "seccomp"));
  EXPECT_FALSE(IsSameSecurityOption("seccomp=unconfined", "systempaths=unconfined"));
  EXPECT_EQ(SecurityOptionWords("seccomp={\"a\":1}"), "seccomp={…} (7 bytes)");
  EXPECT_EQ(SecurityOptionWords("label:disable"), "label:disable");
}

TEST(SecurityOptionsTest, AcceptsWhatIsSoAnywayAndRefusesTheRestByName) {
  SecurityOptions options;
  EXPECT_TRUE(options.Add("apparmor=unconfined").ok());
  EXPECT_TRUE(options.Add("label:disable").ok());
  EXPECT_THAT(options.Add("apparmor=docker-default").message(), HasSubstr("AppArmor"));
  EXPECT_THAT(options.Add("label=type:svirt").message(), HasSubstr("SELinux"));
  EXPECT_THAT(options.Add("seccomp=/profile.json").message(), HasSubstr("a profile's JSON"));
  EXPECT_THAT(options.Add("seccomp").message(), HasSubstr("a profile's JSON"));
  EXPECT_THAT(options.Add("nonsense").message(), HasSubstr("unknown"));
}

}  // namespace
}  // namespace swarm
