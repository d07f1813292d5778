// F20: a service in quarantine, on virtual time.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/orchestrator_test_world.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

using ::testing::SizeIs;

class QuarantineTest : public OrchestratorTest {
 protected:
  void Quarantine(Id id) {
    for (uint32_t i = 0; i < kCrashesToQuarantine; ++i) {
      world_.MustWrite([&](WriteTx& tx) {
        return tx.Put(Blamed(*tx.view().GetService(id), "orchestrator", world_.loop().WallNow()));
      });
    }
  }
  void LetOut(Id id) {
    world_.MustWrite([&](WriteTx& tx) {
      Service service = *tx.view().GetService(id);
      service.clear_quarantine();
      return tx.Put(std::move(service));
    });
  }
};

TEST_F(QuarantineTest, F20WhatRunsGoesOnAndNothingIsDecided) {
  const Id web = RunningService(3);
  Quarantine(web);
  world_.Scale(web, 5);
  world_.Report(world_.Active(web)[0].id, TaskState::kFailed, "exit 1");
  world_.Pass(absl::Minutes(1));
  EXPECT_THAT(world_.TasksOf(web), SizeIs(3)) << "neither scaled nor restarted";
}

TEST_F(QuarantineTest, F20OtherServicesAreServedAsEver) {
  const Id web = RunningService(1);
  Quarantine(web);
  const Id db = world_.AddService("db", 2);
  world_.Settle();
  EXPECT_TRUE(world_.AllRunning(db));
  EXPECT_THAT(world_.Active(db), SizeIs(2));
}

TEST_F(QuarantineTest, F20ARestartedManagerStillKeepsOff) {
  const Id web = RunningService(3);
  Quarantine(web);
  RestartManager();
  world_.Scale(web, 5);
  world_.Pass(absl::Seconds(10));
  EXPECT_THAT(world_.Active(web), SizeIs(3));
}

TEST_F(QuarantineTest, F20ItsTasksStayWhereADrainedNodeHasThem) {
  const Id web = RunningService(3);
  Quarantine(web);
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.Pass(absl::Seconds(10));
  EXPECT_THAT(world_.Active(web), SizeIs(3));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(QuarantineTest, F20LetOutItsTasksLeaveTheNodeThatWasDrainedMeanwhile) {
  const Id web = RunningService(3);
  Quarantine(web);
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.SetNodeState(nodes_[1], v1::NodeStatus::STATE_DOWN);
  world_.Pass(absl::Seconds(10));
  LetOut(web);
  world_.Pass(absl::Seconds(10));
  for (const Task& task : world_.Active(web)) EXPECT_EQ(task.node_id, nodes_[2]);
  EXPECT_THAT(world_.Active(web), SizeIs(3));
}

TEST_F(QuarantineTest, F20OthersLeaveADrainedNodeThatIsFullOfItsTasks) {
  const Id web = RunningService(3'000);
  const Id db = world_.AddService("db", 3);
  world_.Settle();
  Quarantine(web);
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.Pass(absl::Seconds(10));
  for (const Task& task : world_.Active(db)) EXPECT_NE(task.node_id, nodes_[0]);
}

TEST_F(QuarantineTest, F20ARemovalThatIsLetOutGoesOn) {
  const Id web = RunningService(2);
  world_.MustWrite([&](WriteTx& tx) {
    Service service = *tx.view().GetService(web);
    service.set_removing(true);
    return tx.Put(Blamed(std::move(service), "orchestrator", world_.loop().WallNow(), 2));
  });
  world_.Pass(absl::Seconds(5));
  EXPECT_THAT(world_.TasksOf(web), SizeIs(2));
  LetOut(web);
  world_.Settle();
  EXPECT_EQ(world_.view().GetService(web), nullptr);
}

TEST_F(QuarantineTest, F20LetOutItCatchesUp) {
  const Id web = RunningService(3);
  Quarantine(web);
  world_.Scale(web, 5);
  world_.Pass(absl::Seconds(10));
  ASSERT_THAT(world_.Active(web), SizeIs(3));
  LetOut(web);
  world_.Settle();
  EXPECT_THAT(world_.Active(web), SizeIs(5));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(QuarantineTest, F20OnceIsNotEnoughAndCrashesFarApartDoNotAddUp) {
  const Service service = *world_.view().GetService(RunningService(1));
  const absl::Time now = world_.loop().WallNow();
  const Service once = Blamed(service, "scheduler", now);
  EXPECT_FALSE(IsQuarantined(once));
  EXPECT_TRUE(IsQuarantined(Blamed(once, "scheduler", now + absl::Minutes(1))));
  EXPECT_FALSE(IsQuarantined(Blamed(once, "scheduler", now + absl::Hours(2))));
  EXPECT_EQ(QuarantineReason(Blamed(once, "scheduler", now)),
            "in quarantine: manager/scheduler crashed while it decided about this service, 2 "
            "times; change its spec, or try again with service update --force");
}

}  // namespace
}  // namespace swarm::manager
