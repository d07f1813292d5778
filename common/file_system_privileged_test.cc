#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "common/file_system.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

// In a mount namespace of its own: what it mounts ends with it. 0 when all went well.
int RemoveAcrossAMount(const std::string& root) {
  if (::unshare(CLONE_NEWNS) != 0) return 10;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 11;
  const std::string kept = root + "/kept", tree = root + "/tree", inside = tree + "/a/mounted";
  if (!MakeDirectories(kept, 0755).ok() || !MakeDirectories(inside, 0755).ok()) return 12;
  if (!WriteFileAtomically(kept + "/file", "x", 0600).ok()) return 13;
  if (!WriteFileAtomically(tree + "/gone", "x", 0600).ok()) return 14;
  // A bind of the same file system: the device number does not give it away.
  if (::mount(kept.c_str(), inside.c_str(), nullptr, MS_BIND, nullptr) != 0) return 15;
  if (RemoveTree(tree).code() != absl::StatusCode::kFailedPrecondition) return 16;
  if (!PathExists(kept + "/file")) return 17;
  if (PathExists(tree + "/gone")) return 18;
  if (RemoveTree(inside).code() != absl::StatusCode::kFailedPrecondition) return 19;
  if (!PathExists(kept + "/file")) return 20;
  if (::umount(inside.c_str()) != 0) return 21;
  return RemoveTree(tree).ok() && !PathExists(tree) ? 0 : 22;
}

TEST(FileSystemMountTest, RemoveTreeStopsAtMountsAndRemovesTheRest) {
  std::string root = ::testing::TempDir() + "file_system_mount_XXXXXX";
  ASSERT_NE(::mkdtemp(root.data()), nullptr);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(RemoveAcrossAMount(root));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "step " << WEXITSTATUS(status);
  EXPECT_OK(RemoveTree(root));
}

}  // namespace
}  // namespace swarm
