#include "agent/image/layer_unpacker.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "agent/image/testing.h"
#include "common/file_system.h"
#include "common/oci/digest.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FileWith;
using testing::Gzip;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawTarHeader;
using testing::TarBuilder;
using testing::TemporaryFolder;
using testing::Zstd;
using Code = absl::StatusCode;

class LayerUnpackerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: owners, devices, trusted attributes";
    ASSERT_OK(MakeDirectories(root(), 0755));
    ASSERT_OK(WriteFileAtomically(folder_.path() + "/secret", "secret", 0600));
  }

  std::string root() const { return folder_.path() + "/layer"; }

  absl::StatusOr<std::vector<std::string>> Unpack(const std::string& tar,
                                                  std::optional<std::string> blob = {},
                                                  TarLimits limits = {}) {
    return UnpackLayer(FileWith(blob.value_or(tar)), oci::DigestOf(tar), limits, root(), stop_);
  }
  absl::StatusOr<std::vector<std::string>> Unpack(TarBuilder& tar) { return Unpack(tar.Finish()); }

  struct stat Stat(const std::string& name) {
    struct stat info = {};
    EXPECT_EQ(::lstat((root() + "/" + name).c_str(), &info), 0) << name;
    return info;
  }
  bool Exists(const std::string& name) {
    struct stat info = {};
    return ::lstat((root() + "/" + name).c_str(), &info) == 0;
  }
  std::string Read(const std::string& name) {
    absl::StatusOr<std::string> text = ReadFile(root() + "/" + name);
    return text.ok() ? *text : std::string(text.status().message());
  }
  bool IsWhiteout(const std::string& name) {
    const struct stat info = Stat(name);
    return S_ISCHR(info.st_mode) && info.st_rdev == 0;
  }
  bool IsOpaque(const std::string& name) { return Xattr(name, "trusted.overlay.opaque") == "y"; }
  std::string Xattr(const std::string& name, const char* key) {
    char value[64];
    const ssize_t size = ::lgetxattr((root() + "/" + name).c_str(), key, value, sizeof(value));
    return size < 0 ? "none" : std::string(value, static_cast<size_t>(size));
  }
  // What stands beside the layer is as it was.
  void ExpectNothingOutside() {
    EXPECT_THAT(*ListDirectory(folder_.path()), ElementsAre("layer", "secret"));
    EXPECT_EQ(*ReadFile(folder_.path() + "/secret"), "secret");
  }

  TemporaryFolder folder_;
  std::atomic<bool> stop_ = false;
};

TEST_F(LayerUnpackerTest, KeepsContentOwnerModeTimeAndAttributes) {
  TarBuilder tar;
  tar.Folder("bin", {.mode = 01777, .uid = 3, .gid = 4, .mtime = 12345});
  tar.File("bin/su", "content",
           {.mode = 04755, .uid = 1, .gid = 2, .mtime = 99, .xattrs = {{"user.a", "b"}}});
  tar.Symlink("sh", "bin/su").HardLink("hard", "bin/su").Fifo("pipe").Device("null", 1, 3);
  ASSERT_OK(Unpack(tar));
  EXPECT_EQ(Read("bin/su"), "content");
  EXPECT_EQ(Stat("bin/su").st_mode & 07777, 04755u);
  EXPECT_EQ(Stat("bin/su").st_uid, 1u);
  EXPECT_EQ(Stat("bin/su").st_gid, 2u);
  EXPECT_EQ(Stat("bin/su").st_mtime, 99);
  EXPECT_EQ(Xattr("bin/su", "user.a"), "b");
  EXPECT_EQ(Stat("bin").st_mode & 07777, 01777u);
  // Although a file was made in it afterwards.
  EXPECT_EQ(Stat("bin").st_mtime, 12345);
  EXPECT_EQ(Stat("hard").st_ino, Stat("bin/su").st_ino);
  EXPECT_TRUE(S_ISLNK(Stat("sh").st_mode));
  EXPECT_TRUE(S_ISFIFO(Stat("pipe").st_mode));
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
}

TEST_F(LayerUnpackerTest, TheRootsOwnEntryDescribesTheRoot) {
  TarBuilder tar;
  tar.Folder("./", {.mode = 0711, .mtime = 5}).File("./a", "1");
  ASSERT_OK(Unpack(tar));
  EXPECT_EQ(Stat(".").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat(".").st_mtime, 5);
}

TEST_F(LayerUnpackerTest, TellsGzipAndZstdByTheirBytes) {
  TarBuilder builder;
  const std::string tar = builder.File("a", std::string(100'000, 'x')).Finish();
  EXPECT_OK(Unpack(tar, Gzip(tar)));
  EXPECT_OK(Unpack(tar, Zstd(tar)));
  // Streams in a row are one stream.
  EXPECT_OK(Unpack(tar, Gzip(tar.substr(0, 1000)) + Gzip(tar.substr(1000))));
  EXPECT_EQ(Read("a").size(), 100'000u);
}

TEST_F(LayerUnpackerTest, NamesKeepTheirVeryBytes) {
  const std::string composed = "\xc3\xa9";     // é as one character
  const std::string decomposed = "e\xcc\x81";  // and as two
  TarBuilder tar;
  tar.File(composed, "1").File(decomposed, "2");
  tar.Symlink("s", decomposed).HardLink("h", decomposed);
  tar.File(std::string(150, 'd') + decomposed, "4");
  ASSERT_OK(Unpack(RawTarHeader("\xff\xfe", "00000000000") + tar.Finish()));
  EXPECT_EQ(Read(composed), "1");
  EXPECT_EQ(Read(decomposed), "2");
  EXPECT_EQ(Read("s"), "2");
  EXPECT_EQ(Stat("h").st_ino, Stat(decomposed).st_ino);
  EXPECT_TRUE(Exists("\xff\xfe"));
  EXPECT_EQ(Read(std::string(150, 'd') + decomposed), "4");
}

TEST_F(LayerUnpackerTest, NamesThatLeaveTheImageAreRefused) {
  for (const char* name : {"../secret", "a/../../secret", "..", "./../x", "/../secret"}) {
    TarBuilder tar;
    EXPECT_THAT(Unpack(tar.File(name, "evil")),
                StatusIs(Code::kInvalidArgument, HasSubstr("leaves the image")))
        << name;
  }
  ExpectNothingOutside();
}

TEST_F(LayerUnpackerTest, AbsoluteNamesBeginAtTheImagesRoot) {
  TarBuilder tar;
  ASSERT_OK(Unpack(tar.File("/a/b", "1").File("//c", "2")));
  EXPECT_EQ(Read("a/b"), "1");
  EXPECT_EQ(Read("c"), "2");
}

TEST_F(LayerUnpackerTest, LinksAsParentsAreFollowedInsideTheImageOnly) {
  TarBuilder tar;
  tar.Folder("real").Symlink("in", "real").File("in/a", "1");
  tar.Symlink("up", "../../..").File("up/b", "2");
  tar.Symlink("abs", folder_.path()).File("abs/secret", "evil");
  tar.Symlink("chain", "abs/deeper").File("chain/c", "3");
  tar.Symlink("host", "/proc/self/root").File("host/d", "4");
  ASSERT_OK(Unpack(tar));
  EXPECT_EQ(Read("real/a"), "1");
  EXPECT_EQ(Read("b"), "2");
  EXPECT_EQ(Read("." + folder_.path() + "/secret"), "evil");
  EXPECT_EQ(Read("." + folder_.path() + "/deeper/c"), "3");
  EXPECT_EQ(Read("./proc/self/root/d"), "4");
  ExpectNothingOutside();
}

TEST_F(LayerUnpackerTest, LinksInACircleAreRefused) {
  TarBuilder tar;
  EXPECT_THAT(Unpack(tar.Symlink("a", "b").Symlink("b", "a").File("a/x", "1")),
              StatusIs(Code::kInvalidArgument, HasSubstr("too many symbolic links")));
}

TEST_F(LayerUnpackerTest, TheLastNameIsNeverFollowed) {
  TarBuilder tar;
  tar.Symlink("f", folder_.path() + "/secret").File("f", "mine");
  tar.Symlink("d", folder_.path()).Folder("d").File("d/secret", "mine");
  tar.Symlink("n", folder_.path() + "/new").Device("n", 1, 3);
  ASSERT_OK(Unpack(tar));
  EXPECT_EQ(Read("f"), "mine");
  EXPECT_TRUE(S_ISREG(Stat("f").st_mode));
  EXPECT_TRUE(S_ISDIR(Stat("d").st_mode));
  ExpectNothingOutside();
}

TEST_F(LayerUnpackerTest, HardLinksStayInsideTheLayer) {
  {
    TarBuilder tar;
    EXPECT_THAT(Unpack(tar.HardLink("h", "../secret")),
                StatusIs(Code::kInvalidArgument, HasSubstr("leaves the image")));
  }
  for (const std::string& target : {std::string("/etc/passwd"), std::string("etc/passwd"),
                                    folder_.path() + "/secret", std::string("l/secret")}) {
    TarBuilder tar;
    tar.Symlink("l", folder_.path()).HardLink("h", target);
    EXPECT_THAT(Unpack(tar), StatusIs(Code::kInvalidArgument, HasSubstr("not in this layer")))
        << target;
  }
  ExpectNothingOutside();
}

TEST_F(LayerUnpackerTest, AHardLinkToASymlinkLinksTheLinkItself) {
  TarBuilder tar;
  tar.Symlink("s", folder_.path() + "/secret").HardLink("h", "s").File("h", "mine");
  ASSERT_OK(Unpack(tar));
  EXPECT_TRUE(S_ISLNK(Stat("s").st_mode));
  EXPECT_EQ(Read("h"), "mine");
  ExpectNothingOutside();
}

TEST_F(LayerUnpackerTest, OddHardLinksAreRefusedOrHarmless) {
  TarBuilder folder;
  EXPECT_THAT(Unpack(folder.Folder("d").HardLink("h", "d")),
              StatusIs(Code::kInvalidArgument, HasSubstr("to a folder")));
  TarBuilder itself;
  EXPECT_THAT(Unpack(itself.File("f", "1").HardLink("f", "./f")),
              StatusIs(Code::kInvalidArgument, HasSubstr("to itself")));
  TarBuilder by_link;
  by_link.Folder("d2").Symlink("l2", "d2").File("d2/f", "1").HardLink("l2/f", "d2/f");
  EXPECT_OK(Unpack(by_link));
  EXPECT_EQ(Read("d2/f"), "1");
  TarBuilder replaced;
  EXPECT_THAT(Unpack(replaced.File("d3/f", "1").HardLink("d3", "d3/f")),
              StatusIs(Code::kInvalidArgument, HasSubstr("replaces")));
}

TEST_F(LayerUnpackerTest, ALaterEntryReplacesAnEarlierOne) {
  TarBuilder tar;
  tar.File("a/b/c", "1").File("a", "2");
  tar.File("x", "1").Folder("x").File("x/y", "3");
  tar.File("same", "long content").File("same", "4");
  ASSERT_OK(Unpack(tar));
  EXPECT_EQ(Read("a"), "2");
  EXPECT_EQ(Read("x/y"), "3");
  EXPECT_EQ(Read("same"), "4");
}

TEST_F(LayerUnpackerTest, AFileIsNoFolder) {
  TarBuilder tar;
  EXPECT_THAT(Unpack(tar.File("a", "1").File("a/b", "2")),
              StatusIs(Code::kInvalidArgument, HasSubstr("\"a\" is not a folder")));
}

TEST_F(LayerUnpackerTest, WhiteoutsBecomeDevicesOfOverlay) {
  TarBuilder tar;
  tar.File("d/.wh.gone", "").File("d/.wh.gone", "").File("o/.wh..wh..opq", "");
  tar.File("o/kept", "1").File(".wh..wh.plnk/9.1", "x").File(".wh..wh.aufs", "x");
  ASSERT_OK(Unpack(tar));
  EXPECT_TRUE(IsWhiteout("d/gone"));
  EXPECT_TRUE(IsOpaque("o"));
  EXPECT_FALSE(IsOpaque("d"));
  EXPECT_EQ(Read("o/kept"), "1");
  EXPECT_THAT(*ListDirectory(root()), ElementsAre("d", "o"));
}

TEST_F(LayerUnpackerTest, WhiteoutsHideOnlyWhatIsBelow) {
  TarBuilder tar;
  tar.File("f", "mine").File(".wh.f", "").Folder("d").File("d/x", "mine").File(".wh.d", "");
  tar.File(".wh.later", "").File("later", "mine");
  tar.File(".wh.dir", "").Folder("dir").File(".wh.deep", "").File("deep/x", "mine");
  ASSERT_OK(Unpack(tar));
  EXPECT_EQ(Read("f"), "mine");
  EXPECT_EQ(Read("d/x"), "mine");
  EXPECT_TRUE(IsOpaque("d"));
  EXPECT_EQ(Read("later"), "mine");
  EXPECT_TRUE(IsOpaque("dir"));
  EXPECT_EQ(Read("deep/x"), "mine");
  EXPECT_TRUE(IsOpaque("deep"));
}

TEST_F(LayerUnpackerTest, StrangeWhiteoutsAreRefused) {
  for (const char* name : {".wh.", "a/.wh..", "a/.wh...", ".wh.d/x"}) {
    TarBuilder tar;
    EXPECT_THAT(Unpack(tar.File(name, "")), StatusIs(Code::kInvalidArgument, HasSubstr("whiteout")))
        << name;
  }
  ExpectNothingOutside();
}

TEST_F(LayerUnpackerTest, AWhiteoutBehindALinkStaysInside) {
  TarBuilder tar;
  ASSERT_OK(Unpack(tar.Symlink("l", folder_.path()).File("l/.wh.secret", "")));
  ExpectNothingOutside();
}

TEST_F(LayerUnpackerTest, AttributesOfOverlayAndTheHostAreDropped) {
  TarBuilder tar;
  tar.Folder("d", {.mode = 0755,
                   .xattrs = {{"trusted.overlay.redirect", "/etc"},
                              {"trusted.overlay.opaque", "y"},
                              {"user.overlay.opaque", "y"},
                              {"security.selinux", "x"},
                              {"user.fine", "z"}}});
  ASSERT_OK(Unpack(tar));
  EXPECT_EQ(Xattr("d", "trusted.overlay.redirect"), "none");
  EXPECT_EQ(Xattr("d", "trusted.overlay.opaque"), "none");
  EXPECT_EQ(Xattr("d", "user.overlay.opaque"), "none");
  EXPECT_EQ(Xattr("d", "user.fine"), "z");
}

TEST_F(LayerUnpackerTest, TheDiffIdIsVerifiedToTheLastByte) {
  TarBuilder builder;
  const std::string tar = builder.File("a", "1").Finish();
  const std::string longer = tar + std::string(512, '\0');
  EXPECT_THAT(
      Unpack(tar, Gzip(longer)),
      StatusIs(Code::kDataLoss, StrCat("layer ", oci::DigestOf(tar), ": expected ",
                                       oci::DigestOf(tar), ", got ", oci::DigestOf(longer))));
}

TEST_F(LayerUnpackerTest, DamagedStreamsAreDataLoss) {
  TarBuilder builder;
  std::string noise;
  for (int i = 0; i < 200'000; ++i) noise += static_cast<char>((i * 2654435761u) >> 13);
  const std::string tar = builder.File("a", noise).Finish();
  const std::string zipped = Gzip(tar);
  EXPECT_THAT(Unpack(tar, zipped.substr(0, zipped.size() / 2)), StatusIs(Code::kDataLoss));
  EXPECT_THAT(Unpack(tar, tar.substr(0, 5000)), StatusIs(Code::kDataLoss));
  EXPECT_THAT(Unpack("not a tar at all"), StatusIs(Code::kDataLoss, HasSubstr("not a tar")));
  std::string flipped = zipped;
  flipped[flipped.size() / 2] ^= 0x55;
  EXPECT_THAT(Unpack(tar, flipped), StatusIs(Code::kDataLoss));
  // Compressed twice is not a layer: only one filter is ever taken off.
  EXPECT_THAT(Unpack(tar, Gzip(zipped)), StatusIs(Code::kDataLoss));
}

TEST_F(LayerUnpackerTest, ATarMayEndRightAfterItsLastFileButNotInside) {
  const std::string header = RawTarHeader("f", "00000000006");
  EXPECT_OK(Unpack(header + "sixsix"));
  EXPECT_EQ(Read("f"), "sixsix");
  EXPECT_OK(Unpack(RawTarHeader("full", "00000001000") + std::string(512, 'x')));
  EXPECT_EQ(Read("full"), std::string(512, 'x'));
  EXPECT_OK(Unpack(RawTarHeader("none", "00000000000")));
  for (const std::string& part : {std::string("five5"), std::string(""), std::string("s")}) {
    EXPECT_THAT(Unpack(header + part), StatusIs(Code::kDataLoss)) << part;
  }
  EXPECT_THAT(Unpack(RawTarHeader("two", "00000002000") + std::string(1000, 'x')),
              StatusIs(Code::kDataLoss, HasSubstr("truncated")));
  EXPECT_THAT(Unpack(header.substr(0, 300)), StatusIs(Code::kDataLoss));
}

TEST_F(LayerUnpackerTest, F23DeepFoldersTakeFewDescriptors) {
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "d/";
  TarBuilder tar;
  tar.File(deep + "f", "bottom");
  // Up again by a link in the middle of it.
  tar.Symlink("d/d/up", "../d/d").File("d/d/up/d/new/g", "beside");
  const std::string bytes = tar.Finish();
  UniqueFd blob = FileWith(bytes);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(lowest);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(lowest) + 20;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto unpacked = UnpackLayer(std::move(blob), oci::DigestOf(bytes), {}, root(), stop_);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_OK(unpacked);
  EXPECT_EQ(*ReadFile(root() + "/" + deep + "f"), "bottom");
  EXPECT_EQ(ReadFile(root() + "/d/d/d/d/new/g").value_or("nothing"), "beside");
}

// CVE-2023-25153.
TEST_F(LayerUnpackerTest, HugeSizesAreRefusedBeforeAnythingIsWritten) {
  EXPECT_THAT(Unpack(RawTarHeader("big", "77777777777") + std::string(1024, '\0'), {},
                     {.max_bytes = 1 << 30}),
              StatusIs(Code::kResourceExhausted, HasSubstr("more than 1073741824 bytes")));
  EXPECT_FALSE(Exists("big"));
}

TEST_F(LayerUnpackerTest, CompressionBombsAreStopped) {
  TarBuilder builder;
  const std::string tar = builder.File("zeros", std::string(30 << 20, '\0')).Finish();
  EXPECT_THAT(Unpack(tar, Gzip(tar), {.max_ratio = 100, .free_bytes = 1 << 20}),
              StatusIs(Code::kResourceExhausted, HasSubstr("grows more than 100 times")));
  EXPECT_OK(Unpack(tar, Gzip(tar), {.max_ratio = 100}));
}

TEST_F(LayerUnpackerTest, TheNumberOfEntriesAndLevelsIsBounded) {
  TarBuilder many;
  for (int i = 0; i < 20; ++i) many.File(StrCat("f", i), "");
  EXPECT_THAT(Unpack(many.Finish(), {}, {.max_entries = 10}),
              StatusIs(Code::kResourceExhausted, HasSubstr("more than 10 entries")));
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  TarBuilder levels;
  EXPECT_THAT(Unpack(levels.File(deep + "f", "")),
              StatusIs(Code::kInvalidArgument, HasSubstr("levels")));
  TarBuilder name;
  EXPECT_THAT(Unpack(name.File(std::string(300, 'n'), "")), Not(IsOk()));
}

TEST_F(LayerUnpackerTest, MessagesNameTheEntryOnOneLine) {
  TarBuilder tar;
  const absl::Status status = Unpack(tar.File("a\n\x1b[31m/../b", "")).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("a\\n"), Not(HasSubstr("\n")), Not(HasSubstr("\x1b"))));
}

TEST_F(LayerUnpackerTest, StopsWhenTold) {
  stop_ = true;
  TarBuilder tar;
  EXPECT_THAT(Unpack(tar.File("a", "1")), StatusIs(Code::kCancelled));
}

TEST_F(LayerUnpackerTest, FoldersWithoutAnEntryLookAsBelow) {
  const std::string lower = folder_.path() + "/lower";
  ASSERT_OK(MakeDirectories(lower + "/tmp/deep", 0755));
  ASSERT_EQ(::chmod((lower + "/tmp").c_str(), 01777), 0);
  ASSERT_EQ(::chown((lower + "/tmp/deep").c_str(), 7, 8), 0);
  TarBuilder tar;
  tar.File("tmp/deep/f", "1").File("new/f", "1").File("own/f", "1").Folder("own");
  absl::StatusOr<std::vector<std::string>> implied = Unpack(tar);
  ASSERT_OK(implied);
  EXPECT_THAT(*implied, ::testing::UnorderedElementsAre("tmp", "tmp/deep", "new"));
  ASSERT_OK(DescribeFromBelow(root(), *implied, {lower}));
  EXPECT_EQ(Stat("tmp").st_mode & 07777, 01777u);
  EXPECT_EQ(Stat("tmp/deep").st_uid, 7u);
  EXPECT_EQ(Stat("new").st_mode & 07777, 0755u);
}

TEST_F(LayerUnpackerTest, LinksInLowerLayersAreNotFollowedForLooks) {
  const std::string lower = folder_.path() + "/lower";
  ASSERT_OK(MakeDirectories(lower, 0755));
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0701), 0);
  ASSERT_EQ(::symlink(folder_.path().c_str(), (lower + "/d").c_str()), 0);
  TarBuilder tar;
  absl::StatusOr<std::vector<std::string>> implied = Unpack(tar.File("d/f", "1"));
  ASSERT_OK(implied);
  ASSERT_OK(DescribeFromBelow(root(), *implied, {lower}));
  EXPECT_EQ(Stat("d").st_mode & 07777, 0755u);
}

TEST_F(LayerUnpackerTest, RandomDamageNeverCrashesAndNeverEscapes) {
  TarBuilder builder;
  builder.Folder("d").File("d/f", "content").Symlink("l", "/d").HardLink("h", "d/f");
  builder.File("d/.wh.x", "").Device("n", 1, 3).File("long" + std::string(200, 'x'), "1");
  const std::string tar = builder.Finish();
  uint32_t seed = 1;
  for (int round = 0; round < 300; ++round) {
    std::string damaged = tar;
    for (int i = 0; i < 3; ++i) {
      seed = seed * 1664525 + 1013904223;
      damaged[(seed >> 8) % damaged.size()] = static_cast<char>(seed);
    }
    Unpack(damaged).status().IgnoreError();
    ASSERT_OK(RemoveTree(root()));
    ASSERT_OK(MakeDirectories(root(), 0755));
  }
  ExpectNothingOutside();
}

}  // namespace
}  // namespace swarm::agent
