#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/archive/tar.h"
#include "common/archive/tree_packer.h"
#include "common/archive/tree_unpacker.h"
#include "common/file_system.h"
#include "common/strings.h"
#include "common/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing::StatusIs;

// In pieces of an awkward size.
TarSource::Read ReadFrom(const std::string& bytes) {
  return [bytes, at = size_t{0}]() mutable -> absl::StatusOr<std::string> {
    std::string piece = bytes.substr(at, 777);
    at += piece.size();
    return piece;
  };
}

std::string FileEntry(const std::string& name, const std::string& content) {
  TarItem item{.kind = TarItem::Kind::kFile, .name = name, .mode = 0644};
  item.size = static_cast<int64_t>(content.size());
  return StrCat(EncodeTarHeader(item), content, TarPadding(item.size));
}
std::string LinkEntry(const std::string& name, const std::string& target) {
  return EncodeTarHeader(
      TarItem{.kind = TarItem::Kind::kSymlink, .name = name, .target = target, .mode = 0777});
}
std::string FolderEntry(const std::string& name) {
  return EncodeTarHeader(TarItem{.kind = TarItem::Kind::kFolder, .name = name, .mode = 0755});
}

TEST(TarTest, GivesBackWhatWasWritten) {
  const std::string longest(300, 'n');
  TarItem item{.kind = TarItem::Kind::kFile, .name = StrCat("a/", longest), .mode = 04755};
  item.uid = 3'000'000;  // more than seven octal digits
  item.gid = 7;
  item.size = 3;
  item.mtime_seconds = 1'700'000'000;
  TarSource tar(ReadFrom(StrCat(EncodeTarHeader(item), "abc", TarPadding(3),
                                LinkEntry("l", StrCat("/", longest)), FolderEntry("d"), TarEnd())));
  auto file = tar.Next();
  ASSERT_OK(file);
  ASSERT_TRUE(file->has_value());
  EXPECT_EQ((*file)->kind, TarItem::Kind::kFile);
  EXPECT_EQ((*file)->name, item.name);
  EXPECT_EQ((*file)->mode, 04755u);
  EXPECT_EQ((*file)->uid, 3'000'000u);
  EXPECT_EQ((*file)->mtime_seconds, item.mtime_seconds);
  EXPECT_EQ(*tar.Content(), "abc");
  EXPECT_EQ(*tar.Content(), "");
  auto link = tar.Next();
  ASSERT_OK(link);
  EXPECT_EQ((*link)->target, StrCat("/", longest));
  auto folder = tar.Next();
  ASSERT_OK(folder);
  EXPECT_EQ((*folder)->name, "d");
  EXPECT_FALSE(tar.Next()->has_value());
}

TEST(TarTest, RefusesWhatIsNoArchive) {
  TarSource noise(ReadFrom(std::string(2048, 'x')));
  EXPECT_THAT(noise.Next(), StatusIs(absl::StatusCode::kDataLoss));
  TarSource cut(ReadFrom(FileEntry("a", std::string(5000, 'a')).substr(0, 2000)));
  ASSERT_OK(cut.Next());
  EXPECT_THAT(cut.Next(), StatusIs(absl::StatusCode::kDataLoss));
  std::string damaged = FileEntry("a", "b");
  damaged[5] ^= 1;
  TarSource flipped(ReadFrom(damaged));
  EXPECT_THAT(flipped.Next(), StatusIs(absl::StatusCode::kDataLoss));
}

class TreeTest : public ::testing::Test {
 protected:
  TreeTest() {
    char name[] = "/tmp/archive_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    for (const char* folder : {"/from", "/to", "/outside"}) {
      EXPECT_OK(MakeDirectories(dir_ + folder, 0755));
    }
    Write("outside/secret", "secret");
  }
  ~TreeTest() override { RemoveTree(dir_).IgnoreError(); }

  void Write(const std::string& path, const std::string& content) {
    ASSERT_OK(WriteFileAtomically(StrCat(dir_, "/", path), content, 0640));
  }
  std::string Read(const std::string& path) {
    return ReadFile(StrCat(dir_, "/", path)).value_or("(not there)");
  }
  absl::StatusOr<std::string> Pack(const std::string& path) {
    const UniqueFd item(::open(StrCat(dir_, "/", path).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    std::string out;
    absl::Status packed = PackTree(item.get(), path, [&](std::string piece) {
      EXPECT_LE(piece.size(), size_t{64 << 10});
      out += piece;
      return absl::OkStatus();
    });
    if (!packed.ok()) return packed;
    return out;
  }
  absl::Status Unpack(const std::string& bytes, const UnpackOptions& options = {}) {
    const UniqueFd to(::open(StrCat(dir_, "/to").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    TarSource tar(ReadFrom(bytes));
    return UnpackTree(tar, to.get(), options);
  }

  std::string dir_;
};

TEST_F(TreeTest, CopiesFilesFoldersAndLinksAsTheyAre) {
  const std::string big(200'000, 'b');
  ASSERT_OK(MakeDirectories(dir_ + "/from/sub/deep", 0750));
  Write("from/a", "one");
  Write("from/sub/deep/big", big);
  ASSERT_EQ(::symlink("../outside/secret", StrCat(dir_, "/from/link").c_str()), 0);
  ASSERT_EQ(::chmod(StrCat(dir_, "/from/sub").c_str(), 0500), 0);
  const auto packed = Pack("from");
  ASSERT_OK(packed);
  ASSERT_OK(Unpack(*packed, {.top = "copy"}));
  EXPECT_EQ(Read("to/copy/a"), "one");
  EXPECT_EQ(Read("to/copy/sub/deep/big"), big);
  char target[100] = {};
  EXPECT_GT(::readlink(StrCat(dir_, "/to/copy/link").c_str(), target, sizeof target - 1), 0);
  EXPECT_STREQ(target, "../outside/secret");
  struct stat info = {};
  ASSERT_EQ(::stat(StrCat(dir_, "/to/copy/sub").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0500u);
  ASSERT_EQ(::stat(StrCat(dir_, "/to/copy/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

// Of its files some say 4096 bytes and have three, and some never end.
TEST_F(TreeTest, LeavesOutWhatTheKernelMakesUp) {
  const UniqueFd sys(::open("/sys", O_PATH | O_CLOEXEC));
  std::string bytes;
  ASSERT_OK(PackTree(sys.get(), "sys", [&](const std::string& piece) {
    bytes += piece;
    return absl::OkStatus();
  }));
  EXPECT_NE(bytes.find("sys/kernel/"), bytes.npos);
  EXPECT_EQ(bytes.find("sys/kernel/mm"), bytes.npos);
}

TEST_F(TreeTest, AFolderOfManyEntriesIsWhole) {
  for (int i = 0; i < 3'000; ++i) Write(StrCat("from/", i), "");
  const auto packed = Pack("from");
  ASSERT_OK(packed);
  ASSERT_OK(Unpack(*packed));
  EXPECT_THAT(*ListDirectory(dir_ + "/to/from"), SizeIs(3'000));
}

TEST_F(TreeTest, TakesTheTopOffOrGivesItAnotherName) {
  Write("from/a", "one");
  const auto packed = Pack("from");
  ASSERT_OK(packed);
  ASSERT_OK(Unpack(*packed, {.top = ""}));
  EXPECT_EQ(Read("to/a"), "one");
  ASSERT_OK(Unpack(*Pack("from/a"), {.top = "b"}));
  EXPECT_EQ(Read("to/b/a"), "one") << "a name with a folder in it keeps what is below the top";
}

TEST_F(TreeTest, ReplacesFilesAndLinksButNoFolders) {
  Write("to/a", "old");
  ASSERT_EQ(::symlink("../outside/secret", StrCat(dir_, "/to/l").c_str()), 0);
  ASSERT_OK(Unpack(FileEntry("a", "new") + FileEntry("l", "new") + TarEnd()));
  EXPECT_EQ(Read("to/a"), "new");
  EXPECT_EQ(Read("to/l"), "new");
  EXPECT_EQ(Read("outside/secret"), "secret") << "the link was replaced, not followed";
  ASSERT_OK(MakeDirectories(dir_ + "/to/d", 0755));
  EXPECT_THAT(Unpack(FileEntry("d", "x") + TarEnd()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a folder has that name")));
  EXPECT_THAT(Unpack(FolderEntry("a") + TarEnd()), StatusIs(absl::StatusCode::kFailedPrecondition));
}

// The class of CVE-2019-1002101 and CVE-2018-15664: an archive that leads out by its own links.
TEST_F(TreeTest, NothingLeadsOutOfTheFolder) {
  EXPECT_THAT(Unpack(FileEntry("../outside/x", "x") + TarEnd()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leaves the folder")));
  for (const std::string& target : {std::string("../outside"), StrCat(dir_, "/outside")}) {
    EXPECT_THAT(Unpack(LinkEntry("l", target) + FileEntry("l/secret", "x") + TarEnd()),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("symbolic link")));
    EXPECT_THAT(Unpack(LinkEntry("l", target) + FolderEntry("l") + FileEntry("l/x", "") + TarEnd()),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  ASSERT_OK(Unpack(FileEntry("/abs", "inside") + TarEnd()));
  EXPECT_EQ(Read("to/abs"), "inside");
  EXPECT_EQ(Read("outside/secret"), "secret");
  EXPECT_FALSE(PathExists(dir_ + "/outside/x"));
}

// As every tar writes the second name of a file.
TEST_F(TreeTest, HardLinksLeadToEntriesOfTheArchive) {
  const auto hard = [](const std::string& name, const std::string& target) {
    std::string block = LinkEntry(name, target);
    block[156] = '1';
    block[153] = static_cast<char>(block[153] - 1);  // the checksum's last digit
    return block;
  };
  ASSERT_OK(Unpack(FileEntry("t/a", "one") + hard("t/b", "t/a") + TarEnd(), {.top = "top"}));
  EXPECT_EQ(Read("to/top/b"), "one");
  struct stat info = {};
  ASSERT_EQ(::stat(StrCat(dir_, "/to/top/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 2u);
  ASSERT_EQ(::symlink("../outside", StrCat(dir_, "/to/l").c_str()), 0);
  for (const char* outside : {"../outside/secret", "l/secret", "/etc/passwd", "nothing"}) {
    EXPECT_FALSE(Unpack(hard("x", outside) + TarEnd()).ok()) << outside;
    EXPECT_FALSE(PathExists(dir_ + "/to/x"));
  }
}

TEST_F(TreeTest, SetIdBitsAndOwnersComeOnlyWhenAskedFor) {
  TarItem item{.kind = TarItem::Kind::kFile, .name = "s", .mode = 06755};
  const std::string tar = EncodeTarHeader(item) + TarEnd();
  struct stat info = {};
  ASSERT_OK(Unpack(tar));
  ASSERT_EQ(::stat(StrCat(dir_, "/to/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
  ASSERT_OK(Unpack(tar, {.keep_set_id = true}));
  ASSERT_EQ(::stat(StrCat(dir_, "/to/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 06755u);
}

TEST_F(TreeTest, SaysWhichEntryItWas) {
  EXPECT_THAT(Unpack(FileEntry("a/b", "x").substr(0, 512)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("a/b")));
}

}  // namespace
}  // namespace swarm
