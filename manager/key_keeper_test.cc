#include "manager/key_keeper.h"

#include <optional>

#include "common/file_system.h"
#include "common/strings.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/key_file.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::SimLoop;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

// The keeper over a file that was just made, open. The pool writes at once; what follows a write is
// on the loop, so a test that does not run it ends the process in between.
class KeyKeeperTest : public ::testing::Test {
 protected:
  KeyKeeperTest() {
    auto made = KeyFile::ReadOrMake(path_, *random_);
    EXPECT_OK(made);
    ManagerKeys keys = made->Take();
    vault_.emplace(std::move(keys.data));
    keeper_.emplace(env_, path_, *vault_, std::move(keys.unlock));
  }

  // What a manager that starts now finds.
  bool FileIsLocked() {
    const auto file = KeyFile::ReadOrMake(path_, *random_);
    EXPECT_OK(file);
    return file->locked();
  }
  bool FileOpensWith(const std::string& key) {
    const auto file = KeyFile::ReadOrMake(path_, *random_);
    EXPECT_OK(file);
    const auto keys = file->Unlock(key);
    return keys.ok() && keys->data.Reveal() == vault_->data_key().Reveal();
  }
  absl::Status Confirm(const std::string& key) {
    std::optional<absl::Status> answer;
    keeper_->Confirm(key, [&](absl::Status status) { answer = std::move(status); });
    loop_.RunUntilIdle();
    return answer.value_or(absl::InternalError("no answer"));
  }
  absl::Status Follow(bool auto_lock) {
    std::optional<absl::Status> answer;
    keeper_->Follow(auto_lock, [&](absl::Status status) { answer = std::move(status); });
    loop_.RunUntilIdle();
    return answer.value_or(absl::InternalError("no answer"));
  }
  std::string Lock() {
    EXPECT_OK(Follow(true));
    const auto key = keeper_->UnlockKey();
    EXPECT_OK(key);
    EXPECT_OK(Confirm(*key));
    return *key;
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "data.key";
  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  const Env env_{loop_, loop_, *random_, *pool_};
  std::optional<SecretVault> vault_;
  std::optional<KeyKeeper> keeper_;
};

// F1: whoever is locked out has lost all secrets.
TEST_F(KeyKeeperTest, NothingIsLockedWithAKeyThatNobodyConfirmedToHold) {
  EXPECT_THAT(keeper_->UnlockKey().status(), StatusIs(kPrecondition, HasSubstr("--autolock")));
  EXPECT_THAT(keeper_->Rotate().status(), StatusIs(kPrecondition));
  ASSERT_OK(Follow(true));
  const auto key = keeper_->UnlockKey();
  ASSERT_OK(key);
  EXPECT_EQ(*keeper_->UnlockKey(), *key);
  EXPECT_FALSE(FileIsLocked());  // a manager that ends here starts by itself
  ASSERT_OK(Confirm(*key));
  EXPECT_TRUE(FileIsLocked());
  EXPECT_TRUE(FileOpensWith(*key));
  EXPECT_OK(Confirm(*key));  // again changes nothing
}

TEST_F(KeyKeeperTest, ARotationThatEndsHalfWayLeavesAKeyThatSomebodyHolds) {
  const std::string old = Lock();
  const auto next = keeper_->Rotate();
  ASSERT_OK(next);
  EXPECT_NE(*next, old);
  EXPECT_TRUE(FileOpensWith(old));  // ended before it was confirmed
  EXPECT_FALSE(FileOpensWith(*next));
  EXPECT_EQ(*keeper_->UnlockKey(), old);
  keeper_->Confirm(*next, [](const absl::Status&) {});
  EXPECT_TRUE(FileOpensWith(*next));  // ended before it was answered
  EXPECT_FALSE(FileOpensWith(old));
  loop_.RunUntilIdle();
  EXPECT_EQ(*keeper_->UnlockKey(), *next);
}

TEST_F(KeyKeeperTest, OnlyTheLastKeyThatWasHandedOutCanBeConfirmed) {
  const std::string old = Lock();
  const auto first = keeper_->Rotate();
  const auto second = keeper_->Rotate();
  ASSERT_OK(second);
  EXPECT_THAT(Confirm(*first), StatusIs(kPrecondition, HasSubstr("handed out since")));
  EXPECT_THAT(Confirm("nonsense"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(FileOpensWith(old));
  EXPECT_OK(Confirm(*second));
  EXPECT_TRUE(FileOpensWith(*second));
}

TEST_F(KeyKeeperTest, WithoutAutoLockTheFileIsOpenAlsoWhenThatIsWishedDuringAWrite) {
  Lock();
  ASSERT_OK(Follow(false));
  EXPECT_FALSE(FileIsLocked());
  EXPECT_THAT(keeper_->UnlockKey().status(), StatusIs(kPrecondition));

  ASSERT_OK(Follow(true));
  const auto key = keeper_->UnlockKey();
  ASSERT_OK(key);
  keeper_->Confirm(*key, [](const absl::Status&) {});
  std::optional<absl::Status> followed;
  keeper_->Follow(false, [&](absl::Status status) { followed = std::move(status); });
  EXPECT_THAT(*followed, StatusIs(absl::StatusCode::kUnavailable));
  loop_.RunUntilIdle();
  EXPECT_FALSE(FileIsLocked());
}

// F4.
TEST_F(KeyKeeperTest, AWriteThatFailsLeavesTheOldFileAndIsDoneWhenItIsWishedAgain) {
  const std::string old = Lock();
  const auto next = keeper_->Rotate();
  ASSERT_OK(next);
  ASSERT_OK(RemoveTree(folder_.path()));  // as good as a disk without room
  EXPECT_FALSE(Confirm(*next).ok());
  EXPECT_EQ(*keeper_->UnlockKey(), old);
  ASSERT_OK(MakeDirectories(folder_.path(), 0700));
  EXPECT_OK(Confirm(*next));
  EXPECT_TRUE(FileOpensWith(*next));

  ASSERT_OK(RemoveTree(folder_.path()));
  EXPECT_FALSE(Follow(false).ok());
  ASSERT_OK(MakeDirectories(folder_.path(), 0700));
  EXPECT_OK(Follow(false));
  EXPECT_FALSE(FileIsLocked());
}

}  // namespace
}  // namespace swarm::manager
