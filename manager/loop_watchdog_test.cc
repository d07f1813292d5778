#include "manager/loop_watchdog.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LoopWatchdogTest : public ::testing::Test {
 protected:
  void Tick(int times) {
    for (int i = 0; i < times; ++i) watchdog_.Tick();
  }

  testing::SimLoop loop_;
  std::vector<bool> reports_;
  int given_up_ = 0;
  LoopWatchdog watchdog_{loop_, [this](bool well) { reports_.push_back(well); },
                         [this] { ++given_up_; }};
};

TEST_F(LoopWatchdogTest, ALoopThatComesRoundIsWell) {
  for (int i = 0; i < 3 * LoopWatchdog::kDeadAfter; ++i) {
    watchdog_.Tick();
    loop_.RunUntilIdle();
  }
  EXPECT_THAT(reports_, IsEmpty());
  EXPECT_EQ(given_up_, 0);
}

TEST_F(LoopWatchdogTest, ALoopThatHangsIsIllThenGivenUpOnce) {
  Tick(LoopWatchdog::kIllAfter);
  EXPECT_THAT(reports_, IsEmpty());
  Tick(1);
  EXPECT_THAT(reports_, ElementsAre(false));
  Tick(LoopWatchdog::kDeadAfter);
  EXPECT_EQ(given_up_, 1);
  Tick(LoopWatchdog::kDeadAfter);
  EXPECT_EQ(given_up_, 1);
  EXPECT_THAT(reports_, ElementsAre(false));
}

TEST_F(LoopWatchdogTest, ALoopThatGoesOnIsWellAgain) {
  Tick(LoopWatchdog::kIllAfter + 5);
  loop_.RunUntilIdle();
  Tick(1);
  EXPECT_THAT(reports_, ElementsAre(false, true));
  loop_.RunUntilIdle();
  Tick(LoopWatchdog::kIllAfter);
  EXPECT_THAT(reports_, ElementsAre(false, true));
}

}  // namespace
}  // namespace swarm::manager
