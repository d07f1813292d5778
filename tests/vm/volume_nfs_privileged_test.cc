// Volumes of a real NFS server: the kernel's own, on this machine.
#include <linux/nfsd/export.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <future>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/volume/local_mount.h"
#include "tests/vm/volume_test_world.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// One write, as kernel files want it.
bool Put(const std::string& path, const std::string& line) {
  std::ofstream file(path);
  file << line << "\n" << std::flush;
  return file.good();
}

bool KernelHas(const std::string& file_system) {
  return absl::StrContains(ReadFile("/proc/filesystems").value_or(""),
                           absl::StrCat("\t", file_system, "\n"));
}

class VolumeNfsTest : public VolumeTestWorld {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: mounts file systems";
    for (const char* needed : {"nfs", "nfs4", "nfsd"}) {
      if (!KernelHas(needed)) GTEST_SKIP() << "this kernel has no file system \"" << needed << "\"";
    }
    // Not on the machine's own file system, which the server may not be able to export.
    for (const std::string& folder : {disk_, control_, root_ / "clients"}) {
      ASSERT_THAT(MakeDirectories(folder, 0755), IsOk());
    }
    ASSERT_EQ(mount("tmpfs", disk_.c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_THAT(MakeDirectories(export_, 0755), IsOk());
    ASSERT_EQ(mount("nfsd", control_.c_str(), "nfsd", 0, nullptr), 0);
    if (Read(control_ + "/threads") != "0\n") GTEST_SKIP() << "this machine is an NFS server";
    StartServer();
    OpenStore(root_ / "volumes");
  }
  void TearDown() override {
    if (store_ != nullptr) {
      EXPECT_THAT(store_->ReleaseAllBut({}), IsOk());
      store_.reset();
      StopServer();
    }
    for (const std::string& folder : {control_, disk_}) EXPECT_THAT(UnmountLocal(folder), IsOk());
  }

  static Options Far(const std::string& o) {
    return {{"type", "nfs4"}, {"o", o}, {"device", ":/export"}};
  }

  // Does itself what exportfs, rpc.mountd and rpc.nfsd do for a server of NFSv4 alone: all of
  // `disk_` is its root, for us.
  void StartServer() {
    constexpr int kFlags = NFSEXP_FSID | NFSEXP_NOSUBTREECHECK | NFSEXP_INSECURE_PORT;
    constexpr char kForever[] = " 2147483647 ";
    const std::string caches = "/proc/net/rpc/";
    ASSERT_TRUE(
        Put(caches + "auth.unix.ip/channel", absl::StrCat("nfsd 127.0.0.1", kForever, "us")));
    ASSERT_TRUE(Put(caches + "nfsd.export/channel",
                    absl::StrCat("us ", disk_, kForever, kFlags, " 65534 65534 0")));
    ASSERT_TRUE(Put(caches + "nfsd.fh/channel", absl::StrCat("us 1 \\x00000000", kForever, disk_)));
    ASSERT_TRUE(Put(control_ + "/nfsv4recoverydir", root_ / "clients"));
    ASSERT_TRUE(Put(control_ + "/versions", "-2 -3 +4 +4.1 +4.2"));
    ASSERT_TRUE(Put(control_ + "/portlist", "tcp 2049"));
    ASSERT_TRUE(Put(control_ + "/threads", "2"));
    // It waits for nobody's locks of before.
    ASSERT_TRUE(Put(control_ + "/v4_end_grace", "Y"));
  }
  void StopServer() { EXPECT_TRUE(Put(control_ + "/threads", "0")); }

  const std::string disk_ = root_ / "disk";
  const std::string export_ = root_ / "disk/export";
  const std::string control_ = root_ / "control";
};

TEST_F(VolumeNfsTest, WhatIsInTheVolumeIsOnTheServerHoweverItIsSpelled) {
  const std::vector<Options> spellings = {
      {{"type", "nfs"}, {"o", "addr=127.0.0.1,rw,nfsvers=4"}, {"device", ":/export"}},
      {{"type", "nfs"}, {"o", "vers=4.2,addr=127.0.0.1,soft"}, {"device", ":/export"}},
      {{"type", "nfs4"}, {"o", "addr=127.0.0.1"}, {"device", ":/export"}},
      {{"type", "nfs4"}, {"o", "nfsvers=4,addr=127.0.0.1"}, {"device", "127.0.0.1:/export"}}};
  for (const Options& options : spellings) {
    SCOPED_TRACE(options.at("type") + " " + options.at("o"));
    ASSERT_THAT(WriteFileAtomically(export_ + "/theirs", options.at("o"), 0644), IsOk());
    const auto data = Use("far", "t", options);
    ASSERT_THAT(data, IsOk());
    EXPECT_EQ(Read(*data + "/theirs"), options.at("o"));
    ASSERT_THAT(WriteFileDurably(*data + "/ours", options.at("o"), 0644), IsOk());
    EXPECT_EQ(Read(export_ + "/ours"), options.at("o"));
    ASSERT_THAT(store_->Release("t"), IsOk());
    EXPECT_FALSE(IsMountPoint(*data));
    EXPECT_THAT(In(*data), IsEmpty());
    ASSERT_THAT(store_->Remove("far"), IsOk());
    EXPECT_THAT(In(export_), ElementsAre("ours", "theirs"));
  }
}

TEST_F(VolumeNfsTest, AReadOnlyVolumeChangesNothingOnTheServer) {
  const auto data = Use("far", "t", Far("addr=127.0.0.1,ro"));
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(mkdir((*data + "/ours").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(VolumeNfsTest, AnEmptyExportGetsWhatTheImageHas) {
  const ImageFolder image = MakeImage("page", "welcome");
  ASSERT_THAT(Use("far", "t", Far("addr=127.0.0.1"), &image), IsOk());
  EXPECT_EQ(Read(export_ + "/page"), "welcome");
}

TEST_F(VolumeNfsTest, SaysWhatIsWrong) {
  const struct {
    const char* type;
    const char* o;
    const char* device;
    const char* reason;
  } mistakes[] = {
      {"nfs4", "addr=127.0.0.1", ":/nothing",
       "mount :/nothing (type nfs4): No such file or directory"},
      {"nfs", "addr=192.0.2.1,nfsvers=4", ":/export",
       "addr=192.0.2.1: no answer at port 2049: connect: Network is unreachable"},
      {"nfs", "addr=127.0.0.1,nfsvers=4,port=2050", ":/export",
       "addr=127.0.0.1: no answer at port 2050: connect: Connection refused"},
      {"nfs", "addr=127.0.0.1,rw", ":/export",
       "mount :/export (type nfs): Connection refused: by NFSv3, which asks the server's rpcbind "
       "and mountd; o: nfsvers=4 is NFSv4"},
      {"nfs4", "addr=127.0.0.1,colour=blue", ":/export",
       "mount :/export (type nfs4): Invalid argument: the node's kernel log may name the option"},
      {"nfs4", "rw", "127.0.0.1:/export",
       "mount 127.0.0.1:/export (type nfs4): Invalid argument: o needs the server's address, as in "
       "addr=10.0.0.7"}};
  for (const auto& wrong : mistakes) {
    EXPECT_THAT(Use("far", "t", {{"type", wrong.type}, {"o", wrong.o}, {"device", wrong.device}}),
                StatusIs(absl::StatusCode::kFailedPrecondition, wrong.reason));
    ASSERT_THAT(store_->Release("t"), IsOk());
    ASSERT_THAT(store_->Remove("far"), IsOk());
  }
}

TEST_F(VolumeNfsTest, AServerThatIsGoneHoldsNoRelease) {
  const auto data = Use("far", "t1", Far("addr=127.0.0.1"));  // hard: it is asked for ever
  ASSERT_THAT(data, IsOk());
  ASSERT_THAT(WriteFileDurably(*data + "/ours", "new", 0644), IsOk());
  StopServer();
  EXPECT_THAT(store_->Release("t1"), IsOk());
  EXPECT_FALSE(IsMountPoint(*data));
  EXPECT_THAT(store_->Remove("far"), IsOk());
}

TEST_F(VolumeNfsTest, ASoftMountSaysThatItsServerIsGoneAndHoldsNoOtherVolume) {
  const Options options = Far("addr=127.0.0.1,soft,timeo=5,retrans=1");
  const ImageFolder image = MakeImage("page", "welcome");
  ASSERT_THAT(Use("far", "t1", options), IsOk());
  StopServer();
  // The next task's looks for something in it.
  auto used = std::async(std::launch::async, [&] { return Use("far", "t2", options, &image); });
  EXPECT_THAT(Use("near", "t3", {}), IsOk());
  EXPECT_EQ(used.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  // What the kernel says where the folder itself cannot be asked for.
  EXPECT_THAT(std::string(used.get().status().message()), HasSubstr("Stale file handle"));
}

}  // namespace
}  // namespace swarm::agent
