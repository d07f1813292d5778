#include "agent/shim/sys.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "agent/runtime/seccomp_profile.h"
#include "agent/shim/seccomp_check.h"

namespace swarm::sys {
namespace {

class Renamer {
 public:
  explicit Renamer(const std::string& dir) : a_(dir + "/a"), b_(dir + "/b") {
    std::filesystem::create_directory(a_);
    thread_ = std::thread([this] {
      while (!stop_) {
        rename(a_.c_str(), b_.c_str());
        rename(b_.c_str(), a_.c_str());
      }
    });
  }
  ~Renamer() {
    stop_ = true;
    thread_.join();
  }

 private:
  const std::string a_;
  const std::string b_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(SysTest, LinksUpwardsAreOpenedWhileTheHostRenames) {
  std::string root = ::testing::TempDir() + "/swarm-sys-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  std::filesystem::create_directories(root + "/root/etc/deep");
  std::filesystem::create_symlink("../../../../etc/../etc/deep/..", root + "/root/etc/deep/up");
  const int fd = Open((root + "/root").c_str(), O_PATH | O_DIRECTORY);
  ASSERT_GE(fd, 0);
  {
    const Renamer renamer(root);
    int failed = 0;
    for (int i = 0; i < 20000; ++i) {
      const int target = OpenInRoot(fd, "/etc/deep/up", O_PATH | O_DIRECTORY);
      if (target < 0) {
        ++failed;
      } else {
        Close(target);
      }
    }
    EXPECT_EQ(failed, 0);
  }
  Close(fd);
  std::filesystem::remove_all(root);
}

TEST(SeccompCheckTest, KnowsWhatAFilterLetsThroughWhateverTheArguments) {
  const auto allows = [](const agent::OciSeccomp& profile, long call) {
    const std::string bytes = agent::CompileSeccomp(profile).value();
    return shim::SurelyAllows(reinterpret_cast<const sock_filter*>(bytes.data()),
                              bytes.size() / sizeof(sock_filter), static_cast<uint32_t>(call));
  };
  const agent::OciSeccomp standard = agent::DefaultSeccomp(0);
  for (const int call : {SYS_rt_sigtimedwait, SYS_wait4, SYS_kill, SYS_exit_group}) {
    EXPECT_TRUE(allows(standard, call)) << call;
    agent::OciSeccomp denies;
    denies.default_action = SECCOMP_RET_ALLOW;
    EXPECT_TRUE(allows(denies, call)) << call;
    for (const char* name : {"rt_sigtimedwait", "wait4", "kill", "exit_group"}) {
      denies.rules.push_back({{name}, SECCOMP_RET_KILL_PROCESS, {}});
    }
    EXPECT_FALSE(allows(denies, call)) << call;
    EXPECT_TRUE(allows(denies, SYS_read));
  }
  for (const int call : {SYS_mount, SYS_setns, SYS_clone /* by its flags */, 5000}) {
    EXPECT_FALSE(allows(standard, call)) << call;
  }
  EXPECT_FALSE(shim::SurelyAllows(nullptr, 0, SYS_kill));
}

}  // namespace
}  // namespace swarm::sys
