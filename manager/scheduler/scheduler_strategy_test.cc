// Spread and binpack, and what nodes report of their usage.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/scheduler/node_books.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class SchedulerStrategyTest : public SchedulerTest {
 protected:
  Id AddPacked(const std::string& name, double cores, int64_t memory_bytes = 0) {
    return world_.AddService(name, 1, [&](v1::ServiceSpec& spec) {
      spec.mutable_task()->mutable_placement()->set_strategy(v1::Placement::STRATEGY_BINPACK);
      ReserveCpu(spec, cores);
      spec.mutable_task()->mutable_resources()->mutable_reservations()->set_memory_bytes(
          memory_bytes);
    });
  }
};

TEST_F(SchedulerStrategyTest, SpreadTakesTheLessBusyOfEqualNodes) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  const Id c = world_.AddNode("c");
  ReportUsage(a, 3);
  ReportUsage(b, 1);
  ReportUsage(c, 2);
  const Id web = world_.AddService("web", 1);
  const std::vector<Id> tasks = AddTasks(web, 3);
  Start();
  EXPECT_EQ(Get(tasks[0])->node_id, b);
  EXPECT_EQ(Get(tasks[1])->node_id, c);
  EXPECT_EQ(Get(tasks[2])->node_id, a);
}

TEST_F(SchedulerStrategyTest, TheLargerOfCpuAndMemoryIsHowBusyANodeIs) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  ReportUsage(a, 2);
  world_.ChangeNode(b, [](Node& node) {
    node.mutable_status()->mutable_usage()->set_memory_bytes(int64_t{7} << 30);
  });
  const std::vector<Id> tasks = AddTasks(world_.AddService("web", 1), 1);
  Start();
  EXPECT_EQ(Get(tasks[0])->node_id, a);
}

TEST_F(SchedulerStrategyTest, FewerTasksWeighMoreThanHowBusyANodeIs) {
  const Id a = world_.AddNode("a");
  AddTasks(world_.AddService("db", 1), 1);
  Start();
  const Id b = world_.AddNode("b");
  ReportUsage(a, 0);
  ReportUsage(b, 4);
  const Id task = AddTasks(world_.AddService("web", 1), 1)[0];
  Run();
  EXPECT_EQ(Get(task)->node_id, b);
}

TEST_F(SchedulerStrategyTest, ReportedUsageAloneTriesNothingAgainButCountsForTheNextTask) {
  const Id a = world_.AddNode("a", {{"k", "1"}, {"l", "2"}, {"m", "3"}, {"n", "4"}});
  const Id b = world_.AddNode("b");
  const Id stuck = AddTasks(
      world_.AddService("stuck", 1, [](auto& spec) { Constrain(spec, "node.id==x"); }), 1)[0];
  const Id web = world_.AddService("web", 1);
  Start();
  // Whatever tries the group again writes its reason anew.
  world_.MustWrite([&](WriteTx& tx) {
    Task blank = *tx.view().GetTask(stuck);
    blank.detail = nullptr;
    tx.PutSoft(std::move(blank));
    return absl::OkStatus();
  });
  Run();
  for (int beat = 0; beat < 20; ++beat) {
    ReportUsage(a, 3 + beat * 0.01);
    ReportUsage(b, 1);
    Run();
  }
  EXPECT_EQ(ErrorOf(stuck), "");
  const Id task = AddTasks(web, 1)[0];
  Run();
  EXPECT_EQ(Get(task)->node_id, b);
}

TEST_F(SchedulerStrategyTest, BinpackFillsOneNodeBeforeTheNext) {
  for (const char* name : {"a", "b", "c"}) world_.AddNode(name);
  const Id batch = AddPacked("batch", 1);
  AddTasks(batch, 6);
  Start();
  std::vector<size_t> counts;
  for (const auto& [node, count] : PerNode(batch)) counts.push_back(count);
  EXPECT_THAT(counts, UnorderedElementsAre(4, 2));
}

TEST_F(SchedulerStrategyTest, BinpackTakesTheFullestNodeThatHasRoom) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  const Id c = world_.AddNode("c");
  const auto cores = [](double count) {
    return [=](v1::ServiceSpec& spec) { ReserveCpu(spec, count); };
  };
  AddPinned(world_.AddService("x", 1, cores(1)), {a});
  AddPinned(world_.AddService("y", 1, cores(2)), {b});
  AddPinned(world_.AddService("z", 1, cores(3.5)), {c});
  Start();
  const std::vector<Id> tasks = AddTasks(AddPacked("batch", 1), 3);
  Run();
  EXPECT_EQ(Get(tasks[0])->node_id, b);
  EXPECT_EQ(Get(tasks[1])->node_id, b);
  EXPECT_EQ(Get(tasks[2])->node_id, a);
}

TEST_F(SchedulerStrategyTest, BinpackLooksAtTheLargerShareAfterPlacement) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  AddPinned(world_.AddService("cpu", 1, [](auto& spec) { ReserveCpu(spec, 2); }), {a});
  AddPinned(
      world_.AddService(
          "memory", 1,
          [](auto& spec) {
            spec.mutable_task()->mutable_resources()->mutable_reservations()->set_memory_bytes(
                int64_t{6} << 30);
          }),
      {b});
  Start();
  const Id task = AddTasks(AddPacked("batch", 0.1), 1)[0];
  Run();
  EXPECT_EQ(Get(task)->node_id, b);
}

TEST_F(SchedulerStrategyTest, BinpackLeavesANodeWhereItFailsOftenToTheLast) {
  const Id batch = AddPacked("batch", 1);
  const Id bad = world_.AddNode("bad");
  Start();
  for (size_t i = 0; i < NodeInfo::kFailuresThatMatter; ++i) {
    const Id task = AddTasks(batch, 1)[0];
    Run();
    world_.Report(task, TaskState::kFailed);
  }
  AddPinned(world_.AddService("x", 1, [](auto& spec) { ReserveCpu(spec, 2); }), {bad});
  const Id good = world_.AddNode("good");
  AddTasks(batch, 5);
  Run();
  EXPECT_THAT(PerNode(batch), UnorderedElementsAre(Pair(good, 4), Pair(bad, 1)));
}

TEST_F(SchedulerStrategyTest, BinpackPacksWithinTheBranchesOfAPreference) {
  std::vector<Id> nodes;
  for (int i = 0; i < 4; ++i) {
    nodes.push_back(world_.AddNode(std::to_string(i), {{"zone", i < 2 ? "a" : "b"}}));
  }
  const Id batch = world_.AddService("batch", 1, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->set_strategy(v1::Placement::STRATEGY_BINPACK);
    ReserveCpu(spec, 1);
    SpreadOver(spec, "node.labels.zone");
  });
  AddTasks(batch, 6);
  Start();
  std::vector<size_t> counts;
  for (const auto& [node, count] : PerNode(batch)) counts.push_back(count);
  EXPECT_THAT(counts, ElementsAre(3, 3));
}

}  // namespace
}  // namespace swarm::manager
