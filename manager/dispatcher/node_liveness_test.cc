#include "manager/dispatcher/node_liveness.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"

namespace swarm::manager {
namespace {

// A loop whose thread did not run for a while: timers come late by `stopped`.
class StoppableLoop : public swarm::testing::SimLoop {
 public:
  absl::Duration Now() const override { return SimLoop::Now() + stopped; }
  absl::Duration stopped = absl::ZeroDuration();
};

class NodeLivenessTest : public ::testing::Test {
 protected:
  StoppableLoop loop_;
  std::vector<Id> silent_;
  NodeLiveness liveness_{loop_, [this](Id node, absl::Duration) { silent_.push_back(node); }};
  const Id node_{1, 1};
};

TEST_F(NodeLivenessTest, SilenceIsToldOnce) {
  liveness_.Expect(node_, absl::Seconds(15));
  loop_.Advance(absl::Seconds(10));
  liveness_.Heard(node_);
  loop_.Advance(absl::Seconds(14));
  EXPECT_TRUE(silent_.empty());
  loop_.Advance(absl::Seconds(60));
  EXPECT_EQ(silent_.size(), 1u);
}

TEST_F(NodeLivenessTest, AProcessThatWasStoppedBlamesNobodyForIt) {
  liveness_.Expect(node_, absl::Seconds(15));
  loop_.stopped = absl::Seconds(60);
  loop_.Advance(absl::Seconds(16));
  EXPECT_TRUE(silent_.empty()) << "what the node said meanwhile is still on its way";
  loop_.Advance(absl::Seconds(15));
  EXPECT_EQ(silent_.size(), 1u);
}

TEST_F(NodeLivenessTest, ForgottenNodesAreSilentInPeace) {
  liveness_.Expect(node_, absl::Seconds(15));
  liveness_.Forget(node_);
  loop_.Advance(absl::Minutes(5));
  EXPECT_TRUE(silent_.empty());
}

}  // namespace
}  // namespace swarm::manager
