#include "common/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;

class FileSystemTest : public ::testing::Test {
 protected:
  FileSystemTest() {
    std::string name = ::testing::TempDir() + "file_system_XXXXXX";
    root_ = ::mkdtemp(name.data());
  }
  ~FileSystemTest() override { EXPECT_OK(RemoveTree(root_)); }
  std::string In(const std::string& name) const { return root_ + "/" + name; }
  static mode_t ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  std::string root_;
};

TEST_F(FileSystemTest, AWrittenFileReadsBackWithItsMode) {
  EXPECT_OK(WriteFileDurably(In("a"), "one", 0640));
  EXPECT_THAT(ReadFile(In("a")), IsOkAndHolds("one"));
  EXPECT_EQ(ModeOf(In("a")), 0640u);
  EXPECT_OK(WriteFileAtomically(In("a"), "two", 0666));
  EXPECT_THAT(ReadFile(In("a")), IsOkAndHolds("two"));
  EXPECT_EQ(ModeOf(In("a")), 0666u);
  EXPECT_THAT(ListDirectory(root_), IsOkAndHolds(ElementsAre("a")));
}

TEST_F(FileSystemTest, AFailedWriteLeavesTheOldContentAndNothingElse) {
  ASSERT_OK(MakeDirectories(In("folder/child"), 0755));
  EXPECT_FALSE(WriteFileDurably(In("folder"), "x", 0644).ok());
  EXPECT_THAT(ListDirectory(root_), IsOkAndHolds(ElementsAre("folder")));
  EXPECT_THAT(WriteFileDurably(In("missing/a"), "x", 0644), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FileSystemTest, ReadRefusesMoreThanTheLimit) {
  ASSERT_OK(WriteFileAtomically(In("a"), std::string(100, 'x'), 0600));
  EXPECT_THAT(ReadFile(In("a"), 100), IsOkAndHolds(std::string(100, 'x')));
  EXPECT_THAT(ReadFile(In("a"), 99), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(ReadFile(In("b")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(ReadFile("/proc/self/status"));
}

TEST_F(FileSystemTest, MakeDirectoriesGivesItsModeToWhatItMakes) {
  EXPECT_OK(MakeDirectories(In("a"), 0700));
  EXPECT_OK(MakeDirectories(In("a//b/c/"), 0775));
  EXPECT_EQ(ModeOf(In("a")), 0700u);
  EXPECT_EQ(ModeOf(In("a/b")), 0775u);
  EXPECT_EQ(ModeOf(In("a/b/c")), 0775u);
  ASSERT_OK(WriteFileAtomically(In("file"), "", 0600));
  EXPECT_THAT(MakeDirectories(In("file/x"), 0700), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FileSystemTest, RemoveTreeDoesNotFollowSymlinks) {
  ASSERT_OK(MakeDirectories(In("kept"), 0755));
  ASSERT_OK(WriteFileAtomically(In("kept/file"), "x", 0600));
  ASSERT_OK(MakeDirectories(In("tree/deep"), 0755));
  ASSERT_EQ(::symlink(In("kept").c_str(), In("tree/deep/link").c_str()), 0);
  ASSERT_EQ(::symlink("/does/not/exist", In("tree/dangling").c_str()), 0);
  ASSERT_EQ(::symlink(In("kept").c_str(), In("link").c_str()), 0);
  EXPECT_OK(RemoveTree(In("tree/")));
  EXPECT_OK(RemoveTree(In("link")));
  EXPECT_THAT(ListDirectory(root_), IsOkAndHolds(ElementsAre("kept")));
  EXPECT_TRUE(PathExists(In("kept/file")));
}

TEST_F(FileSystemTest, RemoveTreeOfWhatIsMissingIsFine) {
  EXPECT_OK(RemoveTree(In("missing")));
  EXPECT_OK(RemoveTree(In("missing/too")));
  EXPECT_THAT(RemoveTree("/"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(RemoveTree(In("..")), StatusIs(absl::StatusCode::kInvalidArgument));
}

// More levels than a process may open files, and paths longer than PATH_MAX.
TEST_F(FileSystemTest, RemoveTreeTakesTreesOfAnyDepth) {
  const int back = ::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_OK(MakeDirectories(In("tree"), 0755));
  ASSERT_EQ(::chdir(In("tree").c_str()), 0);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(::mkdir("level", 0755), 0);
    ASSERT_EQ(::chdir("level"), 0);
  }
  ASSERT_EQ(::fchdir(back), 0);
  ::close(back);
  EXPECT_OK(RemoveTree(In("tree")));
  EXPECT_FALSE(PathExists(In("tree")));
}

}  // namespace
}  // namespace swarm
