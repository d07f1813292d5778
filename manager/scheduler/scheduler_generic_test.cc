// Generic resources: counted and named, given with the node and freed when the task has ended.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SchedulerGenericTest : public SchedulerTest {
 protected:
  Id AddTrainer(int64_t gpus) {
    return world_.AddService("trainer", 1, [&](auto& spec) { ReserveGeneric(spec, "gpu", gpus); });
  }
};

TEST_F(SchedulerGenericTest, GoesOnlyWhereTheyAre) {
  world_.AddNode("a");
  const Id b = world_.AddNode("b");
  Offer(b, "gpu", {}, 2);
  const std::vector<Id> tasks = AddTasks(AddTrainer(1), 3);
  Start();
  EXPECT_EQ(Get(tasks[0])->node_id, b);
  EXPECT_EQ(Get(tasks[1])->node_id, b);
  EXPECT_EQ(ErrorOf(tasks[2]), "no suitable node (insufficient resources on 2 nodes (gpu))");
}

TEST_F(SchedulerGenericTest, CountedOnesAreGivenAsANumber) {
  Offer(world_.AddNode("a"), "gpu", {}, 4);
  const Id task = AddTasks(AddTrainer(3), 1)[0];
  Start();
  ASSERT_NE(Get(task)->extras, nullptr);
  ASSERT_EQ(Get(task)->extras->generic.size(), 1);
  EXPECT_EQ(Get(task)->extras->generic[0].kind(), "gpu");
  EXPECT_EQ(Get(task)->extras->generic[0].count(), 3);
  EXPECT_THAT(IdsOf(task), IsEmpty());
}

TEST_F(SchedulerGenericTest, NamedOnesAreGivenByNameAndNoneTwice) {
  Offer(world_.AddNode("a"), "gpu", {"GPU-1", "GPU-2", "GPU-3"});
  const Id pair = AddTasks(AddTrainer(2), 1)[0];
  Start();
  const std::vector<Id> single = AddTasks(
      world_.AddService("single", 2, [](auto& spec) { ReserveGeneric(spec, "gpu", 1); }), 2);
  Run();
  EXPECT_THAT(IdsOf(pair), ElementsAre("GPU-1", "GPU-2"));
  EXPECT_THAT(IdsOf(single[0]), ElementsAre("GPU-3"));
  EXPECT_THAT(IdsOf(single[1]), IsEmpty());
}

TEST_F(SchedulerGenericTest, WhatATaskHeldIsGivenToTheNextWhenItHasEnded) {
  Offer(world_.AddNode("a"), "gpu", {"GPU-1"});
  const std::vector<Id> tasks = AddTasks(AddTrainer(1), 2);
  Start();
  EXPECT_THAT(IdsOf(tasks[1]), IsEmpty());
  world_.Report(tasks[0], TaskState::kFailed);
  Run();
  EXPECT_THAT(IdsOf(tasks[1]), ElementsAre("GPU-1"));
}

TEST_F(SchedulerGenericTest, ATaskThatIsToStopKeepsThemUntilItHas) {
  Offer(world_.AddNode("a"), "gpu", {"GPU-1"});
  const std::vector<Id> tasks = AddTasks(AddTrainer(1), 2);
  Start();
  world_.Report(tasks[0], TaskState::kRunning);
  Stop(tasks[0]);
  Run();
  EXPECT_EQ(ErrorOf(tasks[1]), "no suitable node (insufficient resources on 1 node (gpu))");
  RestartScheduler();
  EXPECT_EQ(Get(tasks[1])->state, TaskState::kPending);
  world_.Report(tasks[0], TaskState::kShutdown);
  Run();
  EXPECT_THAT(IdsOf(tasks[1]), ElementsAre("GPU-1"));
}

TEST_F(SchedulerGenericTest, AfterARestartNoneIsGivenAgain) {
  Offer(world_.AddNode("a"), "gpu", {"GPU-1", "GPU-2"});
  const Id trainer = AddTrainer(1);
  const Id first = AddTasks(trainer, 1)[0];
  Start();
  scheduler_.reset();
  world_.Restart();
  for (const Id node : world_.Nodes()) world_.SetNodeState(node, v1::NodeStatus::STATE_READY);
  const std::vector<Id> tasks = AddTasks(trainer, 2);
  Start();
  EXPECT_THAT(IdsOf(first), ElementsAre("GPU-1"));
  EXPECT_THAT(IdsOf(tasks[0]), ElementsAre("GPU-2"));
  EXPECT_EQ(ErrorOf(tasks[1]), "no suitable node (insufficient resources on 1 node (gpu))");
}

TEST_F(SchedulerGenericTest, SeveralKindsAreAllNeeded) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  Offer(a, "gpu", {"GPU-1"});
  Offer(b, "licence", {}, 1);
  const Id task = AddTasks(world_.AddService("both", 1,
                                             [](auto& spec) {
                                               ReserveGeneric(spec, "gpu", 1);
                                               ReserveGeneric(spec, "licence", 1);
                                             }),
                           1)[0];
  Start();
  EXPECT_EQ(ErrorOf(task), "no suitable node (insufficient resources on 2 nodes (gpu, licence))");
  Offer(a, "licence", {}, 3);
  Run();
  EXPECT_EQ(Get(task)->node_id, a);
}

TEST_F(SchedulerGenericTest, ANodeThatOffersMoreIsTriedAgain) {
  const Id a = world_.AddNode("a");
  Offer(a, "gpu", {"GPU-1"});
  const Id task = AddTasks(AddTrainer(2), 1)[0];
  Start();
  Offer(a, "gpu", {"GPU-1", "GPU-2"});
  Run();
  EXPECT_THAT(IdsOf(task), ElementsAre("GPU-1", "GPU-2"));
}

TEST_F(SchedulerGenericTest, APinnedTaskIsToldWhatItsNodeLacks) {
  const Id a = world_.AddNode("a");
  const Id trainer = AddTrainer(1);
  const std::vector<Id> tasks = AddPinned(trainer, {a, a});
  Start();
  EXPECT_EQ(ErrorOf(tasks[0]), "no suitable node (insufficient resources on node a (gpu))");
  Offer(a, "gpu", {"GPU-1"});
  Run();
  EXPECT_THAT(IdsOf(tasks[0]), ElementsAre("GPU-1"));
  EXPECT_THAT(IdsOf(tasks[1]), IsEmpty());
}

}  // namespace
}  // namespace swarm::manager
