#include "manager/api/log_merge.h"

#include <gtest/gtest.h>

namespace swarm::manager {
namespace {

constexpr absl::Duration kStart = absl::Hours(1);  // of the loop
constexpr absl::Time kWall = absl::FromUnixSeconds(1'000'000);

int64_t At(absl::Duration after) { return absl::ToUnixNanos(kWall + after); }

TEST(LogMergeTest, TheOldestLineComesFirst) {
  LogMerge merge(/*follow=*/false);
  merge.Ready("a", At(absl::Seconds(2)), kStart, kWall);
  merge.Ready("b", At(absl::Seconds(1)), kStart, kWall);
  EXPECT_EQ(merge.Next(kStart).stream, "b");
  merge.Ready("b", At(absl::Seconds(3)), kStart, kWall);
  EXPECT_EQ(merge.Next(kStart).stream, "a");
}

TEST(LogMergeTest, WaitsForAStreamThatMayHaveAnOlderLineButNotForever) {
  LogMerge merge(/*follow=*/false);
  merge.Await("silent", /*answered=*/false, kStart);
  merge.Ready("a", At(-absl::Hours(1)), kStart, kWall);
  EXPECT_FALSE(merge.Next(kStart).stream.has_value());
  EXPECT_EQ(merge.Next(kStart).ask_again, kStart + LogMerge::kWindow);
  const absl::Duration later = kStart + LogMerge::kWindow;
  EXPECT_EQ(merge.Next(later).stream, "a");
  // And not again for the next line.
  merge.Ready("a", At(-absl::Minutes(1)), later, kWall + LogMerge::kWindow);
  EXPECT_EQ(merge.Next(later).stream, "a");
}

TEST(LogMergeTest, WhoIsGoneHoldsNobodyUp) {
  LogMerge merge(/*follow=*/false);
  merge.Await("b", /*answered=*/true, kStart);
  merge.Ready("a", 5, kStart, kWall);
  EXPECT_FALSE(merge.Next(kStart).stream.has_value());
  merge.Remove("b");
  merge.Remove("b");
  EXPECT_EQ(merge.Next(kStart).stream, "a");
}

TEST(LogMergeTest, AFollowersLineIsHeldForTheWindowWhileOthersAreQuiet) {
  LogMerge merge(/*follow=*/true);
  merge.Await("quiet", /*answered=*/true, kStart - absl::Minutes(1));
  merge.Ready("a", At(absl::ZeroDuration()), kStart, kWall);
  EXPECT_EQ(merge.Next(kStart).ask_again, kStart + LogMerge::kFollowWindow);
  // An older line of the quiet one still finds its place.
  merge.Ready("quiet", At(-absl::Milliseconds(20)), kStart + absl::Milliseconds(50),
              kWall + absl::Milliseconds(50));
  EXPECT_EQ(merge.Next(kStart + absl::Milliseconds(50)).stream, "quiet");
}

TEST(LogMergeTest, OldLinesAreNotHeldForQuietNodes) {
  LogMerge merge(/*follow=*/true);
  merge.Await("quiet", /*answered=*/true, kStart - absl::Minutes(1));
  merge.Ready("flood", At(-absl::Seconds(1)), kStart, kWall);
  EXPECT_EQ(merge.Next(kStart).stream, "flood");
}

TEST(LogMergeTest, AClockThatIsAheadDoesNotHoldItsLines) {
  LogMerge merge(/*follow=*/true);
  merge.Await("quiet", /*answered=*/true, kStart - absl::Minutes(1));
  merge.Ready("ahead", At(absl::Hours(1)), kStart, kWall);
  EXPECT_EQ(merge.Next(kStart).ask_again, kStart + LogMerge::kFollowWindow);
}

TEST(LogMergeTest, NothingReadyIsNothingToDo) {
  LogMerge merge(/*follow=*/false);
  EXPECT_EQ(merge.Next(kStart).ask_again, absl::InfiniteDuration());
  merge.Await("a", /*answered=*/false, kStart);
  EXPECT_FALSE(merge.Next(kStart + absl::Hours(1)).stream.has_value());
}

}  // namespace
}  // namespace swarm::manager
