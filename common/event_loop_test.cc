#include "common/event_loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "common/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm {
namespace {

using ::testing::ElementsAre;

TEST(AsioLoopTest, RunsWhatIsPostedInOrderAndOnItsThread) {
  auto loop = MakeAsioLoop();
  std::vector<int> order;
  loop->Post([&] {
    EXPECT_TRUE(loop->InLoop());
    order.push_back(1);
    loop->Post([&] {
      order.push_back(3);
      loop->Stop();
    });
  });
  loop->Post([&] { order.push_back(2); });
  EXPECT_FALSE(loop->InLoop());
  loop->Run();
  EXPECT_FALSE(loop->InLoop());
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(AsioLoopTest, TimersRunInOrderAndNeverEarly) {
  auto loop = MakeAsioLoop();
  std::vector<int> order;
  loop->Post([&] {
    const absl::Duration start = loop->Now();
    loop->RunAfter(absl::Milliseconds(10), [&, start] {
      EXPECT_GE(loop->Now() - start, absl::Milliseconds(10));
      order.push_back(3);
      loop->Stop();
    });
    loop->RunAfter(absl::Milliseconds(1), [&] { order.push_back(1); });
    const TimerId never = loop->RunAfter(absl::Hours(1), [&] { order.push_back(99); });
    loop->RunAfter(absl::Milliseconds(1), [&, never] {
      order.push_back(2);
      EXPECT_TRUE(loop->Cancel(never));
      EXPECT_FALSE(loop->Cancel(never));
    });
    loop->RunAfter(absl::Seconds(-1), [&] { order.push_back(0); });
    EXPECT_FALSE(loop->Cancel(0));
  });
  loop->Run();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(AsioLoopTest, ATimerSetBeforeRunAndAnEarlierOneAfterItBothRun) {
  auto loop = MakeAsioLoop();
  std::vector<int> order;
  loop->RunAfter(absl::Milliseconds(20), [&] {
    order.push_back(2);
    loop->Stop();
  });
  loop->RunAfter(absl::Milliseconds(1), [&] { order.push_back(1); });
  loop->Run();
  EXPECT_THAT(order, ElementsAre(1, 2));
}

TEST(AsioLoopTest, AWatchRunsOnceWhenItsFileIsReadable) {
  auto loop = MakeAsioLoop();
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  int ready = 0;
  loop->Post([&] {
    loop->WatchReadable(event.get(), [&] {
      ++ready;
      // Still readable: a second watch is told again, the first is over.
      loop->WatchReadable(event.get(), [&] {
        ++ready;
        loop->RunAfter(absl::Milliseconds(5), [&] { loop->Stop(); });
      });
    });
    loop->RunAfter(absl::Milliseconds(5), [&] {
      EXPECT_EQ(ready, 0);
      EXPECT_EQ(::eventfd_write(event.get(), 1), 0);
    });
  });
  loop->Run();
  EXPECT_EQ(ready, 2);
  // The watch left the file's own flags alone.
  EXPECT_EQ(::fcntl(event.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(AsioLoopTest, UnwatchedFilesAreNotTold) {
  auto loop = MakeAsioLoop();
  const UniqueFd one(::eventfd(1, EFD_CLOEXEC)), two(::eventfd(1, EFD_CLOEXEC));
  int ready = 0;
  WatchId first = 0, second = 0;
  loop->Post([&] {
    // Both are ready in the same turn; whichever runs first ends the other.
    first = loop->WatchReadable(one.get(), [&] {
      ++ready;
      loop->Unwatch(second);
    });
    second = loop->WatchReadable(two.get(), [&] {
      ++ready;
      loop->Unwatch(first);
    });
    loop->RunAfter(absl::Milliseconds(10), [&] { loop->Stop(); });
  });
  loop->Run();
  EXPECT_EQ(ready, 1);
}

TEST(AsioLoopTest, APidfdTellsTheEndOfItsProcess) {
  auto loop = MakeAsioLoop();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(7);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  int status = 0;
  loop->Post([&] {
    loop->WatchReadable(pidfd.get(), [&] {
      EXPECT_EQ(::waitpid(child, &status, WNOHANG), child);
      loop->Stop();
    });
  });
  loop->Run();
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(AsioLoopTest, TakesPostsFromManyThreads) {
  auto loop = MakeAsioLoop();
  constexpr int kThreads = 4, kPosts = 2000;
  int count = 0;
  std::vector<int> last(kThreads, -1);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop->Post([&, t, i] {
          EXPECT_EQ(last[static_cast<size_t>(t)], i - 1);
          last[static_cast<size_t>(t)] = i;
          if (++count == kThreads * kPosts) loop->Stop();
        });
      }
    });
  }
  loop->Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, kThreads * kPosts);
}

TEST(AsioLoopTest, WhatIsLeftAtTheEndIsDestroyedUnrun) {
  auto loop = MakeAsioLoop();
  auto held = std::make_shared<int>(0);
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const auto touch = [held] { ++*held; };
  loop->Post([&] {
    loop->Stop();
    loop->Post(touch);
  });
  loop->Post(touch);
  loop->RunAfter(absl::Seconds(100), touch);
  loop->WatchReadable(event.get(), touch);
  loop->Run();
  loop->Post(touch);
  EXPECT_EQ(*held, 0);
  EXPECT_EQ(held.use_count(), 2);  // `held` and the lambda here
}

TEST(AsioLoopTest, StopBeforeRunIsFine) {
  auto loop = MakeAsioLoop();
  loop->Stop();
  loop->Run();
}

TEST(AsioLoopTest, ATerminationSignalRunsItsTaskEachTime) {
  auto loop = MakeAsioLoop();
  int signals = 0;
  loop->OnTerminationSignal([&] {
    if (++signals == 2) return loop->Stop();
    ::kill(::getpid(), SIGINT);
  });
  loop->Post([] { ::kill(::getpid(), SIGTERM); });
  loop->Run();
  EXPECT_EQ(signals, 2);
}

}  // namespace
}  // namespace swarm
