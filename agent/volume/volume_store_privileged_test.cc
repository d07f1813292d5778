#include "agent/volume/volume_store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <thread>

#include "agent/volume/local_mount.h"
#include "common/file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class VolumeStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: owners are kept and file systems mounted";
    root_ = "/tmp/swarm-volumes-XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    // Not on an overlay, which does not lie on another one.
    ASSERT_EQ(mount("tmpfs", root_.c_str(), "tmpfs", 0, nullptr), 0);
    Reopen();
  }
  void TearDown() override {
    if (store_ == nullptr) return;
    ASSERT_TRUE(store_->ReleaseAllBut({}).ok());
    store_.reset();
    EXPECT_EQ(umount2(root_.c_str(), MNT_DETACH), 0);
    EXPECT_EQ(rmdir(root_.c_str()), 0);
  }

  void Reopen() {
    store_.reset();
    auto store = VolumeStore::Open(root_ + "/volumes", *clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  static v1::NodeVolume Wish(const std::string& name,
                             const std::map<std::string, std::string>& options = {}) {
    v1::NodeVolume wish;
    wish.set_name(name);
    for (const auto& [key, value] : options) (*wish.mutable_options())[key] = value;
    return wish;
  }
  std::string Use(const std::string& name, const std::string& task,
                  const ImageFolder* image = nullptr) {
    const auto data = store_->Use(Wish(name), task, image);
    EXPECT_TRUE(data.ok()) << data.status();
    return data.value_or("");
  }
  static void Write(const std::string& path, const std::string& text, mode_t mode = 0644) {
    ASSERT_TRUE(WriteFileAtomically(path, text, mode).ok()) << path;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const v1::NodeVolume& volume : store_->List()) names.push_back(volume.name());
    return names;
  }
  static std::vector<std::string> In(const std::string& folder) {
    return ListDirectory(folder).value_or(std::vector<std::string>{"?"});
  }
  // An image of two layers: /data of both, a link that leads out, and what the upper one deleted.
  ImageFolder MakeImage() {
    const std::string lower = root_ + "/lower";
    const std::string upper = root_ + "/upper";
    EXPECT_TRUE(MakeDirectories(lower + "/data/sub", 0755).ok());
    EXPECT_TRUE(MakeDirectories(upper + "/data", 0755).ok());
    Write(lower + "/data/a", "lower");
    Write(lower + "/data/gone", "lower");
    Write(lower + "/data/sub/b", "b", 0640);
    Write(upper + "/data/a", "upper");
    EXPECT_EQ(mknod((upper + "/data/gone").c_str(), S_IFCHR, 0), 0);
    EXPECT_EQ(symlink("/etc/passwd", (lower + "/data/link").c_str()), 0);
    EXPECT_EQ(link((lower + "/data/sub/b").c_str(), (lower + "/data/sub/c").c_str()), 0);
    EXPECT_EQ(chown((lower + "/data/sub/b").c_str(), 70, 71), 0);
    EXPECT_EQ(setxattr((lower + "/data/sub/b").c_str(), "trusted.kept", "yes", 3, 0), 0);
    EXPECT_EQ(chown((upper + "/data").c_str(), 70, 70), 0);
    EXPECT_EQ(chmod((upper + "/data").c_str(), 0700), 0);
    return {{upper, lower}, "/data"};
  }

  std::string root_;
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<VolumeStore> store_;
};

TEST_F(VolumeStoreTest, KeepsAVolumeAndItsDataWhenTasksGoAndAgentsStartAgain) {
  Write(Use("db", "t1") + "/file", "kept");
  ASSERT_TRUE(store_->Release("t1").ok());
  Reopen();
  EXPECT_THAT(Names(), ElementsAre("db"));
  EXPECT_EQ(ReadFile(Use("db", "t2") + "/file").value_or(""), "kept");
}

TEST_F(VolumeStoreTest, IsClosedToEverybodyButRoot) {
  Use("db", "t1");
  struct stat stat;
  ASSERT_EQ(::stat((root_ + "/volumes").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0700U);
}

TEST_F(VolumeStoreTest, RemovesOnlyWhatNoTaskUsesAndNamesThoseThatDo) {
  Use("db", "t1");
  Reopen();  // users are known to the next agent too
  EXPECT_THAT(store_->Remove("db"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(store_->Remove("db").message(), HasSubstr("t1"));
  ASSERT_TRUE(store_->ReleaseAllBut({"t2"}).ok());
  EXPECT_TRUE(store_->Remove("db").ok());
  EXPECT_TRUE(store_->Remove("db").ok());
  EXPECT_THAT(In(root_ + "/volumes"), IsEmpty());
}

TEST_F(VolumeStoreTest, AnonymousVolumesGoWithTheirTask) {
  v1::NodeVolume wish = Wish(AnonymousVolume("t1", 0));
  wish.set_anonymous(true);
  ASSERT_TRUE(store_->Use(wish, "t1", nullptr).ok());
  Use("db", "t1");
  ASSERT_TRUE(store_->Release("t1").ok());
  EXPECT_THAT(Names(), ElementsAre("db"));
}

TEST_F(VolumeStoreTest, FillsAnEmptyVolumeWithWhatTheImageShows) {
  const ImageFolder image = MakeImage();
  const std::string data = Use("db", "t1", &image);
  EXPECT_THAT(In(data), ElementsAre("a", "link", "sub"));
  EXPECT_EQ(ReadFile(data + "/a").value_or(""), "upper");
  char target[64] = {};
  EXPECT_GT(readlink((data + "/link").c_str(), target, sizeof target - 1), 0);
  EXPECT_STREQ(target, "/etc/passwd");
  struct stat b, c, top;
  ASSERT_EQ(stat((data + "/sub/b").c_str(), &b), 0);
  ASSERT_EQ(stat((data + "/sub/c").c_str(), &c), 0);
  EXPECT_EQ(b.st_ino, c.st_ino);
  EXPECT_EQ(b.st_uid, 70U);
  EXPECT_EQ(b.st_gid, 71U);
  EXPECT_EQ(b.st_mode & 07777, 0640U);
  char value[8] = {};
  EXPECT_EQ(getxattr((data + "/sub/b").c_str(), "trusted.kept", value, sizeof value), 3);
  ASSERT_EQ(stat(data.c_str(), &top), 0);
  EXPECT_EQ(top.st_uid, 70U);
  EXPECT_EQ(top.st_mode & 07777, 0700U);
  // Nothing of the look into the image is left.
  EXPECT_THAT(In(root_ + "/volumes"), ElementsAre("db"));
}

TEST_F(VolumeStoreTest, DoesNotFillWhatHoldsSomething) {
  Write(Use("db", "t1") + "/mine", "");
  const ImageFolder image = MakeImage();
  EXPECT_THAT(In(Use("db", "t2", &image)), ElementsAre("mine"));
}

TEST_F(VolumeStoreTest, FillsInPlaceWhatAnotherTaskLooksAt) {
  const std::string data = Use("db", "t1");
  struct stat before, after;
  ASSERT_EQ(stat(data.c_str(), &before), 0);
  const ImageFolder image = MakeImage();
  Use("db", "t2", &image);
  ASSERT_EQ(stat(data.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_THAT(In(data), ElementsAre("a", "link", "sub"));
}

TEST_F(VolumeStoreTest, TasksThatUseItFirstAtOnceGetTheSameWholeData) {
  const ImageFolder image = MakeImage();
  std::vector<std::vector<std::string>> seen(4);
  std::vector<std::thread> tasks;
  for (size_t i = 0; i < seen.size(); ++i) {
    tasks.emplace_back([&, i] {
      const auto data = store_->Use(Wish("db"), "t" + std::to_string(i), &image);
      seen[i] = data.ok() ? In(*data) : std::vector<std::string>{data.status().ToString()};
    });
  }
  for (std::thread& task : tasks) task.join();
  for (const auto& one : seen) EXPECT_THAT(one, ElementsAre("a", "link", "sub"));
  EXPECT_THAT(In(root_ + "/volumes/db/tasks"), ElementsAre("t0", "t1", "t2", "t3"));
}

TEST_F(VolumeStoreTest, ALinkOfTheImageLeadsNowhereElse) {
  const std::string layer = root_ + "/layer";
  ASSERT_TRUE(MakeDirectories(layer, 0755).ok());
  ASSERT_EQ(symlink("/etc", (layer + "/data").c_str()), 0);
  const ImageFolder image{{layer}, "/data"};
  EXPECT_THAT(In(Use("db", "t1", &image)), IsEmpty());
}

TEST_F(VolumeStoreTest, MountsWhatOptionsSayWhileATaskUsesIt) {
  const v1::NodeVolume wish =
      Wish("cache", {{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=64k,mode=700"}});
  const auto data = store_->Use(wish, "t1", nullptr);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_TRUE(IsMountPoint(*data));
  ASSERT_TRUE(store_->Use(wish, "t2", nullptr).ok());
  ASSERT_TRUE(store_->Release("t1").ok());
  EXPECT_TRUE(IsMountPoint(*data));
  ASSERT_TRUE(store_->Release("t2").ok());
  EXPECT_FALSE(IsMountPoint(*data));
}

TEST_F(VolumeStoreTest, ABindTakesAllFlagsOfAMount) {
  ASSERT_TRUE(MakeDirectories(root_ + "/there", 0755).ok());
  const auto data = store_->Use(
      Wish("there", {{"type", "none"}, {"device", root_ + "/there"}, {"o", "bind,nosuid,noexec"}}),
      "t1", nullptr);
  ASSERT_TRUE(data.ok()) << data.status();
  struct statvfs info;
  ASSERT_EQ(statvfs(data->c_str(), &info), 0);
  EXPECT_EQ(info.f_flag & (ST_NOSUID | ST_NOEXEC), static_cast<unsigned>(ST_NOSUID | ST_NOEXEC));
}

TEST_F(VolumeStoreTest, AServerThatDoesNotAnswerHoldsNobodyUp) {
  const auto used =
      store_->Use(Wish("far", {{"type", "nfs"}, {"device", ":/x"}, {"o", "addr=127.0.0.1,port=1"}}),
                  "t1", nullptr);
  EXPECT_EQ(used.status().message(),
            "addr=127.0.0.1: no answer at port 1: connect: Connection refused");
}

// Its kernel takes the connection, as that of a server that hangs does.
TEST_F(VolumeStoreTest, AServerThatTakesConnectionsAndSaysNothingHoldsNobodyUp) {
  const UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(server.get(), raw, size), 0);
  ASSERT_EQ(listen(server.get(), 8), 0);
  ASSERT_EQ(getsockname(server.get(), raw, &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  auto used = std::async(std::launch::async, [&] {
    return store_->Use(
        Wish("far", {{"type", "nfs"}, {"device", ":/x"}, {"o", "addr=127.0.0.1,port=" + port}}),
        "t1", nullptr);
  });
  const UniqueFd connection(accept(server.get(), nullptr, nullptr));
  Use("near", "t2");
  EXPECT_EQ(used.get().status().message(), "addr=127.0.0.1: no answer at port " + port +
                                               ": it takes connections and says nothing");
}

// What fits only in part must not be taken for the whole by the next task.
TEST_F(VolumeStoreTest, AFailedCopyLeavesNothingBehind) {
  const std::string layer = root_ + "/layer";
  ASSERT_TRUE(MakeDirectories(layer + "/data/sub", 0755).ok());
  for (const char* name : {"/a", "/sub/b", "/sub/c", "/z"}) {
    Write(layer + "/data" + name, std::string(40 << 10, 'x'));
  }
  const ImageFolder image{{layer}, "/data"};
  const v1::NodeVolume wish =
      Wish("small", {{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=64k"}});
  const auto used = store_->Use(wish, "t1", &image);
  EXPECT_THAT(used.status().message(), HasSubstr("No space left"));
  const auto again = store_->Use(wish, "t2", nullptr);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(In(*again), IsEmpty());
}

// A container that looks at the volume meanwhile makes a link to the host of a folder of the copy:
// nothing of the host gets another name in the volume.
TEST_F(VolumeStoreTest, HardLinksAreNotLookedForThroughLinksThatAContainerMakes) {
  const std::string from = root_ + "/from";
  const std::string to = root_ + "/to";
  const std::string host = root_ + "/host";
  for (const std::string& folder : {from + "/a", to, host}) {
    ASSERT_TRUE(MakeDirectories(folder, 0755).ok());
  }
  constexpr int kLinks = 20'000;
  Write(from + "/a/0", "image");
  for (int i = 0; i < kLinks; ++i) {
    const std::string name = "/" + std::to_string(i);
    ASSERT_TRUE(i == 0 || link((from + "/a/0").c_str(), (from + "/a" + name).c_str()) == 0);
    Write(host + name, "secret");
  }
  std::atomic<bool> done = false;
  std::thread container([&] {
    while (!done && rename((to + "/a").c_str(), (to + "/b").c_str()) != 0) {
    }
    EXPECT_EQ(symlink(host.c_str(), (to + "/a").c_str()), 0);
  });
  const UniqueFd source(open(from.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd target(open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CopyFolder(source.get(), target.get()).IgnoreError();
  done = true;
  container.join();
  for (int i = 0; i < kLinks; ++i) {
    struct stat info;
    ASSERT_EQ(stat((host + "/" + std::to_string(i)).c_str(), &info), 0);
    ASSERT_EQ(info.st_nlink, 1U) << i;
  }
}

TEST_F(VolumeStoreTest, SaysWhatCannotBeMountedAndLimited) {
  const auto missing = store_->Use(
      Wish("a", {{"type", "none"}, {"device", "/no/such"}, {"o", "bind"}}), "t1", nullptr);
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(missing.status().message(), HasSubstr("/no/such"));
  const auto unknown =
      store_->Use(Wish("b", {{"type", "nosuchfs"}, {"device", "x"}}), "t1", nullptr);
  EXPECT_THAT(unknown.status().message(), HasSubstr("no file system \"nosuchfs\""));
  const auto limited = store_->Use(Wish("c", {{"size", "1m"}}), "t1", nullptr);
  EXPECT_THAT(limited.status().message(), HasSubstr("size: the file system of"));
  EXPECT_THAT(Names(), ElementsAre("a", "b"));
}

TEST_F(VolumeStoreTest, RefusesOtherOptionsThanItWasMadeWithAndDriversThatItLacks) {
  Use("db", "t1");
  EXPECT_THAT(store_->Use(Wish("db", {{"type", "tmpfs"}, {"device", "tmpfs"}}), "t2", nullptr)
                  .status()
                  .message(),
              HasSubstr("other options"));
  v1::NodeVolume wish = Wish("x");
  wish.set_driver("rexray");
  EXPECT_EQ(store_->Use(wish, "t1", nullptr).status().message(),
            "volume driver \"rexray\" is not on this node");
}

TEST_F(VolumeStoreTest, TakesAwayWhatWasHalfMade) {
  Use("db", "t1");
  ASSERT_TRUE(MakeDirectories(root_ + "/volumes/.new-x/_data", 0700).ok());
  ASSERT_TRUE(MakeDirectories(root_ + "/volumes/.old-y", 0700).ok());
  ASSERT_TRUE(MakeDirectories(root_ + "/volumes/.view-abc", 0700).ok());
  ASSERT_TRUE(MakeDirectories(root_ + "/volumes/db/copy/x", 0700).ok());
  Reopen();
  EXPECT_THAT(In(root_ + "/volumes"), ElementsAre("db"));
  EXPECT_THAT(In(root_ + "/volumes/db"), ElementsAre("_data", "tasks", "volume.json"));
}

TEST_F(VolumeStoreTest, OpensWithWhatCannotBeTakenAway) {
  const std::string stuck = root_ + "/volumes/.old-y/_data";
  ASSERT_TRUE(MakeDirectories(stuck, 0700).ok());
  ASSERT_EQ(mount("tmpfs", stuck.c_str(), "tmpfs", 0, nullptr), 0);
  Reopen();
  ASSERT_NE(store_, nullptr);
  Use("db", "t1");
  EXPECT_THAT(Names(), ElementsAre("db"));
  EXPECT_EQ(umount2(stuck.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace swarm::agent
