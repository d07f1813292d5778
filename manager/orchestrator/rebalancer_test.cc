// Rebalancing by hand and by policy, on virtual time.
#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/orchestrator_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::SizeIs;

class RebalancerTest : public OrchestratorTest {
 protected:
  // Six replicas on two nodes; then a third takes tasks too.
  Id LopsidedService() {
    world_.SetAvailability(nodes_[2], v1::NodeSpec::AVAILABILITY_PAUSE);
    const Id web = RunningService(6);
    world_.SetAvailability(nodes_[2], v1::NodeSpec::AVAILABILITY_ACTIVE);
    world_.Settle();
    return web;
  }
  void Rebalance(Id service, uint64_t moves) {
    world_.MustWrite([&](WriteTx& tx) {
      Service record = *tx.view().GetService(service);
      record.set_rebalance_moves(moves);
      return tx.Put(std::move(record));
    });
  }
  void SetPolicy(uint32_t per_minute) {
    world_.MustWrite([&](WriteTx& tx) {
      Cluster cluster;
      if (const auto known = tx.view().GetCluster()) cluster = *known;
      if (cluster.id().empty()) cluster.set_id(Id::Make(world_.random()).ToString());
      cluster.mutable_spec()->mutable_rebalance()->set_mode(v1::RebalancePolicy::MODE_SLOW);
      cluster.mutable_spec()->mutable_rebalance()->set_moves_per_minute(per_minute);
      return tx.Put(std::move(cluster));
    });
  }
  size_t Running(Id service) {
    size_t running = 0;
    for (const Task& task : world_.Active(service)) running += task.state == TaskState::kRunning;
    return running;
  }
};

TEST_F(RebalancerTest, NothingMovesUnlessAsked) {
  const Id web = LopsidedService();
  world_.Pass(absl::Minutes(5), absl::Seconds(5));
  EXPECT_THAT(PerNode(web), SizeIs(2));
}

TEST_F(RebalancerTest, MovesByHandOneAfterTheOtherAndNeverBelowTheReplicas) {
  const Id web = LopsidedService();
  size_t fewest = 6;
  size_t most = 6;
  auto watch = world_.store().Watch(WatchSpeed::kApplied, [&](const ChangeSet&) {
    fewest = std::min(fewest, Running(web));
    most = std::max(most, world_.Active(web).size());
  });
  Rebalance(web, 2);
  world_.Pass(absl::Seconds(10));
  for (const auto& [node, tasks] : PerNode(web)) EXPECT_EQ(tasks, 2u);
  EXPECT_EQ(fewest, 6u);
  EXPECT_EQ(most, 7u);
  EXPECT_EQ(world_.view().GetService(web)->rebalance_moves(), 0u);
}

TEST_F(RebalancerTest, AMoveThatFindsNoPlaceIsGivenUp) {
  const Id web = LopsidedService();
  world_.SetRoomForOne(true);
  Rebalance(web, 1);
  world_.Pass(absl::Seconds(30));
  EXPECT_THAT(world_.Active(web), SizeIs(7));
  world_.Pass(absl::Seconds(40));
  EXPECT_THAT(world_.Active(web), SizeIs(6));
  EXPECT_EQ(Running(web), 6u);
}

TEST_F(RebalancerTest, ThePolicyMovesSoManyAMinuteWhenANodeJoins) {
  SetPolicy(2);
  const Id web = LopsidedService();
  world_.Pass(absl::Seconds(20));
  EXPECT_EQ(PerNode(web)[nodes_[2]], 1u);
  world_.Pass(absl::Seconds(20));
  EXPECT_EQ(PerNode(web)[nodes_[2]], 2u);
  world_.Pass(absl::Minutes(5), absl::Seconds(5));
  for (const auto& [node, tasks] : PerNode(web)) EXPECT_EQ(tasks, 2u);
}

}  // namespace
}  // namespace swarm::manager
