// What limits and device rules do, and that cgroups are hidden and removed: the same on v1, v2 and
// hybrid machines.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/runtime/cgroups.h"
#include "agent/runtime/runtime_test_world.h"
#include "common/file_system.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LimitsTest : public RuntimeTestWorld {
 protected:
  nlohmann::json Config(const std::string& script) const {
    return nlohmann::json::parse(ConfigText(Shell(script)));
  }

  // One write, as kernel files want it.
  static bool Put(const std::string& path, const std::string& value) {
    std::ofstream file(path);
    file << value << std::flush;
    return file.good();
  }
};

TEST_F(LimitsTest, KnowsHowTheMachineHasItsCgroups) {
  const auto mountinfo = ReadFile("/proc/self/mountinfo");
  ASSERT_OK(mountinfo);
  const bool v1 = absl::StrContains(*mountinfo, " - cgroup ");
  const bool v2 = absl::StrContains(*mountinfo, " - cgroup2 ");
  EXPECT_EQ(runtime_->CgroupMode(), v1 && v2 ? "hybrid" : v2 ? "v2" : "v1");
}

TEST_F(LimitsTest, EveryLimitReachesTheKernel) {
  auto config = Config(
      "cd /sys/fs/cgroup; cat memory.max memory.low memory.swap.max cpu.max cpu.weight pids.max "
      "memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes cpu/cpu.cfs_quota_us "
      "cpu/cpu.cfs_period_us cpu/cpu.shares pids/pids.max 2>/dev/null");
  auto& resources = config["linux"]["resources"];
  resources["memory"] = {{"limit", 64 << 20}, {"reservation", 32 << 20}, {"swap", 80 << 20}};
  resources["cpu"] = {{"quota", 50000}, {"period", 200000}, {"shares", 512}};
  resources["pids"] = {{"limit", 33}};
  EXPECT_THAT(Run(config).out, AnyOf("67108864\n33554432\n16777216\n50000 200000\n20\n33\n",
                                     "67108864\n33554432\n50000\n200000\n512\n33\n"));
}

TEST_F(LimitsTest, NoLimitIsNoLimit) {
  auto config = Config(
      "cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max pids.max "
      "cpu/cpu.cfs_quota_us pids/pids.max 2>/dev/null");
  auto& resources = config["linux"]["resources"];
  resources["memory"] = {{"limit", -1}, {"swap", -1}};
  resources["pids"] = {{"limit", -1}};
  EXPECT_THAT(Run(config).out, AnyOf("max\nmax\nmax 100000\nmax\n", "-1\nmax\n"));
}

TEST_F(LimitsTest, AQuotaThrottles) {
  auto config = Config(
      "yes > /dev/null & cd /sys/fs/cgroup;"
      "while cat cpu.stat cpu/cpu.stat 2>/dev/null | grep -q '^nr_throttled 0$'; do sleep 0.05; "
      "done;"
      "cat cpu.stat cpu/cpu.stat 2>/dev/null | grep nr_throttled");
  config["linux"]["resources"]["cpu"] = {{"quota", 10000}, {"period", 100000}};
  const Result result = Run(config);
  EXPECT_EQ(result.exit.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("nr_throttled "));
}

TEST_F(LimitsTest, NoProcessIsForkedAboveTheLimit) {
  auto config = Config("for i in 1 2 3 4 5 6 7 8; do sleep 100 & echo $i; done");
  config["linux"]["resources"]["pids"] = {{"limit", 5}};
  const Result result = Run(config);
  EXPECT_THAT(result.err, HasSubstr("can't fork"));
  EXPECT_EQ(result.out, "1\n2\n3\n4\n");
}

// Major 60 is for local use: the kernel finds no driver behind it, once the rules let it look.
constexpr char kNoDriver[] = "No such device or address";
constexpr char kForbidden[] = "Operation not permitted";

TEST_F(LimitsTest, ADeviceRuleOpensItsDeviceAndNoOther) {
  auto config = Config(
      "mknod /given c 60 7; mknod /other c 60 8; mknod /disk b 60 7;"
      "head -c1 /given; head -c1 /other; head -c1 /disk; echo x > /given");
  config["linux"]["resources"]["devices"].push_back(
      {{"allow", true}, {"type", "c"}, {"major", 60}, {"minor", 7}, {"access", "r"}});
  const std::string err = Run(config).err;
  EXPECT_THAT(err, HasSubstr(absl::StrCat("/given: ", kNoDriver)));
  EXPECT_THAT(err, HasSubstr(absl::StrCat("/other: ", kForbidden)));
  EXPECT_THAT(err, HasSubstr(absl::StrCat("/disk: ", kForbidden)));
  EXPECT_THAT(err, HasSubstr(absl::StrCat("create /given: ", kForbidden)));
}

TEST_F(LimitsTest, ARuleForAllDevicesOpensAll) {
  auto config = Config("mknod /c c 60 7; mknod /b b 60 7; head -c1 /c; head -c1 /b");
  config["linux"]["resources"]["devices"].push_back({{"allow", true}, {"access", "rwm"}});
  const std::string err = Run(config).err;
  EXPECT_THAT(err, HasSubstr(absl::StrCat("/c: ", kNoDriver)));
  EXPECT_THAT(err, HasSubstr(absl::StrCat("/b: ", kNoDriver)));
}

TEST_F(LimitsTest, SeesItsOwnCgroupAsTheRoot) {
  const Result result = RunShell(
      "cut -d: -f3 /proc/self/cgroup | grep -v '^/$' | wc -l;"
      "cat /proc/self/mountinfo");
  EXPECT_THAT(result.out, ::testing::StartsWith("0\n"));
  EXPECT_THAT(result.out, HasSubstr("/sys/fs/cgroup"));
  EXPECT_THAT(result.out, Not(HasSubstr(parent_)));
}

TEST_F(LimitsTest, KillsAndRemovesWhatIsInCgroupsInsideOfItsOwn) {
  ASSERT_OK(PrepareAndStart("c", Config("sleep 1000 & echo up; exec sleep 1000")));
  AwaitLog("c", "up");
  const std::vector<std::string> dirs = CgroupDirs("c");
  ASSERT_FALSE(dirs.empty());
  for (const std::string& dir : dirs) {
    const std::string inner = absl::StrCat(dir, "/inner");
    ASSERT_EQ(mkdir(inner.c_str(), 0755), 0);
    ASSERT_EQ(mkdir(absl::StrCat(inner, "/deeper").c_str(), 0755), 0);
    std::ifstream processes(absl::StrCat(dir, "/cgroup.procs"));
    int moved = 0;
    for (std::string pid; std::getline(processes, pid); ++moved) {
      EXPECT_TRUE(Put(absl::StrCat(inner, "/cgroup.procs"), pid)) << dir;
    }
    EXPECT_EQ(moved, 2) << dir;
    // As a container manager inside would: from now on no process may be in the outer one.
    const std::string controllers = absl::StrCat(dir, "/cgroup.subtree_control");
    if (runtime_->CgroupMode() == "v2") {
      EXPECT_TRUE(Put(controllers, "+memory +pids"));
    }
  }
  ASSERT_OK(runtime_->Kill("c"));
  EXPECT_EQ(Wait("c").exit.exit_code, 137);
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
}

TEST_F(LimitsTest, NoticesOutOfMemoryInACgroupInsideOfItsOwn) {
  auto config =
      Config("while [ ! -e /go ]; do sleep 0.02; done; exec dd if=/dev/zero of=/dev/null bs=64M");
  config["linux"]["resources"]["memory"] = {{"limit", 16 << 20}};
  ASSERT_OK(PrepareAndStart("c", config));
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  for (const std::string& dir : CgroupDirs("c")) {
    const std::string inner = absl::StrCat(dir, "/inner");
    ASSERT_EQ(mkdir(inner.c_str(), 0755), 0);
    // v1 counts a cgroup's own processes only.
    if (runtime_->CgroupMode() == "v2") {
      ASSERT_TRUE(Put(absl::StrCat(inner, "/cgroup.procs"), absl::StrCat(state->init.pid)));
    }
  }
  ASSERT_OK(WriteFileAtomically(absl::StrCat("/proc/", state->init.pid, "/root/go"), "", 0644));
  EXPECT_TRUE(Wait("c").exit.oom_killed);
  EXPECT_OK(runtime_->Remove("c"));
}

TEST_F(LimitsTest, TheParentMayBeDeep) {
  const auto cgroups = Cgroups::Open(absl::StrCat(parent_, "/a/b"), "test");
  ASSERT_OK(cgroups);
  OciResources resources;
  resources.pids_limit = 7;
  ASSERT_OK(cgroups->Create("c", resources));
  int limited = 0;
  for (const std::string& dir : CgroupDirs("a/b/c")) {
    const auto limit = ReadFile(absl::StrCat(dir, "/pids.max"));
    if (!limit.ok()) continue;  // the controller lives in another hierarchy
    EXPECT_EQ(*limit, "7\n");
    ++limited;
  }
  EXPECT_EQ(limited, 1);
  EXPECT_THAT(cgroups->List(), ::testing::ElementsAre("c"));
  EXPECT_OK(cgroups->Remove("c", absl::Seconds(30)));
  for (const char* made : {"a/b", "a"}) {
    for (const std::string& dir : CgroupDirs(made)) EXPECT_EQ(rmdir(dir.c_str()), 0) << dir;
  }
}

TEST_F(LimitsTest, AKillThatMeetsARemovalIsNoError) {
  const auto cgroups = Cgroups::Open(parent_, "test");
  ASSERT_OK(cgroups);
  for (int i = 0; i < 500; ++i) {
    ASSERT_OK(cgroups->Create("c", OciResources()));
    std::atomic<bool> removed = false;
    std::thread killer([&] {
      while (!removed) EXPECT_OK(cgroups->Kill("c"));
    });
    EXPECT_OK(cgroups->Remove("c", absl::Seconds(30)));
    removed = true;
    killer.join();
  }
}

}  // namespace
}  // namespace swarm::agent
