#include "manager/black_box.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

#include "common/check.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

class BlackBoxTest : public ::testing::Test {
 protected:
  BlackBoxTest() { ::unlink(path_.c_str()); }
  ~BlackBoxTest() override { ::unlink(path_.c_str()); }

  // Runs `life` in a process of its own, with a black box that catches its crashes; how it ended.
  int Live(const std::function<void(const Env&)>& life, Id crash_over = {}) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto box = BlackBox::Open(path_, {crash_over});
      CHECK(box.ok());
      (*box)->CatchCrashes();
      life(Env{loop_, loop_, *random_, *pool_, box->get()});
      ::_exit(0);
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    return status;
  }
  void Forget() { BlackBox::Open(path_, {}).value()->Forget(); }
  std::optional<BlackBox::Crash> Found() {
    auto box = BlackBox::Open(path_, {});
    EXPECT_THAT(box, testing::IsOk());
    return (*box)->crash();
  }

  const std::string path_ = ::testing::TempDir() + "black_box_" + std::to_string(::getpid());
  testing::SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  const Id web_ = Id::Make(*random_);
  const Id db_ = Id::Make(*random_);
};

TEST_F(BlackBoxTest, ACrashTellsTheRoomAndTheServiceOnce) {
  const int ended = Live([&](const Env& env) {
    const Deciding deciding(env, "scheduler", web_);
    std::abort();
  });
  ASSERT_TRUE(WIFSIGNALED(ended));
  EXPECT_EQ(WTERMSIG(ended), SIGABRT);
  const auto crash = Found();
  ASSERT_TRUE(crash.has_value());
  EXPECT_EQ(crash->room, "scheduler");
  EXPECT_EQ(crash->service, web_);
  EXPECT_EQ(crash->signal, SIGABRT);
  EXPECT_TRUE(Found().has_value()) << "nobody has written it down yet";
  Forget();
  EXPECT_FALSE(Found().has_value());
}

TEST_F(BlackBoxTest, CrashesThatNobodyWroteDownAddUp) {
  const auto crash = [&](Id service) {
    Live([&](const Env& env) {
      const Deciding deciding(env, "scheduler", service);
      std::abort();
    });
  };
  crash(web_);
  crash(web_);
  EXPECT_EQ(Found()->crashes, 2u);
  crash(db_);
  EXPECT_EQ(Found()->service, db_);
  EXPECT_EQ(Found()->crashes, 1u);
}

TEST_F(BlackBoxTest, ABadPointerAndAnExceptionAreCrashesToo) {
  Live([&](const Env& env) {
    const Deciding deciding(env, "orchestrator", web_);
    ::raise(SIGSEGV);
  });
  EXPECT_TRUE(Found().has_value());
  Forget();
  Live([&](const Env& env) {
    const Deciding deciding(env, "orchestrator", db_);
    // As what a callback of the loop throws: nothing catches it, no scope is left.
    std::terminate();
  });
  const auto crash = Found();
  ASSERT_TRUE(crash.has_value());
  EXPECT_EQ(crash->service, db_);
}

TEST_F(BlackBoxTest, BeingKilledOrEndingIsNoCrash) {
  Live([&](const Env& env) {
    const Deciding deciding(env, "scheduler", web_);
    ::raise(SIGKILL);
  });
  EXPECT_FALSE(Found().has_value());
  Live([&](const Env& env) {
    const Deciding deciding(env, "scheduler", web_);
    ::_exit(1);
  });
  EXPECT_FALSE(Found().has_value());
}

TEST_F(BlackBoxTest, ACrashBetweenDecisionsBlamesNobody) {
  Live([&](const Env& env) {
    { const Deciding deciding(env, "scheduler", web_); }
    std::abort();
  });
  EXPECT_FALSE(Found().has_value());
}

TEST_F(BlackBoxTest, ARehearsalCrashesOverTheOneServiceOnly) {
  int ended = Live([&](const Env& env) { const Deciding deciding(env, "scheduler", db_); }, web_);
  EXPECT_TRUE(WIFEXITED(ended));
  ended = Live([&](const Env& env) { const Deciding deciding(env, "scheduler", web_); }, web_);
  EXPECT_TRUE(WIFSIGNALED(ended));
  EXPECT_EQ(Found()->service, web_);
}

TEST_F(BlackBoxTest, AFileOfOtherBytesIsNoNote) {
  { std::ofstream(path_) << "not a note at all, and shorter than one page"; }
  EXPECT_FALSE(Found().has_value());
}

}  // namespace
}  // namespace swarm::manager
