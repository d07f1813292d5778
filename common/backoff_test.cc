#include "common/backoff.h"

#include "common/random.h"
#include "gtest/gtest.h"

namespace swarm {
namespace {

// The ends of the range: a Fraction of 0 and one just under 1.
class FixedRandom : public Random {
 public:
  explicit FixedRandom(uint64_t value) : value_(value) {}
  uint64_t Next() override { return value_; }

 private:
  uint64_t value_;
};

TEST(BackoffTest, GrowsFromBaseToCapAndNeverUnderTheFloor) {
  FixedRandom most(UINT64_MAX), least(0);
  Backoff slow({}, most), fast({}, least);
  absl::Duration expected = absl::Milliseconds(200);
  for (int i = 0; i < 5000; ++i) {
    EXPECT_EQ(fast.Next(), absl::Milliseconds(50));
    const absl::Duration delay = slow.Next();
    EXPECT_LE(delay, expected);
    EXPECT_GE(delay, expected - absl::Milliseconds(1));
    expected = std::min(expected * 2, absl::Duration(absl::Seconds(8)));
  }
  EXPECT_EQ(slow.attempts(), 5000);
}

TEST(BackoffTest, ResetBeginsAgain) {
  FixedRandom most(UINT64_MAX);
  Backoff backoff({}, most);
  for (int i = 0; i < 10; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(200));
}

TEST(BackoffTest, FloorAboveTheCapIsTheDelay) {
  FixedRandom most(UINT64_MAX);
  Backoff backoff({absl::Seconds(2), absl::Milliseconds(1), absl::Seconds(1)}, most);
  EXPECT_EQ(backoff.Next(), absl::Seconds(2));
}

}  // namespace
}  // namespace swarm
