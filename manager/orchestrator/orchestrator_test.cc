#include "manager/orchestrator/orchestrator.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/node_keeper.h"
#include "manager/orchestrator/orchestrator_test_world.h"
#include "manager/orchestrator/revision_keeper.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Update = v1::UpdateStatus;

// ------------------------------------------------------------------------------------- scaling

TEST_F(OrchestratorTest, FillsSlotsFromOneToN) {
  const Id web = RunningService(3);
  EXPECT_THAT(world_.Slots(web), ElementsAre(1, 2, 3));
  EXPECT_FALSE(world_.view().GetService(web)->has_update_status());
}

TEST_F(OrchestratorTest, ScalingRestartsNothing) {
  const Id web = RunningService(3);
  const std::vector<Task> before = world_.Active(web);
  world_.Scale(web, 6);
  world_.Settle();
  world_.Scale(web, 4);
  world_.Settle();
  EXPECT_THAT(world_.Slots(web), SizeIs(4));
  for (const Task& task : world_.Active(web)) {
    EXPECT_EQ(StoreWorld::ImageOf(task), "app:1");
    EXPECT_EQ(task.state, TaskState::kRunning);
  }
  size_t kept = 0;
  for (const Task& task : before) kept += world_.view().GetTask(task.id) != nullptr;
  EXPECT_EQ(kept, 3u);
  EXPECT_FALSE(world_.view().GetService(web)->has_update_status());
}

TEST_F(OrchestratorTest, ScalesDownUnassignedSlotsFirst) {
  const Id web = RunningService(3);
  for (Id node : nodes_) world_.SetAvailability(node, v1::NodeSpec::AVAILABILITY_PAUSE);
  world_.Scale(web, 5);
  world_.Settle();
  world_.Scale(web, 3);
  world_.Settle();
  EXPECT_THAT(world_.Slots(web), ElementsAre(1, 2, 3));
  EXPECT_THAT(world_.TasksOf(web), SizeIs(3));  // what never ran leaves nothing behind
}

TEST_F(OrchestratorTest, ScalesDownEvenlyOverNodes) {
  const Id web = RunningService(9);
  world_.Scale(web, 3);
  world_.Settle();
  for (const auto& [node, count] : PerNode(web)) EXPECT_EQ(count, 1u);
}

TEST_F(OrchestratorTest, DeletesScaledAwayTasksOnlyOnceTheyAreGone) {
  const Id web = RunningService(1);
  const Task task = world_.ActiveIn(web, 1);
  world_.Scale(web, 0);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.view().GetTask(task.id)->desired, TaskState::kRemove);
  world_.Report(task.id, TaskState::kShutdown);
  world_.loop().RunUntilIdle();
  EXPECT_NE(world_.view().GetTask(task.id), nullptr);
  world_.ReportGone(task.id);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.view().GetTask(task.id), nullptr);
}

TEST_F(OrchestratorTest, ASlotThatComesBackWaitsForItsPredecessorToStop) {
  const Id web = RunningService(1);
  const Id old = world_.ActiveIn(web, 1).id;
  world_.Scale(web, 0);
  world_.loop().RunUntilIdle();
  world_.Scale(web, 1);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.ActiveIn(web, 1).desired, TaskState::kReady);
  world_.Report(old, TaskState::kShutdown);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.ActiveIn(web, 1).desired, TaskState::kRunning);
}

TEST_F(OrchestratorTest, CreatesMoreTasksThanOneUpdateTakes) {
  world_.LeavePlacingToScheduler();
  const size_t count = Orchestrator::kTasksPerUpdate * 2 + 1;
  const Id web = world_.AddService("web", count);
  size_t largest = 0;
  auto watch = world_.store().Watch(WatchSpeed::kApplied, [&](const ChangeSet& set) {
    largest = std::max(largest, set.changes.size());
  });
  world_.loop().RunUntilIdle();
  EXPECT_THAT(world_.Slots(web), SizeIs(count));
  EXPECT_LE(largest, Orchestrator::kTasksPerUpdate);
}

// ------------------------------------------------------------------------------------ restarts

TEST_F(OrchestratorTest, ReplacesACrashedTaskAtOnceAndStartsItAfterTheDelay) {
  const Id web = RunningService(1);
  world_.loop().Advance(absl::Minutes(1));
  const Id crashed = world_.ActiveIn(web, 1).id;
  world_.Report(crashed, TaskState::kFailed, "exit 1");
  world_.Settle();
  EXPECT_EQ(world_.view().GetTask(crashed)->desired, TaskState::kShutdown);
  EXPECT_EQ(world_.ActiveIn(web, 1).state, TaskState::kReady);
  world_.loop().Advance(absl::Milliseconds(4'900));
  EXPECT_EQ(world_.ActiveIn(web, 1).desired, TaskState::kReady);
  world_.loop().Advance(absl::Milliseconds(200));
  EXPECT_EQ(world_.ActiveIn(web, 1).desired, TaskState::kRunning);
}

TEST_F(OrchestratorTest, RestartsOnFailureOnlyWhatFailed) {
  const Id web = RunningService(2, Restart(v1::RestartPolicy::CONDITION_ON_FAILURE));
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kComplete);
  world_.Report(world_.ActiveIn(web, 2).id, TaskState::kFailed);
  world_.Settle();
  EXPECT_THAT(world_.Slots(web), ElementsAre(2));
  // The finished slot stays one: scaling up adds a third.
  world_.Scale(web, 3);
  world_.Settle();
  EXPECT_THAT(world_.Slots(web), ElementsAre(2, 3));
}

TEST_F(OrchestratorTest, ConditionNoneRestartsNothingNotEvenAfterARestartOfTheManager) {
  const Id web = RunningService(1, Restart(v1::RestartPolicy::CONDITION_NONE));
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kFailed);
  world_.Settle();
  RestartManager();
  world_.Pass(absl::Seconds(20));
  EXPECT_THAT(world_.Active(web), IsEmpty());
  EXPECT_THAT(world_.TasksOf(web), SizeIs(1));
}

TEST_F(OrchestratorTest, GivesUpAfterMaxAttemptsEvenAcrossARestartOfTheManager) {
  world_.BreakImage("app:1");
  const Id web = world_.AddService("web", 1, Restart(v1::RestartPolicy::CONDITION_ANY, 2));
  world_.Pass(absl::Seconds(6));
  RestartManager();
  world_.Pass(absl::Minutes(5), absl::Seconds(1));
  EXPECT_THAT(world_.Active(web), IsEmpty());
  EXPECT_THAT(world_.TasksOf(web), SizeIs(3));  // the first and two more
}

TEST_F(OrchestratorTest, F16BacksOffFromASlotThatCrashesAtOnceAgainAndAgain) {
  world_.BreakImage("app:1");
  const Id web = world_.AddService("web", 1);
  std::vector<int64_t> starts;
  Id last;
  for (int second = 0; second < 600; ++second) {
    world_.Settle();
    const Id newest = world_.TasksOf(web).back().id;
    if (newest != last) starts.push_back(second);
    last = newest;
    world_.loop().Advance(absl::Seconds(1));
  }
  std::vector<int64_t> gaps;
  for (size_t i = 1; i < starts.size(); ++i) gaps.push_back(starts[i] - starts[i - 1]);
  // Replacements are created when the one before fails, so a gap is the delay of the one before it.
  ASSERT_GE(gaps.size(), 12u);
  EXPECT_EQ(gaps[2], 5);
  EXPECT_EQ(gaps.back(), 65);
}

TEST_F(OrchestratorTest, F16WhatIsRejectedWhileItWaitsForItsDelayIsReplacedWhenThatIsOver) {
  const Id web = RunningService(1);
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kFailed);
  world_.Settle();
  for (int round = 0; round < 3; ++round) {
    const Task waiting = world_.ActiveIn(web, 1);
    ASSERT_EQ(waiting.desired, TaskState::kReady);
    world_.Report(waiting.id, TaskState::kRejected, "no network");
    world_.Settle();
    world_.loop().Advance(absl::Seconds(4));
    world_.Settle();
    EXPECT_EQ(world_.TasksOf(web).back().id, waiting.id) << "replaced in round " << round;
    world_.loop().Advance(absl::Seconds(1));
    world_.Settle();
    EXPECT_NE(world_.ActiveIn(web, 1).id, waiting.id);
  }
}

TEST_F(OrchestratorTest, F22KeepsFiveFinishedTasksPerSlotAndRemovesTheRestFromTheirNodes) {
  const Id web = RunningService(1);
  for (int i = 0; i < 8; ++i) {
    world_.loop().Advance(absl::Seconds(20));
    world_.Report(world_.ActiveIn(web, 1).id, TaskState::kFailed);
    world_.Pass(absl::Seconds(6));
  }
  EXPECT_THAT(world_.TasksOf(web), SizeIs(6));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(OrchestratorTest, ArmsDelaysAgainAfterARestartOfTheManager) {
  const Id web = RunningService(1);
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kFailed);
  world_.loop().RunUntilIdle();
  RestartManager();
  world_.Settle();
  EXPECT_EQ(world_.ActiveIn(web, 1).desired, TaskState::kReady);
  world_.Pass(absl::Seconds(6));
  EXPECT_TRUE(world_.AllRunning(web));
}

// ------------------------------------------------------------------------------------- updates

TEST_F(OrchestratorTest, ReplacesOneSlotAtATimeAndStopsTheOldTaskFirst) {
  const Id web = RunningService(3);
  world_.SetImage(web, "app:2");
  world_.loop().RunUntilIdle();
  EXPECT_EQ(UpdateState(web), Update::STATE_UPDATING);
  // Its image comes while the old one still runs.
  EXPECT_EQ(Images(web), (std::multiset<std::string>{"app:1", "app:1", "app:1", "app:2"}));
  world_.Settle();
  EXPECT_EQ(Images(web), (std::multiset<std::string>{"app:2", "app:2", "app:2"}));
  EXPECT_TRUE(world_.AllRunning(web));
  EXPECT_EQ(UpdateState(web), Update::STATE_UPDATING);
  world_.Pass(absl::Seconds(6));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  EXPECT_TRUE(world_.UpdateOf(web).has_completed_at());
}

TEST_F(OrchestratorTest, StartsTheNewTaskAfterAMinuteWhenTheOldOneDoesNotStop) {
  const Id web = RunningService(1);
  const Id old = world_.ActiveIn(web, 1).id;
  world_.SetImage(web, "app:2");
  world_.loop().RunUntilIdle();
  const Id fresh = world_.Active(web).back().id;
  world_.Report(fresh, TaskState::kReady);
  world_.loop().Advance(absl::Seconds(59));
  EXPECT_EQ(world_.view().GetTask(old)->desired, TaskState::kShutdown);
  EXPECT_EQ(world_.ActiveIn(web, 1).desired, TaskState::kReady);
  world_.loop().Advance(absl::Seconds(2));
  EXPECT_EQ(world_.ActiveIn(web, 1).desired, TaskState::kRunning);
  EXPECT_EQ(world_.view().GetTask(old)->state, TaskState::kRunning);
}

TEST_F(OrchestratorTest, F16PausesAnUpdateWhoseNewTaskFailsAndNamesIt) {
  const Id web = RunningService(3);
  world_.BreakImage("app:2");
  world_.SetImage(web, "app:2");
  world_.Pass(absl::Minutes(10), absl::Seconds(5));
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
  EXPECT_THAT(world_.UpdateOf(web).message(), HasSubstr("exit 1"));
  EXPECT_THAT(world_.UpdateOf(web).message(), HasSubstr("task "));
  // The other slots are untouched; the slot of the failure goes on under the restart policy.
  EXPECT_EQ(Images(web), (std::multiset<std::string>{"app:1", "app:1", "app:2"}));
}

TEST_F(OrchestratorTest, ANewRevisionGoesOnWhereAPausedUpdateStopped) {
  const Id web = RunningService(3);
  world_.BreakImage("app:2");
  world_.SetImage(web, "app:2");
  world_.Pass(absl::Seconds(10));
  world_.SetImage(web, "app:3");
  world_.Pass(absl::Minutes(2));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
  EXPECT_EQ(Images(web), (std::multiset<std::string>{"app:3", "app:3", "app:3"}));
}

TEST_F(OrchestratorTest, PausesWhenATaskFailsSoonAfterItRan) {
  const Id web = RunningService(2);
  world_.SetImage(web, "app:2");
  world_.Settle();
  world_.loop().Advance(absl::Seconds(3));
  world_.Report(world_.ActiveIn(web, 2).id, TaskState::kFailed, "exit 7");
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
}

TEST_F(OrchestratorTest, ACrashOfAnOldTaskDuringAnUpdateDoesNotSpreadTheNewRevision) {
  const Id web = RunningService(3);
  world_.BreakImage("app:2");
  world_.SetImage(web, "app:2");
  world_.Pass(absl::Seconds(10));
  ASSERT_EQ(UpdateState(web), Update::STATE_PAUSED);
  world_.Report(world_.ActiveIn(web, 3).id, TaskState::kFailed);
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(StoreWorld::ImageOf(world_.ActiveIn(web, 3)), "app:1");
}

TEST_F(OrchestratorTest, AChangeOfConstraintsLeavesTasksThatStillSatisfyThem) {
  const Id web = RunningService(3);
  std::set<Id> before;
  for (const Task& task : world_.Active(web)) before.insert(task.id);
  world_.ChangeService(web, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.hostname!=c");
  });
  // The world places without constraints, so take the node out as well.
  world_.SetAvailability(nodes_[2], v1::NodeSpec::AVAILABILITY_PAUSE);
  world_.Pass(absl::Seconds(10));
  size_t kept = 0;
  for (const Task& task : world_.Active(web)) {
    kept += before.contains(task.id);
    EXPECT_NE(task.node_id, nodes_[2]);
  }
  EXPECT_EQ(kept, 2u);
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(OrchestratorTest, ForceUpdateReplacesEverySlot) {
  const Id web = RunningService(2);
  std::set<Id> before;
  for (const Task& task : world_.Active(web)) before.insert(task.id);
  world_.ChangeService(web,
                       [](v1::ServiceSpec& spec) { spec.mutable_task()->set_force_update(1); });
  world_.Pass(absl::Seconds(10));
  for (const Task& task : world_.Active(web)) EXPECT_FALSE(before.contains(task.id));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(OrchestratorTest, StopsNothingForARevisionWhoseImageIsNotResolved) {
  const Id web = RunningService(2);
  world_.HoldImages("registry is down");
  world_.SetImage(web, "app:2");
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(Images(web), (std::multiset<std::string>{"app:1", "app:1"}));
  EXPECT_THAT(world_.UpdateOf(web).message(), HasSubstr("registry is down"));
  world_.ResolveImages();
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web), (std::multiset<std::string>{"app:2", "app:2"}));
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(OrchestratorTest, ResumesAHalfDoneUpdateAfterARestartOfTheManager) {
  const Id web = RunningService(5);
  world_.SetImage(web, "app:2");
  world_.loop().RunUntilIdle();
  RestartManager();
  world_.loop().RunUntilIdle();
  EXPECT_EQ(Images(web).count("app:2"), 1u);  // the slot in flight is waited for
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web).count("app:2"), 5u);
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(OrchestratorTest, APausedUpdateStaysPausedAfterARestartOfTheManager) {
  const Id web = RunningService(3);
  world_.BreakImage("app:2");
  world_.SetImage(web, "app:2");
  world_.Pass(absl::Seconds(10));
  RestartManager();
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(UpdateState(web), Update::STATE_PAUSED);
  EXPECT_EQ(Images(web).count("app:1"), 2u);
}

TEST_F(OrchestratorTest, ScalesDuringAnUpdateWithoutLosingIt) {
  const Id web = RunningService(4);
  world_.SetImage(web, "app:2");
  world_.loop().RunUntilIdle();
  world_.Scale(web, 6);
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(Images(web).count("app:2"), 6u);
  EXPECT_EQ(UpdateState(web), Update::STATE_COMPLETED);
}

TEST_F(OrchestratorTest, KeepsTheFiveNewestRevisionsThatNothingUses) {
  const Id web = RunningService(1);
  for (int i = 2; i < 20; ++i) {
    world_.SetImage(web, "app:" + std::to_string(i));
    world_.Pass(absl::Seconds(6));
  }
  // The current one, the previous one, those of the history, and five more.
  EXPECT_LE(RevisionsOf(web), 2 + 5 + RevisionKeeper::kKept);
  EXPECT_GE(RevisionsOf(web), RevisionKeeper::kKept);
}

TEST_F(OrchestratorTest, ARefusedWriteForgetsNoRevisionThatHasToGo) {
  const Id web = world_.AddService("web", 0);
  for (int i = 2; i < 10; ++i) {
    world_.SetImage(web, "app:" + std::to_string(i));
    world_.Settle();
  }
  ASSERT_EQ(RevisionsOf(web), 2 + RevisionKeeper::kKept);
  world_.SetImage(web, "app:10");
  world_.journal().Stall(absl::ResourceExhaustedError("disk full"));
  world_.loop().RunUntilIdle();
  world_.journal().Stall(absl::OkStatus());
  world_.Pass(absl::Seconds(10));
  EXPECT_EQ(RevisionsOf(web), 2 + RevisionKeeper::kKept);
}

// --------------------------------------------------------------------------------------- nodes

TEST_F(OrchestratorTest, ReplacesTasksOfADownNodeAtOnceAndKeepsTheOldOnesInItsBooks) {
  const Id web = RunningService(3);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  EXPECT_THAT(world_.Active(web), SizeIs(3));
  EXPECT_TRUE(world_.AllRunning(web));
  EXPECT_FALSE(PerNode(web).contains(nodes_[0]));
  size_t in_books = 0;
  world_.view().EachTaskOfNode(nodes_[0], [&](const Ref<Task>& task) {
    EXPECT_EQ(task->desired, TaskState::kShutdown);
    EXPECT_EQ(task->state, TaskState::kRunning);
    return ++in_books, true;
  });
  EXPECT_EQ(in_books, 1u);
}

TEST_F(OrchestratorTest, F8ANodeThatComesBackAfterItsTasksWereReplacedKeepsNoneOfThem) {
  const Id web = RunningService(3);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  const std::vector<Task> replaced = world_.Active(web);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_READY);
  world_.Settle();
  EXPECT_THAT(world_.Slots(web), ElementsAre(1, 2, 3));
  for (const Task& task : replaced)
    EXPECT_EQ(world_.view().GetTask(task.id)->state, TaskState::kRunning);
  world_.view().EachTaskOfNode(nodes_[0], [](const Ref<Task>& task) {
    EXPECT_EQ(task->state, TaskState::kShutdown);
    return true;
  });
}

TEST_F(OrchestratorTest, AnUnknownNodeKeepsItsTasksAndSoDoesAPausedOne) {
  const Id web = RunningService(3);
  const std::map<Id, size_t> before = PerNode(web);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_UNKNOWN);
  world_.SetAvailability(nodes_[1], v1::NodeSpec::AVAILABILITY_PAUSE);
  world_.Pass(absl::Minutes(2));
  EXPECT_EQ(PerNode(web), before);
}

TEST_F(OrchestratorTest, MovesTasksOffADrainedNodeWithoutDelayButOnlyOnceTheOldOneStopped) {
  const Id web = RunningService(3);
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.loop().RunUntilIdle();
  size_t waiting = 0;
  for (const Task& task : world_.Active(web)) waiting += task.desired == TaskState::kReady;
  EXPECT_EQ(waiting, 1u);
  world_.Settle();
  EXPECT_TRUE(world_.AllRunning(web));
  EXPECT_FALSE(PerNode(web).contains(nodes_[0]));
}

TEST_F(OrchestratorTest, MovesTasksWhoseNodeNoLongerSatisfiesTheirConstraints) {
  for (Id node : nodes_) {
    world_.ChangeNode(node, [](Node& n) { (*n.mutable_spec()->mutable_labels())["ok"] = "yes"; });
  }
  const Id web = RunningService(3, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.labels.ok==yes");
  });
  world_.ChangeNode(nodes_[1], [](Node& node) {
    node.mutable_spec()->clear_labels();
    node.mutable_spec()->set_availability(v1::NodeSpec::AVAILABILITY_PAUSE);
  });
  world_.Settle();
  EXPECT_FALSE(PerNode(web).contains(nodes_[1]));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(OrchestratorTest, MovesTheNewestTasksOffANodeThatShrank) {
  const Id web = RunningService(3, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_resources()->mutable_reservations()->set_nano_cpus(2'000'000'000);
  });
  world_.ChangeNode(nodes_[0], [](Node& node) {
    node.mutable_spec()->set_availability(v1::NodeSpec::AVAILABILITY_PAUSE);
    node.mutable_description()->mutable_resources()->set_nano_cpus(1'000'000'000);
  });
  world_.Settle();
  EXPECT_FALSE(PerNode(web).contains(nodes_[0]));
}

TEST_F(OrchestratorTest, OrphansTheTasksOfARemovedNodeAndReplacesThem) {
  const Id web = RunningService(3);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  world_.RemoveNode(nodes_[0]);
  world_.Settle();
  for (const Task& task : world_.TasksOf(web)) {
    if (task.node_id == nodes_[0]) {
      EXPECT_EQ(task.state, TaskState::kOrphaned);
    }
  }
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(OrchestratorTest, ReplacesTheTasksOfALiveNodeThatIsRemovedByForce) {
  const Id web = RunningService(3);
  world_.RemoveNode(nodes_[1]);
  world_.Settle();
  EXPECT_THAT(world_.Active(web), SizeIs(3));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(OrchestratorTest, F13StopsReplacingWhenMoreThanHalfOfFourNodesAreLostAtOnce) {
  nodes_.push_back(world_.AddNode("d"));
  const Id web = RunningService(8);
  for (int i = 0; i < 3; ++i) world_.SetNodeState(nodes_[i], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  EXPECT_GE(PerNode(web)[nodes_[2]], 2u);  // the third loss closed the gate
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_READY);
  world_.Settle();
  EXPECT_FALSE(PerNode(web).contains(nodes_[2]));
  EXPECT_TRUE(world_.AllRunning(web));
}

TEST_F(OrchestratorTest, F13ReplacesABigNodesTasksAThousandAtATime) {
  const Id web = RunningService(3 * (NodeKeeper::kMovesPerSweep + 100));
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(PerNode(web)[nodes_[0]], 100u);
  world_.loop().Advance(NodeKeeper::kSweepPause);
  EXPECT_EQ(PerNode(web)[nodes_[0]], 0u);
}

TEST_F(OrchestratorTest, F13ReplacesWhenNodesAreLostOneByOne) {
  nodes_.push_back(world_.AddNode("d"));
  const Id web = RunningService(8);
  for (int i = 0; i < 3; ++i) {
    world_.SetNodeState(nodes_[i], v1::NodeStatus::STATE_DOWN);
    world_.Pass(absl::Minutes(1));
  }
  EXPECT_EQ(PerNode(web)[nodes_[3]], 8u);
}

TEST_F(OrchestratorTest, OrphansWhatIsOnANodeThatIsDownForADay) {
  const Id web = RunningService(3);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  world_.loop().Advance(absl::Hours(25));
  world_.Settle();
  world_.view().EachTaskOfNode(nodes_[0], [&](const Ref<Task>& task) {
    EXPECT_EQ(task->state, TaskState::kOrphaned);
    return true;
  });
  EXPECT_TRUE(world_.AllRunning(web));
}

// Nobody will ever say that what had ended there is gone, and it would hold the name for ever.
TEST_F(OrchestratorTest, RemovesAServiceWhoseTasksEndedOnANodeThatIsDownForADay) {
  const Id web = RunningService(3);
  Task ended;
  world_.view().EachTaskOfNode(nodes_[0], [&](const Ref<Task>& task) {
    ended = *task;
    return false;
  });
  ended.state = TaskState::kFailed;
  EXPECT_TRUE(world_.store()
                  .Update([&](WriteTx& tx) {
                    tx.Put(ended);
                    return absl::OkStatus();
                  })
                  .ok());
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  world_.RemoveService(web);
  world_.Settle();
  ASSERT_NE(world_.view().GetService(web), nullptr);
  world_.loop().Advance(absl::Hours(25));
  world_.Settle();
  EXPECT_EQ(world_.view().GetService(web), nullptr);
}

// ------------------------------------------------------------------------------------- removal

TEST_F(OrchestratorTest, RemovesAServiceWithAllThatBelongsToItOnceItsTasksAreGone) {
  const Id web = RunningService(3);
  world_.RemoveService(web);
  world_.loop().RunUntilIdle();
  ASSERT_NE(world_.view().GetService(web), nullptr);
  world_.Settle();
  EXPECT_EQ(world_.view().GetService(web), nullptr);
  EXPECT_THAT(world_.TasksOf(web), IsEmpty());
  EXPECT_EQ(RevisionsOf(web), 0u);
}

TEST_F(OrchestratorTest, RemovesAServiceWhoseTasksNeverGotToANode) {
  for (Id node : nodes_) world_.SetAvailability(node, v1::NodeSpec::AVAILABILITY_PAUSE);
  const Id web = world_.AddService("web", 3);
  world_.Settle();
  world_.RemoveService(web);
  world_.Settle();
  EXPECT_EQ(world_.view().GetService(web), nullptr);
}

TEST_F(OrchestratorTest, GoesOnRemovingAfterARestartOfTheManager) {
  const Id web = RunningService(3);
  world_.RemoveService(web);
  world_.loop().RunUntilIdle();
  RestartManager();
  world_.Settle();
  EXPECT_EQ(world_.view().GetService(web), nullptr);
}

TEST_F(OrchestratorTest, AServiceThatIsRemovedWaitsForADownNodeUntilThatIsRemovedToo) {
  const Id web = RunningService(3);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  world_.RemoveService(web);
  world_.Settle();
  ASSERT_NE(world_.view().GetService(web), nullptr);
  world_.RemoveNode(nodes_[0]);
  world_.Settle();
  EXPECT_EQ(world_.view().GetService(web), nullptr);
}

TEST_F(OrchestratorTest, RemovesAServiceThatCrashedManyTimes) {
  world_.BreakImage("app:1");
  const Id web = world_.AddService("web", 2);
  world_.Pass(absl::Minutes(2), absl::Seconds(1));
  world_.RemoveService(web);
  world_.Settle();
  EXPECT_EQ(world_.view().GetService(web), nullptr);
}

}  // namespace
}  // namespace swarm::manager
