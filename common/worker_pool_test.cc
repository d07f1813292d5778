#include "common/worker_pool.h"

#include <future>
#include <memory>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::StatusIs;

TEST(WorkerPoolTest, RunsWhatIsSubmitted) {
  std::promise<int> answer;
  auto pool = MakeThreadPool("a-name-that-is-too-long-for-ps", 2, 10);
  EXPECT_OK(pool->Submit([&] { answer.set_value(42); }));
  EXPECT_EQ(answer.get_future().get(), 42);
}

TEST(WorkerPoolTest, AFullQueueRefuses) {
  std::promise<void> started, release;
  auto pool = MakeThreadPool("pool", 1, 2);
  ASSERT_OK(pool->Submit([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_OK(pool->Submit([] {}));
  EXPECT_OK(pool->Submit([] {}));
  EXPECT_THAT(pool->Submit([] {}), StatusIs(absl::StatusCode::kResourceExhausted));
  release.set_value();
}

TEST(WorkerPoolTest, DestroyingWaitsForWhatRunsAndDropsWhatIsQueued) {
  std::promise<void> started, dropped, release;
  bool ran = false, queued_ran = false;
  // Its destruction tells that the queue was dropped while the first piece still runs.
  auto signal = std::shared_ptr<void>(nullptr, [&](void*) { dropped.set_value(); });
  auto pool = MakeThreadPool("pool", 1, 10);
  ASSERT_OK(pool->Submit([&] {
    started.set_value();
    dropped.get_future().wait();
    ran = true;
  }));
  started.get_future().wait();
  ASSERT_OK(pool->Submit([&queued_ran, signal = std::move(signal)] { queued_ran = true; }));
  pool.reset();
  EXPECT_TRUE(ran);
  EXPECT_FALSE(queued_ran);
}

TEST(WorkerPoolTest, AnInlinePoolRunsInsideSubmit) {
  bool ran = false;
  EXPECT_OK(MakeInlinePool()->Submit([&] { ran = true; }));
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace swarm
