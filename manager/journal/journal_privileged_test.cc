// F4, on a small file system of its own.
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "common/event_loop.h"
#include "common/file_system.h"
#include "gtest/gtest.h"
#include "manager/journal/journal.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

// In a mount namespace of its own: what it mounts ends with it. 0 when all went well.
int CommitOnAFullDisk(const std::string& folder) {
  if (::unshare(CLONE_NEWNS) != 0) return 10;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 11;
  if (::mount("none", folder.c_str(), "tmpfs", 0, "size=2m") != 0) return 12;
  const std::string ballast = folder + "/ballast";
  if (!WriteFileAtomically(ballast, std::string(1 << 20, 'x'), 0600).ok()) return 13;
  auto loop = MakeAsioLoop();
  auto journal = OpenSqliteJournal({folder + "/journal.db"}, *loop);
  if (!journal.ok()) return 14;
  if (!(*journal)->Load([](const Mutation&) { return absl::OkStatus(); }).ok()) return 15;
  bool freed = false;
  int stalls = 0;
  bool stalled = false;
  int result = 16;
  (*journal)->OnStall([&](absl::Status status) {
    stalled = absl::IsResourceExhausted(status);
    if (stalled) ++stalls;
  });
  loop->Post([&] {
    const std::string value(1'500'000, 'v');
    (*journal)->Commit({1, {{JournalTable::kNode, "large", value}}}, 0, [&](absl::Status status) {
      if (!status.ok()) result = 17;
      if (!freed) result = 18;
    });
    (*journal)->Commit({2, {{JournalTable::kNode, "small", "v"}}}, 0, [&](absl::Status status) {
      if (result == 16) result = status.ok() ? 0 : 19;
      if (result == 0 && (stalls != 1 || stalled)) result = 20;
      loop->Stop();
    });
    loop->RunAfter(absl::Milliseconds(300), [&] {
      freed = true;
      if (!stalled) result = 21;
      ::unlink(ballast.c_str());
    });
  });
  loop->Run();
  return result;
}

TEST(FullDiskTest, CommitsSayThatTheyWaitForSpaceAndThenSucceed) {
  std::string folder = ::testing::TempDir() + "journal_full_XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(CommitOnAFullDisk(folder));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "step " << WEXITSTATUS(status);
  EXPECT_OK(RemoveTree(folder));
}

}  // namespace
}  // namespace swarm::manager
