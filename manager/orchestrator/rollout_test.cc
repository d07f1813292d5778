// Updates, rollbacks and global services, on virtual time.
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/orchestrator_test_world.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Names = std::multiset<std::string>;
using Update = v1::UpdateStatus;
using Config = v1::UpdateConfig;

class RolloutTest : public OrchestratorTest {
 protected:
  // A change of the image with these update rules, as one update.
  void UpdateTo(Id service, const std::string& image,
                const std::function<void(Config&)>& rules = nullptr) {
    world_.ChangeService(service, [&](v1::ServiceSpec& spec) {
      spec.mutable_task()->mutable_container()->set_image(image);
      if (rules != nullptr) rules(*spec.mutable_update());
    });
  }
  static std::function<void(Config&)> StartFirst() {
    return [](Config& config) { config.set_order(Config::ORDER_START_FIRST); };
  }
  static std::function<void(Config&)> OnFailure(Config::FailureAction action, double ratio = 0) {
    return [=](Config& config) {
      config.set_failure_action(action);
      config.set_max_failure_ratio(ratio);
    };
  }
  // The task of the slot that is changed over first.
  Id FirstOf(Id service, const std::string& image) {
    for (const Task& task : world_.Active(service)) {
      if (StoreWorld::ImageOf(task) == image) return task.id;
    }
    ADD_FAILURE() << "nothing has image " << image;
    return {};
  }
  size_t Running(Id service) {
    size_t running = 0;
    for (const Task& task : world_.Active(service)) running += task.state == TaskState::kRunning;
    return running;
  }
  // The new task of every slot that is being changed over comes to the node of the old one, and
  // gets no further; then only the constraints change, so that it is as good as one of the next
  // revision.
  void PlaceNewBesideOldAndConstrain(Id service) {
    world_.loop().RunUntilIdle();
    world_.MustWrite([&](WriteTx& tx) {
      for (const Task& task : world_.Active(service)) {
        if (!task.node_id.IsZero()) continue;
        Task placed = task;
        placed.node_id = world_.ActiveIn(service, task.slot).node_id;
        placed.state = TaskState::kPreparing;
        tx.Put(std::move(placed));
      }
      return absl::OkStatus();
    });
    world_.ChangeService(service, [](v1::ServiceSpec& spec) {
      spec.mutable_task()->mutable_placement()->add_constraints("node.hostname!=elsewhere");
    });
    world_.loop().RunUntilIdle();
  }
  std::string Message(Id service) { return world_.UpdateOf(service).message(); }
  void RollBack(Id service) {
    world_.MustWrite([&](WriteTx& tx) {
      auto back = RolledBack(*tx.view().GetService(service), "");
      EXPECT_TRUE(back.ok()) << back.status();
      return tx.Put(*std::move(back));
    });
  }
};

// ---------------------------------------------------------------------------------- change-overs

TEST_F(RolloutTest, TheOldTaskRunsUntilTheImageOfTheNewOneIsThere) {
  const Id web = RunningService(1);
  const Id old = world_.ActiveIn(web, 1).id;
  UpdateTo(web, "app:2");
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.view().GetTask(old)->desired, TaskState::kRunning);
  const Id fresh = world_.Active(web).back().id;
  EXPECT_EQ(world_.view().GetTask(fresh)->desired, TaskState::kReady);
  world_.Report(fresh, TaskState::kReady);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.view().GetTask(old)->desired, TaskState::kShutdown);
  world_.Settle();
  EXPECT_EQ(Images(web), Names{"app:2"});
}

TEST_F(RolloutTest, AnImageThatCannotBePulledLeavesTheOldTaskRunning) {
  const Id web = RunningService(1);
  const Id old = world_.ActiveIn(web, 1).id;
  UpdateTo(web, "app:2");
  world_.loop().RunUntilIdle();
  world_.Report(FirstOf(web, "app:2"), TaskState::kRejected, "no such image");
  world_.Pass(absl::Minutes(20), absl::Seconds(30));
  EXPECT_EQ(world_.ActiveIn(web, 1).id, old);
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
  EXPECT_THAT(Message(web), HasSubstr("no such image"));
}

TEST_F(RolloutTest, TheOldTaskStopsAtOnceWhenThereIsNoRoomForTwo) {
  const Id web = RunningService(2);
  world_.SetRoomForOne(true);
  UpdateTo(web, "app:2");
  world_.Settle();
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2"}));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(RolloutTest, StartFirstNeverHasFewerThanWantedRunning) {
  const Id web = RunningService(3);
  UpdateTo(web, "app:2", StartFirst());
  size_t fewest = 3;
  auto watch = world_.store().Watch(
      WatchSpeed::kApplied, [&](const ChangeSet&) { fewest = std::min(fewest, Running(web)); });
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2", "app:2"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  EXPECT_EQ(fewest, 3u);
}

TEST_F(RolloutTest, AStartFirstTaskThatFailsLeavesTheOldOneAlone) {
  const Id web = RunningService(2);
  world_.BreakImage("app:2");
  UpdateTo(web, "app:2", StartFirst());
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(Images(web), (Names{"app:1", "app:1"}));
  EXPECT_EQ(Running(web), 2u);
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
}

TEST_F(RolloutTest, AnOldTaskThatCrashesIsReplacedByTheNewOneThatWaited) {
  const Id web = RunningService(1);
  UpdateTo(web, "app:2");
  world_.loop().RunUntilIdle();
  world_.Report(world_.Active(web).front().id, TaskState::kFailed, "exit 1");
  world_.Settle();
  EXPECT_EQ(Images(web), Names{"app:2"});
  world_.Pass(absl::Seconds(6));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, ANewerRevisionTakesThePlaceOfAnUnfinishedChange) {
  const Id web = RunningService(1);
  UpdateTo(web, "app:2");
  world_.loop().RunUntilIdle();
  UpdateTo(web, "app:3");
  world_.loop().RunUntilIdle();
  EXPECT_EQ(Images(web), (Names{"app:1", "app:3"}));
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web), Names{"app:3"});
}

TEST_F(RolloutTest, AnUnfinishedChangeStaysTheUpdatesWhenTheNextRevisionChangesConstraintsAlone) {
  const Id web = RunningService(1);
  UpdateTo(web, "app:2");
  PlaceNewBesideOldAndConstrain(web);
  const Id fresh = FirstOf(web, "app:2");
  world_.loop().Advance(absl::Seconds(30));
  EXPECT_EQ(UpdateState(web), Update::STATE_UPDATING);
  world_.Scale(web, 2);  // another look at the service
  world_.loop().Advance(absl::Seconds(30));
  EXPECT_EQ(world_.view().GetTask(fresh)->desired, TaskState::kReady);
  world_.Report(fresh, TaskState::kRejected, "no such image");
  world_.Pass(absl::Seconds(30));
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
  EXPECT_THAT(Message(web), HasSubstr("no such image"));
}

TEST_F(RolloutTest, AnUnfinishedChangeWhoseTasksBothLeaveALostNodeIsBegunAgain) {
  const Id web = RunningService(9);
  UpdateTo(web, "app:2", [](Config& config) { config.set_parallelism(0); });
  PlaceNewBesideOldAndConstrain(web);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Pass(absl::Minutes(2));
  EXPECT_THAT(Images(web), SizeIs(9));
  EXPECT_THAT(Images(web), Each("app:2"));
  EXPECT_TRUE(world_.AllRunning(web));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, ADrainDuringAnUpdateLosesNoSlot) {
  const Id web = RunningService(3);
  UpdateTo(web, "app:2");
  world_.loop().RunUntilIdle();
  for (const Task& task : world_.Active(web)) {
    if (task.node_id.IsZero()) continue;
    world_.SetAvailability(task.node_id, v1::NodeSpec::AVAILABILITY_DRAIN);
    break;
  }
  world_.Pass(absl::Seconds(30));
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2", "app:2"}));
  EXPECT_TRUE(world_.AllRunning(web));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, AHalfDoneChangeGoesOnAfterARestartOfTheManager) {
  const Id web = RunningService(2);
  UpdateTo(web, "app:2", StartFirst());
  world_.loop().RunUntilIdle();
  ASSERT_THAT(world_.Active(web), SizeIs(3));
  RestartManager();
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

// ------------------------------------------------------------------------------- the update's
// rules

TEST_F(RolloutTest, ParallelismIsHowManyAreChangedAtOnce) {
  const Id web = RunningService(6);
  UpdateTo(web, "app:2", [](Config& config) { config.set_parallelism(2); });
  world_.loop().RunUntilIdle();
  EXPECT_THAT(world_.Active(web), SizeIs(8));
}

TEST_F(RolloutTest, ParallelismZeroIsAllAtOnce) {
  const Id web = RunningService(6);
  UpdateTo(web, "app:2", [](Config& config) { config.set_parallelism(0); });
  world_.loop().RunUntilIdle();
  EXPECT_THAT(world_.Active(web), SizeIs(12));
}

TEST_F(RolloutTest, TheDelayPassesBetweenOneTaskAndTheNext) {
  const Id web = RunningService(2);
  UpdateTo(web, "app:2", [](Config& config) { config.mutable_delay()->set_seconds(30); });
  world_.Pass(absl::Seconds(29));
  EXPECT_EQ(Images(web), (Names{"app:1", "app:2"}));
  world_.Pass(absl::Seconds(2));
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2"}));
}

TEST_F(RolloutTest, AFailureAfterTheMonitorPeriodIsNotTheUpdates) {
  const Id web = RunningService(1);
  UpdateTo(web, "app:2", [](Config& config) { config.mutable_monitor()->set_seconds(2); });
  world_.Pass(absl::Seconds(4));
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kFailed, "exit 1");
  world_.Settle();
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, ALongMonitorPeriodStillSeesALateFailure) {
  const Id web = RunningService(1);
  UpdateTo(web, "app:2", [](Config& config) { config.mutable_monitor()->set_seconds(60); });
  world_.Pass(absl::Seconds(40));
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kFailed, "exit 1");
  world_.Settle();
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
}

TEST_F(RolloutTest, AFailedShareWithinTheRatioIsOnlySaid) {
  const Id web = RunningService(4);
  UpdateTo(web, "app:2", OnFailure(Config::FAILURE_ACTION_PAUSE, 0.25));
  world_.loop().RunUntilIdle();
  world_.Report(FirstOf(web, "app:2"), TaskState::kFailed, "exit 1");
  world_.Settle();
  EXPECT_EQ(UpdateState(web), Update::STATE_UPDATING);
  EXPECT_THAT(Message(web), HasSubstr("1 of 4 failed"));
  world_.Pass(absl::Seconds(30));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2", "app:2", "app:2"}));
}

TEST_F(RolloutTest, ContinueChangesEverySlotInSpiteOfFailuresAndCountsThem) {
  const Id web = RunningService(2);
  world_.BreakImage("app:2");
  UpdateTo(web, "app:2", OnFailure(Config::FAILURE_ACTION_CONTINUE));
  world_.Pass(absl::Seconds(30));
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  EXPECT_THAT(Message(web), HasSubstr("failures on the way"));
  world_.MendImage("app:2");
  world_.Pass(absl::Minutes(2));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(RolloutTest, ContinueTriesAgainWhereTheOldTaskStillRuns) {
  const Id web = RunningService(1);
  world_.BreakImage("app:2");
  UpdateTo(web, "app:2", [](Config& config) {
    config.set_order(Config::ORDER_START_FIRST);
    config.set_failure_action(Config::FAILURE_ACTION_CONTINUE);
  });
  world_.Pass(absl::Seconds(60));
  EXPECT_EQ(UpdateState(web), Update::STATE_UPDATING);
  EXPECT_EQ(Running(web), 1u);
  world_.MendImage("app:2");
  world_.Pass(absl::Minutes(2));
  EXPECT_EQ(Images(web), Names{"app:2"});
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, ContinueTriesAgainWhenALateTaskLosesItsNode) {
  const Id web = RunningService(1);
  const Id home = world_.ActiveIn(web, 1).node_id;
  UpdateTo(web, "app:2", [](Config& config) {
    config.set_order(Config::ORDER_START_FIRST);
    config.set_failure_action(Config::FAILURE_ACTION_CONTINUE);
    config.mutable_progress_deadline()->set_seconds(60);
  });
  world_.loop().RunUntilIdle();
  const Id late = FirstOf(web, "app:2");
  const Id other = nodes_[0] == home ? nodes_[1] : nodes_[0];
  world_.MustWrite([&](WriteTx& tx) {
    Task placed = *tx.view().GetTask(late);
    placed.node_id = other;
    placed.state = TaskState::kPreparing;
    tx.Put(std::move(placed));
    return absl::OkStatus();
  });
  world_.loop().Advance(absl::Seconds(120));
  world_.loop().RunUntilIdle();
  ASSERT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  ASSERT_EQ(world_.view().GetTask(late)->state, TaskState::kPreparing);
  world_.SetNodeState(other, v1::NodeStatus::STATE_DOWN);
  world_.Pass(absl::Minutes(2));
  EXPECT_EQ(Images(web), Names{"app:2"});
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, ALateTaskThatFailsByItselfIsNotTriedAgainWithoutTheRestartPolicy) {
  const Id web = RunningService(1, Restart(v1::RestartPolicy::CONDITION_NONE));
  UpdateTo(web, "app:2", [](Config& config) {
    config.set_order(Config::ORDER_START_FIRST);
    config.set_failure_action(Config::FAILURE_ACTION_CONTINUE);
    config.mutable_progress_deadline()->set_seconds(60);
  });
  world_.loop().RunUntilIdle();
  const Id late = FirstOf(web, "app:2");
  world_.loop().Advance(absl::Seconds(120));
  world_.loop().RunUntilIdle();
  ASSERT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  world_.Report(late, TaskState::kFailed, "exit 1");
  world_.Pass(absl::Minutes(2));
  EXPECT_EQ(Images(web), Names{"app:1"});
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, ATaskThatCannotBePlacedFailsTheUpdateAtItsDeadlineWithTheReason) {
  const Id web = RunningService(1);
  for (Id node : nodes_) world_.SetAvailability(node, v1::NodeSpec::AVAILABILITY_PAUSE);
  UpdateTo(web, "app:2", [](Config& config) {
    config.set_order(Config::ORDER_START_FIRST);
    config.mutable_progress_deadline()->set_seconds(60);
  });
  world_.Pass(absl::Seconds(59));
  EXPECT_EQ(UpdateState(web), Update::STATE_UPDATING);
  world_.Pass(absl::Seconds(3));
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
  EXPECT_THAT(Message(web), HasSubstr("which is not running after 1m"));
  EXPECT_EQ(Images(web), Names{"app:1"});
}

TEST_F(RolloutTest, APausedUpdateGoesOnWhenItsStateIsCleared) {
  const Id web = RunningService(3);
  world_.BreakImage("app:2");
  UpdateTo(web, "app:2");
  world_.Pass(absl::Seconds(10));
  ASSERT_EQ(UpdateState(web), Update::STATE_PAUSED);
  world_.MendImage("app:2");
  world_.MustWrite([&](WriteTx& tx) {
    Service service = *tx.view().GetService(web);
    service.clear_update_status();
    service.clear_update_of_revision_id();
    return tx.Put(std::move(service));
  });
  world_.Pass(absl::Seconds(30));
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2", "app:2"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, FailuresAreCountedAcrossARestartOfTheManager) {
  const Id web = RunningService(4);
  UpdateTo(web, "app:2", OnFailure(Config::FAILURE_ACTION_PAUSE, 0.25));
  world_.loop().RunUntilIdle();
  world_.Report(FirstOf(web, "app:2"), TaskState::kFailed, "exit 1");
  world_.loop().RunUntilIdle();
  RestartManager();
  world_.BreakImage("app:2");
  world_.Pass(absl::Seconds(30));
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
}

// ------------------------------------------------------------------------------------- rollback

TEST_F(RolloutTest, F16AFailedUpdateRollsBackToTheSpecBeforeItAndSaysWhy) {
  const Id web = RunningService(3);
  world_.BreakImage("app:2");
  UpdateTo(web, "app:2", OnFailure(Config::FAILURE_ACTION_ROLLBACK));
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(Images(web), (Names{"app:1", "app:1", "app:1"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_ROLLBACK_COMPLETED);
  EXPECT_THAT(Message(web), HasSubstr("exit 1"));
  EXPECT_EQ(world_.view().GetService(web)->spec().task().container().image(), "app:1");
}

TEST_F(RolloutTest, ARollbackTouchesNothingThatStillRunsTheOldRevision) {
  const Id web = RunningService(3);
  std::set<Id> before;
  for (const Task& task : world_.Active(web)) before.insert(task.id);
  world_.BreakImage("app:2");
  UpdateTo(web, "app:2", OnFailure(Config::FAILURE_ACTION_ROLLBACK));
  world_.Pass(absl::Minutes(1));
  size_t same = 0;
  for (const Task& task : world_.Active(web)) same += before.count(task.id);
  EXPECT_EQ(same, 2u);  // the third was stopped for a task whose image came and then failed
}

TEST_F(RolloutTest, ARollbackByHandGoesBackAndDoneTwiceForthAgain) {
  const Id web = RunningService(2);
  UpdateTo(web, "app:2");
  world_.Pass(absl::Seconds(10));
  RollBack(web);
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web), (Names{"app:1", "app:1"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_ROLLBACK_COMPLETED);
  RollBack(web);
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2"}));
}

TEST_F(RolloutTest, ARollbackInTheMiddleOfAnUpdateLeavesWhatStillRuns) {
  const Id web = RunningService(2);
  UpdateTo(web, "app:2", StartFirst());
  world_.loop().RunUntilIdle();
  ASSERT_THAT(world_.Active(web), SizeIs(3));
  RollBack(web);
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web), (Names{"app:1", "app:1"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_ROLLBACK_COMPLETED);
}

TEST_F(RolloutTest, ARollbackUsesItsOwnRulesAndAFailingOneIsPausedNotRolledBack) {
  const Id web = RunningService(4, [](v1::ServiceSpec& spec) {
    spec.mutable_rollback()->set_parallelism(0);
    spec.mutable_rollback()->set_failure_action(Config::FAILURE_ACTION_PAUSE);
  });
  UpdateTo(web, "app:2");
  world_.Pass(absl::Seconds(20));
  ASSERT_EQ(Images(web), (Names{"app:2", "app:2", "app:2", "app:2"}));
  world_.BreakImage("app:1");
  RollBack(web);
  world_.loop().RunUntilIdle();
  EXPECT_THAT(world_.Active(web), SizeIs(8));
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(UpdateState(web), Update::STATE_ROLLBACK_PAUSED);
}

TEST_F(RolloutTest, ARollbackRestoresTheReplicasToo) {
  const Id web = RunningService(2);
  world_.ChangeService(web, [](v1::ServiceSpec& spec) {
    spec.mutable_replicated()->set_replicas(5);
    spec.mutable_task()->mutable_container()->set_image("app:2");
  });
  world_.Pass(absl::Seconds(20));
  ASSERT_THAT(world_.Active(web), SizeIs(5));
  RollBack(web);
  world_.Pass(absl::Seconds(20));
  EXPECT_EQ(Images(web), (Names{"app:1", "app:1"}));
}

// ------------------------------------------------------------------------------- global services

TEST_F(RolloutTest, AGlobalServiceHasOneTaskOnEachNodeThatFits) {
  world_.AddNode("d", {{"disk", "ssd"}});
  world_.AddNode("e", {{"disk", "ssd"}});
  const Id all = Global();
  EXPECT_THAT(PerNode(all), SizeIs(5));
  const Id some = world_.AddService("ssd", 0, [](v1::ServiceSpec& spec) {
    spec.mutable_global();
    spec.mutable_task()->mutable_placement()->add_constraints("node.labels.disk==ssd");
  });
  world_.Settle();
  EXPECT_THAT(PerNode(some), SizeIs(2));
}

TEST_F(RolloutTest, AGlobalServiceFollowsNodesThatJoinLeaveAndChange) {
  const Id agent = Global([](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.labels.off!=yes");
  });
  const Id joined = world_.AddNode("d");
  world_.Settle();
  EXPECT_THAT(PerNode(agent), SizeIs(4));
  world_.RemoveNode(joined);
  world_.Settle();
  EXPECT_THAT(PerNode(agent), SizeIs(3));
  world_.ChangeNode(nodes_[0],
                    [](Node& node) { (*node.mutable_spec()->mutable_labels())["off"] = "yes"; });
  world_.Settle();
  EXPECT_THAT(PerNode(agent), SizeIs(2));
  world_.ChangeNode(nodes_[0], [](Node& node) { node.mutable_spec()->clear_labels(); });
  world_.Settle();
  EXPECT_THAT(PerNode(agent), SizeIs(3));
}

TEST_F(RolloutTest, AGlobalServiceLeavesADrainedNodeAndKeepsPausedAndDownOnes) {
  const Id agent = Global();
  std::map<Id, Id> before;
  for (const Task& task : world_.Active(agent)) before[task.node_id] = task.id;
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.SetAvailability(nodes_[1], v1::NodeSpec::AVAILABILITY_PAUSE);
  world_.SetNodeState(nodes_[2], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  std::map<Id, Id> after;
  for (const Task& task : world_.Active(agent)) after[task.node_id] = task.id;
  before.erase(nodes_[0]);
  EXPECT_EQ(after, before);
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_ACTIVE);
  world_.SetNodeState(nodes_[2], v1::NodeStatus::STATE_READY);
  world_.Settle();
  EXPECT_THAT(PerNode(agent), SizeIs(3));
}

TEST_F(RolloutTest, AGlobalServiceGivesAPausedNodeNothingUntilItIsActive) {
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_PAUSE);
  const Id agent = Global();
  EXPECT_THAT(PerNode(agent), SizeIs(2));
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_ACTIVE);
  world_.Settle();
  EXPECT_THAT(PerNode(agent), SizeIs(3));
}

TEST_F(RolloutTest, AGlobalServiceIsUpdatedInPlaceAndRestartsOnItsNode) {
  const Id agent = Global();
  const Task victim = world_.Active(agent).front();
  world_.Report(victim.id, TaskState::kFailed, "exit 1");
  world_.Pass(absl::Seconds(6));
  EXPECT_THAT(PerNode(agent), SizeIs(3));
  UpdateTo(agent, "app:2");
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(agent), (Names{"app:2", "app:2", "app:2"}));
  EXPECT_THAT(PerNode(agent), SizeIs(3));
  EXPECT_EQ(UpdateState(agent), Update::STATE_COMPLETED);
}

TEST_F(RolloutTest, AGlobalServiceThatGaveUpANodeIsNotStartedThereAgainByARestartOfTheManager) {
  const Id agent = Global([](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_restart()->set_condition(v1::RestartPolicy::CONDITION_NONE);
  });
  world_.Report(world_.Active(agent).front().id, TaskState::kComplete);
  world_.Settle();
  EXPECT_THAT(world_.Active(agent), SizeIs(2));
  RestartManager();
  world_.Pass(absl::Seconds(10));
  EXPECT_THAT(world_.Active(agent), SizeIs(2));
}

TEST_F(RolloutTest, AGlobalServiceIsRemovedWholly) {
  const Id agent = Global();
  world_.RemoveService(agent);
  world_.Settle();
  EXPECT_THAT(world_.TasksOf(agent), IsEmpty());
  EXPECT_EQ(world_.view().GetService(agent), nullptr);
}

TEST_F(RolloutTest, AnUpdatePassesANodeOverThatTakesNoTasksAndDoesItLater) {
  const Id agent = Global();
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_PAUSE);
  world_.SetNodeState(nodes_[1], v1::NodeStatus::STATE_DOWN);
  UpdateTo(agent, "app:2");
  world_.Pass(absl::Minutes(15), absl::Seconds(30));
  EXPECT_EQ(Images(agent), (Names{"app:1", "app:1", "app:2"}));
  EXPECT_EQ(UpdateState(agent), Update::STATE_COMPLETED);
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_ACTIVE);
  world_.SetNodeState(nodes_[1], v1::NodeStatus::STATE_READY);
  world_.Pass(absl::Seconds(30));
  EXPECT_EQ(Images(agent), (Names{"app:2", "app:2", "app:2"}));
}

// ------------------------------------------------------------------ what is no update starts none

TEST_F(RolloutTest, ScalingWhileATaskRestartsIsNoUpdate) {
  const Id web = RunningService(2);
  UpdateTo(web, "app:2", OnFailure(Config::FAILURE_ACTION_ROLLBACK));
  world_.Pass(absl::Seconds(20));
  ASSERT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kFailed, "exit 1");
  world_.loop().RunUntilIdle();
  world_.Scale(web, 3);
  world_.BreakImage("app:2");
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  EXPECT_EQ(Images(web), (Names{"app:2", "app:2", "app:2"}));
}

TEST_F(RolloutTest, ScalingDuringAnUpdateForgetsNoDelay) {
  const Id web = RunningService(3);
  UpdateTo(web, "app:2", [](Config& config) { config.mutable_delay()->set_seconds(60); });
  world_.Pass(absl::Seconds(10));
  world_.Scale(web, 4);
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web),
            (Names{"app:1", "app:1", "app:2", "app:2"}));  // slot 1, and the new slot 4
}

TEST_F(RolloutTest, ASlotWhoseTasksBothEndAtOnceIsStartedAgain) {
  const Id web = RunningService(1);
  UpdateTo(web, "app:2", StartFirst());
  world_.loop().RunUntilIdle();
  world_.MustWrite([&](WriteTx& tx) {
    for (const Task& task : world_.Active(web)) {
      Task failed = task;
      failed.state = TaskState::kFailed;
      tx.Put(std::move(failed));
    }
    return absl::OkStatus();
  });
  world_.Pass(absl::Seconds(30));
  EXPECT_THAT(world_.Active(web), SizeIs(1));
  EXPECT_TRUE(world_.AllRunning(web));
}

}  // namespace
}  // namespace swarm::manager
