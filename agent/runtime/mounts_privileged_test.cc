// What a task mounts, and what it may do beyond the usual, on real containers.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "agent/runtime/runtime_test_world.h"
#include "common/file_system.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class MountsTest : public RuntimeTestWorld {
 protected:
  void SetUp() override {
    RuntimeTestWorld::SetUp();
    if (IsSkipped()) return;
    data_ = absl::StrCat(root_, "/data");
    ASSERT_OK(MakeDirectories(absl::StrCat(data_, "/sub/inner"), 0755));
    ASSERT_OK(WriteFileAtomically(absl::StrCat(data_, "/sub/file"), "here", 0644));
  }
  nlohmann::json Config(const std::string& script, const v1::TaskSpec& task = {}) const {
    return nlohmann::json::parse(ConfigText(Shell(script), task));
  }
  static void Mount(nlohmann::json& config, const std::string& target, const std::string& type,
                    const std::string& source, const std::vector<std::string>& options) {
    config["mounts"].push_back(
        {{"destination", target}, {"type", type}, {"source", source}, {"options", options}});
  }

  std::string data_;
};

TEST_F(MountsTest, AVolumeIsWrittenThroughAndReadOnlyOneIsNot) {
  nlohmann::json config = Config("echo more > /v/new; cat /v/sub/file; touch /r/x || echo no");
  Mount(config, "/v", "bind", data_, {"rbind", "rprivate"});
  Mount(config, "/r", "bind", data_, {"rbind", "rprivate", "rro"});
  const Result result = Run(config);
  EXPECT_EQ(result.out, "hereno\n");
  EXPECT_EQ(ReadFile(absl::StrCat(data_, "/new")).value_or(""), "more\n");
}

TEST_F(MountsTest, ASubpathIsTheVolumesAndNeverLeadsOut) {
  nlohmann::json config = Config("cat /v/file; ls /v");
  Mount(config, "/v", "bind", data_, {"rbind", "rprivate", "swarm:subpath=sub"});
  EXPECT_EQ(Run(config).out, "herefile\ninner\n");
  // As a container that shares the volume could have left it (CVE-2017-1002101).
  ASSERT_EQ(symlink("/etc", absl::StrCat(data_, "/evil").c_str()), 0);
  config = Config("true");
  Mount(config, "/v", "bind", data_, {"rbind", "rprivate", "swarm:subpath=evil"});
  EXPECT_THAT(std::string(Prepare("evil", config).message()), StartsWith("open the mount source"));
}

TEST_F(MountsTest, ATmpfsHasItsSizeAndItsMode) {
  nlohmann::json config =
      Config("dd if=/dev/zero of=/t/x bs=1k count=100 2>/dev/null || echo full; stat -c %a /t");
  Mount(config, "/t", "tmpfs", "tmpfs", {"nosuid", "nodev", "noexec", "mode=1700", "size=65536"});
  EXPECT_THAT(Run(config).out, HasSubstr("full\n1700\n"));
}

TEST_F(MountsTest, ADeviceCanBeOpenedOnlyWhenItIsAllowed) {
  if (access("/dev/fuse", F_OK) != 0) GTEST_SKIP() << "this machine has no /dev/fuse";
  nlohmann::json config = Config("(: <> /dev/fuse) 2>/dev/null && echo opened || echo no");
  config["linux"]["devices"].push_back(
      {{"path", "/dev/fuse"}, {"type", "c"}, {"major", 10}, {"minor", 229}, {"fileMode", 0666}});
  EXPECT_EQ(Run(config).out, "no\n");
  config["linux"]["resources"]["devices"].push_back(
      {{"allow", true}, {"type", "c"}, {"major", 10}, {"minor", 229}, {"access", "rw"}});
  EXPECT_EQ(Run(config).out, "opened\n");
}

TEST_F(MountsTest, APrivilegedContainerHasAllRightsAndNoFilter) {
  v1::TaskSpec task;
  task.mutable_container()->set_privileged(true);
  const Result result = Run(Config(
      "grep -E 'NoNew|Seccomp:' /proc/self/status; mkdir /tmp/m;"
      "mount -t tmpfs t /tmp/m && echo mounted; cat /proc/sys/kernel/hostname > /dev/null && "
      "echo 1 > /proc/sys/kernel/domainname && echo written",
      task));
  EXPECT_THAT(result.out, HasSubstr("NoNewPrivs:\t0\nSeccomp:\t0\n"));
  EXPECT_THAT(result.out, HasSubstr("mounted\n"));
  EXPECT_THAT(result.out, HasSubstr("written\n"));
}

TEST_F(MountsTest, SharedMemoryIsAsLargeAsAsked) {
  v1::TaskSpec task;
  task.mutable_container()->set_shm_size_bytes(1 << 20);
  EXPECT_EQ(Run(Config("df -k /dev/shm | tail -1 | awk '{print $2}'", task)).out, "1024\n");
}

}  // namespace
}  // namespace swarm::agent
