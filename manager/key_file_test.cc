#include "manager/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_system.h"
#include "common/strings.h"
#include "common/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class KeyFileTest : public ::testing::Test {
 protected:
  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "data.key";
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
};

TEST_F(KeyFileTest, IsMadeOnceAndForItsOwnerAlone) {
  auto made = KeyFile::ReadOrMake(path_, *random_);
  ASSERT_OK(made);
  EXPECT_TRUE(made->is_new());
  EXPECT_FALSE(made->locked());
  struct stat info = {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  auto again = KeyFile::ReadOrMake(path_, *random_);
  ASSERT_OK(again);
  EXPECT_FALSE(again->is_new());
  EXPECT_EQ(again->Take().data.Reveal(), made->Take().data.Reveal());
}

TEST_F(KeyFileTest, ALockedOneShowsNoKeyAndOpensWithItsUnlockKeyAlone) {
  auto made = KeyFile::ReadOrMake(path_, *random_);
  ASSERT_OK(made);
  ManagerKeys keys = made->Take();
  const std::string data(keys.data.Reveal());
  keys.unlock = SecretBytes::Copy(random_->Bytes(32));
  const std::string text = UnlockKeyText(keys.unlock);
  EXPECT_THAT(text, StartsWith("SWMKEY-1-"));
  EXPECT_EQ(text.size(), 52u);
  const auto open_text = ReadFile(path_);
  // What the open one was is gone from the disk, unless somebody else keeps it.
  const UniqueFd old(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(old.valid());
  ASSERT_OK(KeyFile::Write(path_, KeyFile::Render(keys, *random_)));
  std::string left(open_text->size(), 'x');
  ASSERT_EQ(::pread(old.get(), left.data(), left.size(), 0), static_cast<ssize_t>(left.size()));
  EXPECT_EQ(left, std::string(left.size(), '\0'));
  const auto locked_text = ReadFile(path_);
  ASSERT_OK(locked_text);
  // Not even the digits of the open one.
  EXPECT_THAT(*locked_text, Not(HasSubstr(open_text->substr(22, 40))));

  auto locked = KeyFile::ReadOrMake(path_, *random_);
  ASSERT_OK(locked);
  ASSERT_TRUE(locked->locked());
  auto opened = locked->Unlock(text + "\n");
  ASSERT_OK(opened);
  EXPECT_EQ(opened->data.Reveal(), data);
  EXPECT_EQ(UnlockKeyText(opened->unlock), text);
  const std::string other = UnlockKeyText(SecretBytes::Copy(random_->Bytes(32)));
  EXPECT_THAT(locked->Unlock(other).status(), StatusIs(absl::StatusCode::kPermissionDenied));
  for (const char* bad : {"", "SWMKEY-1-", "SWMKEY-1-abc", "SWMKEY-2-", "swordfish"}) {
    EXPECT_THAT(locked->Unlock(bad).status(), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

// F1: ended between the write and the rename.
TEST_F(KeyFileTest, WhatAWriteThatWasCutShortLeftIsTakenAway) {
  ASSERT_OK(KeyFile::ReadOrMake(path_, *random_));
  const auto text = ReadFile(path_);
  ASSERT_OK(WriteFileDurably(path_ + ".4711.2.tmp", *text, 0600));
  ASSERT_OK(WriteFileDurably(path_ + ".mine", "x", 0600));
  ASSERT_OK(KeyFile::ReadOrMake(path_, *random_));
  EXPECT_THAT(*ListDirectory(folder_.path()), ElementsAre("data.key", "data.key.mine"));
  EXPECT_EQ(*ReadFile(path_), *text);
}

TEST_F(KeyFileTest, ACopyThatSomebodyKeepsIsNotOverwritten) {
  auto made = KeyFile::ReadOrMake(path_, *random_);
  ASSERT_OK(made);
  const auto text = ReadFile(path_);
  const std::string copy = folder_ / "copy";
  ASSERT_EQ(::link(path_.c_str(), copy.c_str()), 0);
  ManagerKeys keys = made->Take();
  keys.unlock = SecretBytes::Copy(random_->Bytes(32));
  ASSERT_OK(KeyFile::Write(path_, KeyFile::Render(keys, *random_)));
  EXPECT_EQ(*ReadFile(copy), *text);
}

TEST_F(KeyFileTest, WhatIsNoKeyFileIsSaidAndLeftAlone) {
  for (const char* text : {"", "x", "swarm-data-key-1 open", "swarm-data-key-1 open AAAA",
                           "swarm-data-key-1 locked AAAA", "swarm-data-key-2 open AAAA",
                           "swarm-data-key-1 open !!!! more"}) {
    ASSERT_OK(WriteFileDurably(path_, text, 0600));
    EXPECT_THAT(KeyFile::ReadOrMake(path_, *random_).status(),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("is no key file"), HasSubstr("put it back from a copy"),
                               Not(HasSubstr("remove")))))
        << text;
    EXPECT_EQ(*ReadFile(path_), text);
  }
}

}  // namespace
}  // namespace swarm::manager
