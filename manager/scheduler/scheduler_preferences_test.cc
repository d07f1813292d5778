// Placement preferences: evenly over the values of a label, then over the next within each.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "common/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/scheduler/node_books.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class SchedulerPreferencesTest : public SchedulerTest {
 protected:
  Id AddSpread(const std::vector<std::string>& descriptors, const std::string& name = "web") {
    return world_.AddService(name, 1, [&](v1::ServiceSpec& spec) {
      for (const std::string& descriptor : descriptors) SpreadOver(spec, descriptor);
    });
  }
  // Tasks by the value of the node's label; "" without it.
  std::map<std::string, size_t> PerValue(Id service, const std::string& label) {
    std::map<std::string, size_t> counts;
    for (const auto& [id, count] : PerNode(service)) {
      const auto& labels = world_.view().GetNode(id)->spec().labels();
      const auto found = labels.find(label);
      counts[found == labels.end() ? "" : found->second] += count;
    }
    return counts;
  }
};

TEST_F(SchedulerPreferencesTest, SpreadsEvenlyOverZonesThoughOneHasFewerNodes) {
  world_.AddNode("a1", {{"zone", "a"}});
  for (const char* name : {"b1", "b2", "b3"}) world_.AddNode(name, {{"zone", "b"}});
  const Id web = AddSpread({"node.labels.zone"});
  AddTasks(web, 12);
  Start();
  EXPECT_THAT(PerValue(web, "zone"), ElementsAre(Pair("a", 6), Pair("b", 6)));
}

TEST_F(SchedulerPreferencesTest, WithinABranchItSpreadsOverNodes) {
  const Id b1 = world_.AddNode("b1", {{"zone", "b"}});
  const Id b2 = world_.AddNode("b2", {{"zone", "b"}});
  world_.AddNode("a", {{"zone", "a"}});
  const Id web = AddSpread({"node.labels.zone"});
  AddTasks(web, 8);
  Start();
  EXPECT_EQ(PerNode(web)[b1], 2);
  EXPECT_EQ(PerNode(web)[b2], 2);
}

TEST_F(SchedulerPreferencesTest, SpreadsOverTheSecondWithinEachBranchOfTheFirst) {
  world_.AddNode("1", {{"zone", "a"}, {"rack", "a-1"}});
  world_.AddNode("2", {{"zone", "a"}, {"rack", "a-2"}});
  world_.AddNode("3", {{"zone", "a"}, {"rack", "a-2"}});
  for (int i = 0; i < 4; ++i) {
    world_.AddNode("b" + std::to_string(i), {{"zone", "b"}, {"rack", "b-1"}});
  }
  const Id web = AddSpread({"node.labels.zone", "node.labels.rack"});
  AddTasks(web, 16);
  Start();
  EXPECT_THAT(PerValue(web, "rack"), ElementsAre(Pair("a-1", 4), Pair("a-2", 4), Pair("b-1", 8)));
}

TEST_F(SchedulerPreferencesTest, NodesWithoutTheLabelAreOneBranchOfTheirOwn) {
  world_.AddNode("a", {{"zone", "a"}});
  for (const char* name : {"x", "y", "z"}) world_.AddNode(name);
  const Id web = AddSpread({"node.labels.zone"});
  AddTasks(web, 6);
  Start();
  EXPECT_THAT(PerValue(web, "zone"), ElementsAre(Pair("", 3), Pair("a", 3)));
}

TEST_F(SchedulerPreferencesTest, EngineLabelsSpreadToo) {
  const Id ssd = world_.AddNode("ssd");
  world_.ChangeNode(ssd, [](Node& node) {
    (*node.mutable_description()->mutable_engine_labels())["disk"] = "ssd";
  });
  for (const char* name : {"x", "y", "z"}) world_.AddNode(name);
  const Id web = AddSpread({"engine.labels.disk"});
  AddTasks(web, 6);
  Start();
  EXPECT_EQ(PerNode(web)[ssd], 3);
}

TEST_F(SchedulerPreferencesTest, ADescriptorThatIsNoLabelMakesOneBranch) {
  for (const char* name : {"x", "y", "z"}) world_.AddNode(name, {{"zone", name}});
  const Id web = AddSpread({"node.color"});
  AddTasks(web, 6);
  Start();
  EXPECT_THAT(PerValue(web, "zone"), ElementsAre(Pair("x", 2), Pair("y", 2), Pair("z", 2)));
}

TEST_F(SchedulerPreferencesTest, CountsTheServicesTasksOnNodesThatTakeNoMore) {
  const Id a1 = world_.AddNode("a1", {{"zone", "a"}});
  const Id web = AddSpread({"node.labels.zone"});
  AddTasks(web, 3);
  Start();
  world_.SetAvailability(a1, v1::NodeSpec::AVAILABILITY_PAUSE);
  world_.AddNode("a2", {{"zone", "a"}});
  world_.AddNode("b", {{"zone", "b"}});
  AddTasks(web, 5);
  Run();
  EXPECT_THAT(PerValue(web, "zone"), ElementsAre(Pair("a", 4), Pair("b", 4)));
}

TEST_F(SchedulerPreferencesTest, TasksOfOtherServicesDoNotWeighBranches) {
  const Id a = world_.AddNode("a", {{"zone", "a"}});
  const Id db = AddSpread({}, "db");
  AddPinned(db, {a, a, a, a});
  Start();
  world_.AddNode("b", {{"zone", "b"}});
  const Id web = AddSpread({"node.labels.zone"});
  AddTasks(web, 4);
  Run();
  EXPECT_THAT(PerValue(web, "zone"), ElementsAre(Pair("a", 2), Pair("b", 2)));
}

TEST_F(SchedulerPreferencesTest, AFullBranchLeavesTheRestToTheOthers) {
  world_.ChangeNode(world_.AddNode("a", {{"zone", "a"}}), [](Node& node) {
    node.mutable_description()->mutable_resources()->set_nano_cpus(1'000'000'000);
  });
  world_.AddNode("b", {{"zone", "b"}});
  const Id web = world_.AddService("web", 1, [](v1::ServiceSpec& spec) {
    ReserveCpu(spec, 1);
    SpreadOver(spec, "node.labels.zone");
  });
  const std::vector<Id> tasks = AddTasks(web, 6);
  Start();
  EXPECT_THAT(PerValue(web, "zone"), ElementsAre(Pair("a", 1), Pair("b", 4)));
  EXPECT_EQ(ErrorOf(tasks[5]), "no suitable node (insufficient resources on 2 nodes (cpu))");
}

TEST_F(SchedulerPreferencesTest, FailingOftenWeighsMoreThanTheBranch) {
  const Id bad = world_.AddNode("bad", {{"zone", "a"}});
  const Id web = AddSpread({"node.labels.zone"});
  Start();
  for (size_t i = 0; i < NodeInfo::kFailuresThatMatter; ++i) {
    const Id task = AddTasks(web, 1)[0];
    Run();
    world_.Report(task, TaskState::kFailed);
  }
  const Id good = world_.AddNode("good", {{"zone", "b"}});
  AddTasks(web, 3);
  Run();
  EXPECT_THAT(PerNode(web), ElementsAre(Pair(good, 3)));
  world_.SetAvailability(good, v1::NodeSpec::AVAILABILITY_PAUSE);
  AddTasks(web, 1);
  Run();
  EXPECT_EQ(PerNode(web)[bad], 1);
}

TEST_F(SchedulerPreferencesTest, ALabelThatChangedInTheSameTurnIsTheOneThatCounts) {
  const Id a = world_.AddNode("a", {{"zone", "a"}});
  const Id b = world_.AddNode("b", {{"zone", "a"}});
  const Id c = world_.AddNode("c", {{"zone", "b"}});
  const Id web = AddSpread({"node.labels.zone"});
  Start();
  AddTasks(web, 4);
  world_.ChangeNode(c, [](Node& n) { (*n.mutable_spec()->mutable_labels())["zone"] = "a"; });
  world_.ChangeNode(a, [](Node& n) { (*n.mutable_spec()->mutable_labels())["zone"] = "b"; });
  Run();
  EXPECT_THAT(PerNode(web), ::testing::UnorderedElementsAre(Pair(a, 2), Pair(b, 1), Pair(c, 1)));
}

// Asserts balance; the time is printed for people.
TEST_F(SchedulerPreferencesTest, SpreadsAHundredThousandTasksOverTenThousandNodesInTwoLevels) {
  for (int i = 0; i < 10'000; ++i) {
    world_.AddNode("n" + std::to_string(i),
                   {{"zone", std::to_string(i % 5)}, {"rack", std::to_string(i % 200)}});
  }
  const Id web = AddSpread({"node.labels.zone", "node.labels.rack"});
  AddTasks(web, 100'000);
  const std::unique_ptr<Clock> clock = MakeSystemClock();
  const absl::Duration begin = clock->MonotonicNow();
  Start();
  std::printf("100,000 tasks on 10,000 nodes by two preferences in %s\n",
              absl::FormatDuration(clock->MonotonicNow() - begin).c_str());
  for (const auto& [zone, count] : PerValue(web, "zone")) EXPECT_EQ(count, 20'000) << zone;
  for (const auto& [rack, count] : PerValue(web, "rack")) EXPECT_EQ(count, 500) << rack;
  for (const auto& [node, count] : PerNode(web)) ASSERT_EQ(count, 10);
}

}  // namespace
}  // namespace swarm::manager
