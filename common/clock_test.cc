#include "common/clock.h"

#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"

namespace swarm {
namespace {

TEST(ShiftedClockTest, MovesWallTimeAndLeavesMonotonicTimeAlone) {
  testing::SimLoop loop;
  const ShiftedClock ahead(loop, absl::Minutes(30)), behind(loop, absl::Minutes(-30));
  for (int hour = 0; hour < 2; ++hour) {
    EXPECT_EQ(ahead.WallNow(), loop.WallNow() + absl::Minutes(30));
    EXPECT_EQ(behind.WallNow(), loop.WallNow() - absl::Minutes(30));
    EXPECT_EQ(ahead.MonotonicNow(), loop.MonotonicNow());
    EXPECT_EQ(behind.MonotonicNow(), loop.MonotonicNow());
    loop.Advance(absl::Hours(1));
  }
}

}  // namespace
}  // namespace swarm
