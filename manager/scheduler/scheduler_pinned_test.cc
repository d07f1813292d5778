// Tasks that may go to one node only.
#include <cstdio>
#include <string>
#include <vector>

#include "common/clock.h"
#include "gtest/gtest.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

using SchedulerPinnedTest = SchedulerTest;

TEST_F(SchedulerPinnedTest, GoesToItsNodeThoughAnotherHasLess) {
  const Id a = world_.AddNode("a");
  world_.AddNode("b");
  const Id agent = world_.AddService("agent", 1);
  const std::vector<Id> tasks = AddPinned(agent, {a, a});
  Start();
  EXPECT_EQ(Get(tasks[0])->node_id, a);
  EXPECT_EQ(Get(tasks[1])->node_id, a);
}

TEST_F(SchedulerPinnedTest, SaysOfItsNodeAloneWhyItCannotGoThere) {
  const Id full = world_.AddNode("full");
  const Id paused = world_.AddNode("paused");
  const Id elsewhere = world_.AddNode("elsewhere", {{"zone", "b"}});
  const Id other = world_.AddNode("other");
  world_.AddNode("free", {{"zone", "a"}});
  for (const Id node : {full, paused, other}) {
    world_.ChangeNode(node, [](Node& n) { (*n.mutable_spec()->mutable_labels())["zone"] = "a"; });
  }
  world_.SetAvailability(paused, v1::NodeSpec::AVAILABILITY_PAUSE);
  world_.ChangeNode(
      full, [](Node& node) { node.mutable_description()->mutable_resources()->set_nano_cpus(1); });
  world_.ChangeNode(other, [](Node& node) {
    node.mutable_description()->mutable_platform()->set_architecture("arm64");
  });
  const Id agent = world_.AddService("agent", 1, [](v1::ServiceSpec& spec) {
    ReserveCpu(spec, 1);
    Constrain(spec, "node.labels.zone==a");
    spec.mutable_task()->mutable_placement()->add_platforms()->set_architecture("amd64");
  });
  const Id gone = Id::Make(world_.random());
  const std::vector<Id> tasks = AddPinned(agent, {full, paused, elsewhere, other, gone});
  Start();
  EXPECT_EQ(ErrorOf(tasks[0]), "no suitable node (insufficient resources on node full (cpu))");
  EXPECT_EQ(ErrorOf(tasks[1]), "no suitable node (node paused is not available for new tasks)");
  EXPECT_EQ(ErrorOf(tasks[2]),
            "no suitable node (scheduling constraints not satisfied on node elsewhere "
            "(node.labels.zone==a))");
  EXPECT_EQ(ErrorOf(tasks[3]), "no suitable node (unsupported platform on node other)");
  EXPECT_EQ(ErrorOf(tasks[4]),
            "no suitable node (node " + gone.ToString() + " is not in the cluster)");
}

TEST_F(SchedulerPinnedTest, OneThatWaitsDoesNotHoldTheOthersOfItsGroup) {
  const Id down = world_.AddNode("down");
  const Id a = world_.AddNode("a");
  world_.SetNodeState(down, v1::NodeStatus::STATE_DOWN);
  const Id agent = world_.AddService("agent", 1);
  const std::vector<Id> tasks = AddPinned(agent, {down, a});
  const Id floating = AddTasks(agent, 1)[0];
  Start();
  EXPECT_EQ(Get(tasks[0])->state, TaskState::kPending);
  EXPECT_EQ(Get(tasks[1])->node_id, a);
  EXPECT_EQ(Get(floating)->node_id, a);
}

TEST_F(SchedulerPinnedTest, IsTriedAgainWhenItsNodeChanges) {
  const Id a = world_.AddNode("a");
  world_.SetNodeState(a, v1::NodeStatus::STATE_DOWN);
  const Id task = AddPinned(world_.AddService("agent", 1), {a})[0];
  Start();
  world_.SetNodeState(a, v1::NodeStatus::STATE_READY);
  Run();
  EXPECT_EQ(Get(task)->node_id, a);
  EXPECT_EQ(ErrorOf(task), "");
}

TEST_F(SchedulerPinnedTest, IsTriedAgainWhenATaskOnItsNodeEnds) {
  const Id a = world_.AddNode("a");
  const Id agent = world_.AddService("agent", 1, [](auto& spec) { ReserveCpu(spec, 3); });
  const std::vector<Id> tasks = AddPinned(agent, {a, a});
  Start();
  EXPECT_EQ(ErrorOf(tasks[1]), "no suitable node (insufficient resources on node a (cpu))");
  world_.Report(tasks[0], TaskState::kFailed);
  Run();
  EXPECT_EQ(Get(tasks[1])->node_id, a);
}

TEST_F(SchedulerPinnedTest, KeepsToMaxReplicasPerNode) {
  const Id a = world_.AddNode("a");
  const Id agent = world_.AddService("agent", 1, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->set_max_replicas_per_node(1);
  });
  const std::vector<Id> tasks = AddPinned(agent, {a, a});
  Start();
  EXPECT_EQ(ErrorOf(tasks[1]), "no suitable node (max replicas per node limit reached on node a)");
}

TEST_F(SchedulerPinnedTest, AnUnchangedReasonIsWrittenOnce) {
  const Id a = world_.AddNode("a");
  world_.SetNodeState(a, v1::NodeStatus::STATE_DOWN);
  const Id task = AddPinned(world_.AddService("agent", 1), {a})[0];
  Start();
  const uint64_t version = Get(task)->version;
  world_.SetNodeState(world_.AddNode("b"), v1::NodeStatus::STATE_DOWN);
  Run();
  EXPECT_EQ(Get(task)->version, version);
}

// tasks x nodes would be 100,000,000 looks: some ten seconds.
TEST_F(SchedulerPinnedTest, TenThousandOnTenThousandNodesCostTheirNumber) {
  for (int i = 0; i < 10'000; ++i) world_.AddNode("n" + std::to_string(i));
  const std::vector<Id> nodes = world_.Nodes();
  const Id agent = world_.AddService("agent", 1);
  const std::vector<Id> tasks = AddPinned(agent, nodes);
  const std::unique_ptr<Clock> clock = MakeSystemClock();
  const absl::Duration begin = clock->MonotonicNow();
  Start();
  const absl::Duration took = clock->MonotonicNow() - begin;
  std::printf("10,000 pinned tasks on 10,000 nodes in %s\n", absl::FormatDuration(took).c_str());
  for (size_t i = 0; i < nodes.size(); ++i) ASSERT_EQ(Get(tasks[i])->node_id, nodes[i]);
  EXPECT_LT(took, absl::Seconds(5));
}

}  // namespace
}  // namespace swarm::manager
