// Clauses of SEMANTICS.md "Orchestration" that are seen only as a whole, on virtual time: what
// users of docker swarm count on. The rest of its table is asserted in the rooms' other tests.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/orchestrator_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SemanticsTest : public OrchestratorTest {
 protected:
  // The task of a slot crashes now, and what follows from it has time to happen.
  void Crash(Id service, Slot slot) {
    world_.Report(world_.ActiveIn(service, slot).id, TaskState::kFailed, "exit 1");
    world_.Pass(absl::Seconds(6));
  }
  void Put(const Task& task, Id node, TaskState state) {
    world_.MustWrite([&](WriteTx& tx) {
      Task placed = *tx.view().GetTask(task.id);
      placed.node_id = node;
      placed.state = state;
      tx.Put(std::move(placed));
      return absl::OkStatus();
    });
  }
  void SetHistoryLimit(uint32_t limit) {
    world_.MustWrite([&](WriteTx& tx) {
      Cluster cluster;
      cluster.set_id(Id{7, 7}.ToString());
      cluster.mutable_spec()->set_task_history_limit(limit);
      return tx.Put(std::move(cluster));
    });
  }
};

// ---------------------------------------------------------------------------------- replicated

TEST_F(SemanticsTest, OfANodesTasksThoseThatDoNotRunGoBeforeThoseThatDo) {
  world_.LeavePlacingToScheduler();
  const Id web = world_.AddService("web", 3);
  world_.loop().RunUntilIdle();
  Put(world_.ActiveIn(web, 1), nodes_[0], TaskState::kStarting);
  Put(world_.ActiveIn(web, 2), nodes_[0], TaskState::kRunning);
  Put(world_.ActiveIn(web, 3), nodes_[1], TaskState::kRunning);
  world_.Scale(web, 2);
  world_.loop().RunUntilIdle();
  EXPECT_THAT(world_.Slots(web), ElementsAre(2, 3));
}

TEST_F(SemanticsTest, ScalingDownDuringAnUpdateKeepsTheSlotsThatRun) {
  const Id web = RunningService(3);
  world_.LeavePlacingToScheduler();
  world_.ChangeService(web, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_container()->set_image("app:2");
    spec.mutable_update()->set_order(v1::UpdateConfig::ORDER_START_FIRST);
    spec.mutable_update()->set_parallelism(0);
  });
  world_.loop().RunUntilIdle();  // each slot has a successor without a node
  ASSERT_THAT(world_.Active(web), SizeIs(6));
  world_.Report(world_.TasksOf(web).front().id, TaskState::kFailed, "exit 1");
  world_.loop().RunUntilIdle();  // slot 1 has nothing else any more
  world_.Scale(web, 2);
  world_.loop().RunUntilIdle();
  EXPECT_THAT(world_.Slots(web), ElementsAre(2, 3));
}

// -------------------------------------------------------------------------------------- global

TEST_F(SemanticsTest, AGlobalServiceFollowsAChangeOfItsConstraints) {
  const Id agent = Global();
  std::map<Id, Id> before;
  for (const Task& task : world_.Active(agent)) before[task.node_id] = task.id;
  world_.ChangeService(agent, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.hostname!=b");
  });
  world_.Pass(absl::Seconds(10));
  std::map<Id, Id> after;
  for (const Task& task : world_.Active(agent)) after[task.node_id] = task.id;
  before.erase(nodes_[1]);
  EXPECT_EQ(after, before);
  world_.ChangeService(agent, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->clear_constraints();
  });
  world_.Pass(absl::Seconds(10));
  EXPECT_THAT(PerNode(agent), SizeIs(3));
  for (const auto& [node, task] : before) EXPECT_TRUE(IsWantedToRun(*world_.view().GetTask(task)));
}

// ------------------------------------------------------------------------------------- restart

TEST_F(SemanticsTest, AnyRestartsWhatEndedWellToo) {
  const Id web = RunningService(1);
  world_.Report(world_.ActiveIn(web, 1).id, TaskState::kComplete);
  world_.Pass(absl::Seconds(6));
  EXPECT_TRUE(world_.AllRunning(web));
  EXPECT_THAT(world_.TasksOf(web), SizeIs(2));
}

TEST_F(SemanticsTest, OnlyAttemptsInsideTheWindowCount) {
  const Id web = RunningService(1, Restart(v1::RestartPolicy::CONDITION_ANY, 1, 60));
  Crash(web, 1);
  world_.Pass(absl::Seconds(70));
  Crash(web, 1);
  EXPECT_TRUE(world_.AllRunning(web));
  world_.Pass(absl::Seconds(20));
  Crash(web, 1);
  world_.Pass(absl::Minutes(5), absl::Seconds(1));
  EXPECT_THAT(world_.Active(web), IsEmpty());
}

TEST_F(SemanticsTest, AttemptsAreCountedForEachSlotAndAnewForANewRevision) {
  const Id web = RunningService(2, Restart(v1::RestartPolicy::CONDITION_ANY, 1));
  Crash(web, 1);
  Crash(web, 1);
  EXPECT_THAT(world_.Slots(web), ElementsAre(2));
  Crash(web, 2);
  EXPECT_THAT(world_.Slots(web), ElementsAre(2));
  world_.SetImage(web, "app:2");
  world_.Pass(absl::Minutes(1));
  EXPECT_THAT(world_.Slots(web), ElementsAre(1, 2));
  world_.Pass(absl::Minutes(1));
  Crash(web, 1);
  Crash(web, 2);
  EXPECT_THAT(world_.Slots(web), ElementsAre(1, 2));
}

// ------------------------------------------------------------------------------------- history

TEST_F(SemanticsTest, KeepsAsManyFinishedTasksASlotAsTheClusterSays) {
  SetHistoryLimit(2);
  const Id web = RunningService(2);
  for (int i = 0; i < 4; ++i) {
    world_.Pass(absl::Minutes(1));
    Crash(web, 1);
  }
  std::map<Slot, size_t> of_slot;
  for (const Task& task : world_.TasksOf(web)) ++of_slot[task.slot];
  EXPECT_EQ(of_slot, (std::map<Slot, size_t>{{1, 3}, {2, 1}}));
}

TEST_F(SemanticsTest, KeepsFiveFinishedTasksOfAGlobalServiceOnEachNode) {
  const Id agent = Global();
  const Slot slot = world_.Active(agent).front().slot;
  const Id node = world_.ActiveIn(agent, slot).node_id;
  for (int i = 0; i < 8; ++i) {
    world_.Pass(absl::Minutes(1));
    Crash(agent, slot);
  }
  std::map<Id, size_t> on_node;
  for (const Task& task : world_.TasksOf(agent)) ++on_node[task.node_id];
  EXPECT_THAT(on_node, SizeIs(3));
  EXPECT_EQ(on_node[node], 6u);
}

// ---------------------------------------------------------------------------- after the fact

TEST_F(SemanticsTest, TasksThatStillFitStayWhenTheLabelsOfTheirNodeChange) {
  for (Id node : nodes_) {
    world_.ChangeNode(node, [](Node& n) { (*n.mutable_spec()->mutable_labels())["disk"] = "ssd"; });
  }
  const Id web = RunningService(3, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.labels.disk==SSD");
  });
  std::set<Id> before;
  for (const Task& task : world_.Active(web)) before.insert(task.id);
  world_.ChangeNode(nodes_[0], [](Node& node) {
    (*node.mutable_spec()->mutable_labels())["disk"] = "Ssd";
    (*node.mutable_spec()->mutable_labels())["zone"] = "a";
  });
  world_.Settle();
  std::set<Id> after;
  for (const Task& task : world_.Active(web)) after.insert(task.id);
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace swarm::manager
