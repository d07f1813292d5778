// What the size of a volume holds back: project quotas of ext4 and xfs, on a file system in a file.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/volume/project_quota.h"
#include "common/unique_fd.h"
#include "tests/vm/volume_test_world.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kMiB = 1 << 20;

// The loop device of a file, which goes when the last that uses it does.
UniqueFd OpenLoopDevice(const std::string& file, std::string* path) {
  const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  const UniqueFd backing(open(file.c_str(), O_RDWR | O_CLOEXEC));
  loop_config config = {};
  config.fd = static_cast<uint32_t>(backing.get());
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
  while (true) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return UniqueFd();
    *path = absl::StrCat("/dev/loop", number);
    UniqueFd device(open(path->c_str(), O_RDWR | O_CLOEXEC));
    if (ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY) return UniqueFd();  // somebody else was faster
  }
}

struct Written {
  int64_t bytes = 0;
  int error = 0;
};

// As a process of a container: without the capability by which ext4 lets pass its limits.
Written Write(const std::string& path, int64_t bytes) {
  Written out;
  std::thread([&] {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    ASSERT_EQ(syscall(SYS_capset, &header, none), 0);
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    const std::string block(64 << 10, 'x');
    while (out.bytes < bytes) {
      const ssize_t n = write(fd.get(), block.data(), block.size());
      if (n < 0) {
        out.error = errno;
        return;
      }
      out.bytes += n;
    }
  }).join();
  return out;
}

struct FileSystem {
  const char* type;
  const char* make;  // the command
};
void PrintTo(const FileSystem& system, std::ostream* out) { *out << system.type; }
constexpr FileSystem kExt4 = {"ext4", "mkfs.ext4 -q -O quota,project"};
constexpr FileSystem kExt4WithoutProjects = {"ext4", "mkfs.ext4 -q"};
constexpr FileSystem kXfs = {"xfs", "mkfs.xfs -q"};

class VolumeQuotaTest : public VolumeTestWorld {
 protected:
  void TearDown() override {
    if (store_ == nullptr) return;
    EXPECT_THAT(store_->ReleaseAllBut({}), IsOk());
    store_.reset();
    EXPECT_EQ(umount2(disk_.c_str(), 0), 0) << std::strerror(errno);
  }

  // The store on a file system of 320 MiB; sparse. Nothing is mounted when the machine cannot.
  void MountStore(const FileSystem& system, const char* options) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: mounts file systems";
    const std::string image = root_.Write("image", "");
    ASSERT_EQ(truncate(image.c_str(), 320 * kMiB), 0);
    if (std::system(absl::StrCat(system.make, " ", image).c_str()) != 0) {
      GTEST_SKIP() << "no " << system.make;
    }
    ASSERT_THAT(MakeDirectories(disk_, 0700), IsOk());
    std::string device;
    const UniqueFd loop = OpenLoopDevice(image, &device);
    if (!loop.valid()) GTEST_SKIP() << "no loop device: " << std::strerror(errno);
    if (mount(device.c_str(), disk_.c_str(), system.type, 0, options) != 0) {
      GTEST_SKIP() << "this kernel mounts no " << system.type << " with \"" << options
                   << "\": " << std::strerror(errno);
    }
    OpenStore(disk_ + "/volumes");
  }

  const std::string disk_ = root_ / "disk";
};

class SizeTest : public VolumeQuotaTest, public ::testing::WithParamInterface<FileSystem> {
 protected:
  void SetUp() override { MountStore(GetParam(), "prjquota"); }

  std::string Make(const std::string& name, const std::string& size) {
    const auto data = Use(name, "t", {{"size", size}});
    EXPECT_THAT(data, IsOk());
    return data.value_or("");
  }
};
INSTANTIATE_TEST_SUITE_P(, SizeTest, ::testing::Values(kExt4, kXfs),
                         [](const auto& info) { return info.param.type; });

// ext4 says EDQUOT, xfs ENOSPC.
auto IsFull() { return AnyOf(EDQUOT, ENOSPC); }
auto IsAbout(int64_t bytes) {
  return ::testing::AllOf(::testing::Gt(bytes - kMiB / 2), ::testing::Le(bytes));
}

TEST_P(SizeTest, AVolumeHoldsItsSizeAndOthersDoNotFeelIt) {
  const std::string full = Make("full", "8m");
  const std::string other = Make("other", "8m");
  const auto plain = Use("plain", "t", {});
  ASSERT_THAT(plain, IsOk());
  const Written written = Write(full + "/file", 16 * kMiB);
  EXPECT_THAT(written.error, IsFull());
  EXPECT_THAT(written.bytes, IsAbout(8 * kMiB));
  EXPECT_EQ(Write(other + "/file", 7 * kMiB).error, 0);
  EXPECT_EQ(Write(*plain + "/file", 16 * kMiB).error, 0);
}

TEST_P(SizeTest, ItIsWhatProgramsSeeAsTheDisksSize) {
  struct statvfs info;
  ASSERT_EQ(statvfs(Make("small", "8m").c_str(), &info), 0);
  EXPECT_EQ(info.f_blocks * info.f_frsize, 8U * kMiB);
}

TEST_P(SizeTest, WhatTheImageBroughtCounts) {
  const ImageFolder image = MakeImage("file", std::string(5 * kMiB, 'x'));
  const auto data = Use("filled", "t", {{"size", "8m"}}, &image);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(In(*data), ElementsAre("file"));
  const Written written = Write(*data + "/more", 16 * kMiB);
  EXPECT_THAT(written.error, IsFull());
  EXPECT_THAT(written.bytes, IsAbout(3 * kMiB));
}

TEST_P(SizeTest, AnImageThatHasMoreIsNotCopied) {
  const ImageFolder image = MakeImage("file", std::string(12 * kMiB, 'x'));
  EXPECT_THAT(Use("small", "t1", {{"size", "8m"}}, &image).status().message(),
              AnyOf(HasSubstr("Disk quota exceeded"), HasSubstr("No space left on device")));
  const auto data = Use("small", "t2", {{"size", "8m"}});
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(In(*data), IsEmpty());
}

TEST_P(SizeTest, TheNextVolumeHasTheProjectOfARemovedOne) {
  const std::string old = Make("old", "8m");
  const uint32_t project = ProjectOf(old);
  EXPECT_NE(project, 0U);
  EXPECT_THAT(Write(old + "/file", 16 * kMiB).error, IsFull());
  OpenStore(disk_ + "/volumes");
  EXPECT_NE(ProjectOf(Make("beside", "8m")), project);
  ASSERT_THAT(store_->Release("t"), IsOk());
  ASSERT_THAT(store_->Remove("old"), IsOk());
  const std::string next = Make("next", "4m");
  EXPECT_EQ(ProjectOf(next), project);
  const Written written = Write(next + "/file", 16 * kMiB);
  EXPECT_THAT(written.error, IsFull());
  EXPECT_THAT(written.bytes, IsAbout(4 * kMiB));
}

struct Unlimited {
  const char* name;
  FileSystem system;
  const char* options;
};
void PrintTo(const Unlimited& unlimited, std::ostream* out) { *out << unlimited.name; }
class NoSizeTest : public VolumeQuotaTest, public ::testing::WithParamInterface<Unlimited> {
 protected:
  void SetUp() override { MountStore(GetParam().system, GetParam().options); }
};
INSTANTIATE_TEST_SUITE_P(, NoSizeTest,
                         ::testing::Values(Unlimited{"ext4", kExt4WithoutProjects, ""},
                                           Unlimited{"ext4_mounted_without", kExt4, ""},
                                           Unlimited{"xfs_mounted_without", kXfs, ""},
                                           Unlimited{"xfs_that_only_counts", kXfs, "pqnoenforce"}),
                         [](const auto& info) { return info.param.name; });

TEST_P(NoSizeTest, ASizeIsRefusedWhereNothingHoldsItBack) {
  EXPECT_THAT(Use("small", "t", {{"size", "8m"}}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("size: the file system of ", disk_,
                                    "/volumes/.new-small/_data has no project quotas: mount it "
                                    "(xfs or ext4) with prjquota, or leave the size out")));
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_THAT(In(disk_ + "/volumes"), IsEmpty());
  EXPECT_THAT(Use("plain", "t", {}), IsOk());
}

}  // namespace
}  // namespace swarm::agent
