#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/scheduler/node_books.h"
#include "manager/scheduler/scheduler_test_world.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

TEST_F(SchedulerTest, SpreadsAServiceEvenlyOverNodes) {
  for (const char* name : {"a", "b", "c"}) world_.AddNode(name);
  const Id web = world_.AddService("web", 12);
  AddTasks(web, 12);
  Start();
  std::vector<size_t> counts;
  for (const auto& [node, count] : PerNode(web)) counts.push_back(count);
  EXPECT_THAT(counts, ElementsAre(4, 4, 4));
}

TEST_F(SchedulerTest, PrefersNodeWithFewerTasksOfTheServiceThenWithFewerTasks) {
  const Id a = world_.AddNode("a");
  const Id web = world_.AddService("web", 2);
  const Id db = world_.AddService("db", 2);
  AddTasks(db, 2);
  Start();  // both of db on a
  const Id b = world_.AddNode("b");
  AddTasks(web, 1);
  Run();
  EXPECT_THAT(PerNode(web), ElementsAre(std::pair(b, 1)));
  AddTasks(web, 1);
  Run();
  EXPECT_THAT(PerNode(web), UnorderedElementsAre(std::pair(a, 1), std::pair(b, 1)));
}

TEST_F(SchedulerTest, SchedulesReplacementsThatAreToWait) {
  world_.AddNode("a");
  const Id task = AddTasks(world_.AddService("web", 1), 1, TaskState::kReady)[0];
  Start();
  EXPECT_EQ(Get(task)->state, TaskState::kAssigned);
  EXPECT_EQ(Get(task)->desired, TaskState::kReady);
}

TEST_F(SchedulerTest, SaysWithoutAnyNodeThatThereIsNoSuitableOne) {
  const Id task = AddTasks(world_.AddService("web", 1), 1)[0];
  Start();
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
  EXPECT_EQ(ErrorOf(task), "no suitable node");
}

TEST_F(SchedulerTest, F20ATaskOfAServiceInQuarantineWaitsWithThatReasonUntilItIsLetOut) {
  world_.AddNode("a");
  const Id web = world_.AddService("web", 1);
  const auto change = [&](absl::FunctionRef<void(Service&)> edit) {
    world_.MustWrite([&](WriteTx& tx) {
      Service service = *tx.view().GetService(web);
      edit(service);
      return tx.Put(std::move(service));
    });
  };
  change([](Service& service) { service.mutable_quarantine()->set_crashes(kCrashesToQuarantine); });
  const Id task = AddTasks(web, 1)[0];
  Start();
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
  EXPECT_THAT(ErrorOf(task), ::testing::StartsWith("in quarantine: "));
  change([](Service& service) { service.clear_quarantine(); });
  Run();
  EXPECT_EQ(Get(task)->state, TaskState::kAssigned);
}

TEST_F(SchedulerTest, ExplainsEveryFilterInWordsThatSwarmUsersKnow) {
  world_.SetAvailability(world_.AddNode("drained"), v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.SetNodeState(world_.AddNode("down"), v1::NodeStatus::STATE_DOWN);
  world_.ChangeNode(world_.AddNode("small"), [](Node& node) {
    node.mutable_description()->mutable_resources()->set_nano_cpus(1);
  });
  const Id task =
      AddTasks(world_.AddService("web", 1, [](auto& spec) { ReserveCpu(spec, 2); }), 1)[0];
  Start();
  EXPECT_EQ(ErrorOf(task),
            "no suitable node (2 nodes not available for new tasks; insufficient resources on 1 "
            "node (cpu))");
}

TEST_F(SchedulerTest, ExplainsConstraintsPlatformAndReplicasPerNode) {
  world_.AddNode("a", {{"zone", "a"}});
  const Id b = world_.AddNode("b", {{"zone", "b"}});
  world_.ChangeNode(world_.AddNode("c", {{"zone", "b"}}), [](Node& node) {
    node.mutable_description()->mutable_platform()->set_architecture("arm64");
  });
  const Id web = world_.AddService("web", 2, [this](v1::ServiceSpec& spec) {
    Constrain(spec, "node.labels.zone==b");
    spec.mutable_task()->mutable_placement()->set_max_replicas_per_node(1);
    spec.mutable_task()->mutable_placement()->add_platforms()->set_architecture("amd64");
  });
  const std::vector<Id> tasks = AddTasks(web, 2);
  Start();
  EXPECT_EQ(Get(tasks[0])->node_id, b);
  EXPECT_EQ(ErrorOf(tasks[0]), "");
  EXPECT_EQ(ErrorOf(tasks[1]),
            "no suitable node (scheduling constraints not satisfied on 1 node; unsupported "
            "platform on 1 node; max replicas per node limit reached on 1 node)");
}

TEST_F(SchedulerTest, NeverReservesMoreThanANodeHas) {
  world_.AddNode("a");
  const Id web = world_.AddService("web", 5, [](auto& spec) { ReserveCpu(spec, 1.5); });
  const std::vector<Id> tasks = AddTasks(web, 3);
  Start();
  EXPECT_EQ(Get(tasks[1])->state, TaskState::kAssigned);
  EXPECT_EQ(ErrorOf(tasks[2]), "no suitable node (insufficient resources on 1 node (cpu))");
}

TEST_F(SchedulerTest, TriesAgainWhenATaskEnds) {
  world_.AddNode("a");
  const Id web = world_.AddService("web", 2, [](auto& spec) { ReserveCpu(spec, 4); });
  const std::vector<Id> tasks = AddTasks(web, 2);
  Start();
  world_.Report(tasks[0], TaskState::kFailed);
  Run();
  EXPECT_EQ(Get(tasks[1])->state, TaskState::kAssigned);
  EXPECT_EQ(ErrorOf(tasks[1]), "");
}

TEST_F(SchedulerTest, TriesAgainWhenANodeChanges) {
  const Id node = world_.AddNode("a");
  world_.SetNodeState(node, v1::NodeStatus::STATE_DOWN);
  const Id task = AddTasks(world_.AddService("web", 1), 1)[0];
  Start();
  EXPECT_EQ(ErrorOf(task), "no suitable node (1 node not available for new tasks)");
  world_.SetNodeState(node, v1::NodeStatus::STATE_READY);
  Run();
  EXPECT_EQ(Get(task)->node_id, node);
}

TEST_F(SchedulerTest, WaitsWithTheRevisionsReasonUntilItsImageIsResolved) {
  world_.AddNode("a");
  world_.HoldImages("registry: connection refused");
  const Id task = AddTasks(world_.AddService("web", 1), 1)[0];
  Start();
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
  EXPECT_EQ(ErrorOf(task), "registry: connection refused");
  world_.ResolveImages();
  Run();
  EXPECT_EQ(Get(task)->state, TaskState::kAssigned);
  EXPECT_FALSE(Get(task)->revision->revision().image_digest().empty());
}

TEST_F(SchedulerTest, WritesAnUnchangedReasonOnlyOnce) {
  const Id node = world_.AddNode("a");
  world_.SetNodeState(node, v1::NodeStatus::STATE_DOWN);
  const Id task = AddTasks(world_.AddService("web", 1), 1)[0];
  Start();
  const uint64_t version = Get(task)->version;
  world_.ChangeNode(node, [](Node& n) { (*n.mutable_spec()->mutable_labels())["x"] = "y"; });
  Run();
  EXPECT_EQ(Get(task)->version, version);
  world_.SetNodeState(world_.AddNode("b"), v1::NodeStatus::STATE_DOWN);
  Run();
  EXPECT_EQ(ErrorOf(task), "no suitable node (2 nodes not available for new tasks)");
}

TEST_F(SchedulerTest, RanksANodeLastWhereTheRevisionFailedFiveTimesInFiveMinutes) {
  const Id web = world_.AddService("web", 1);
  const Id bad = world_.AddNode("bad");
  Start();
  for (size_t i = 0; i < NodeInfo::kFailuresThatMatter; ++i) {
    const Id task = AddTasks(web, 1)[0];
    Run();
    ASSERT_EQ(Get(task)->node_id, bad);
    world_.Report(task, TaskState::kFailed);
  }
  const Id good = world_.AddNode("good");
  AddTasks(web, 3);
  Run();
  EXPECT_THAT(PerNode(web), ElementsAre(std::pair(good, 3)));
  world_.loop().Advance(absl::Minutes(6));
  AddTasks(web, 3);
  Run();
  EXPECT_THAT(PerNode(web), UnorderedElementsAre(std::pair(good, 3), std::pair(bad, 3)));
}

TEST_F(SchedulerTest, CountsAfterARestartWhatIsOnNodes) {
  const Id a = world_.AddNode("a");
  const Id web = world_.AddService("web", 3, [](auto& spec) { ReserveCpu(spec, 2); });
  AddTasks(web, 2);
  Start();
  scheduler_.reset();
  world_.Restart();
  const Id task = AddTasks(web, 1)[0];
  world_.SetNodeState(a, v1::NodeStatus::STATE_READY);
  Start();
  EXPECT_EQ(ErrorOf(task), "no suitable node (insufficient resources on 1 node (cpu))");
}

TEST_F(SchedulerTest, DoesNotPlaceATaskThatWasStoppedInTheSameTurn) {
  world_.AddNode("a");
  const Id web = world_.AddService("web", 1);
  Start();
  const Id task = AddTasks(web, 1)[0];
  world_.MustWrite([&](WriteTx& tx) {
    Task stopped = *tx.view().GetTask(task);
    stopped.desired = TaskState::kShutdown;
    tx.Put(stopped);
    return absl::OkStatus();
  });
  Run();
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
}

TEST_F(SchedulerTest, DoesNotPlaceOnANodeThatWentDownInTheSameTurn) {
  const Id node = world_.AddNode("a");
  const Id web = world_.AddService("web", 1);
  Start();
  const Id task = AddTasks(web, 1)[0];
  world_.SetNodeState(node, v1::NodeStatus::STATE_DOWN);
  Run();
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
  EXPECT_EQ(ErrorOf(task), "no suitable node (1 node not available for new tasks)");
}

TEST_F(SchedulerTest, NamesWhatIsShortOnAnyOfTheNodes) {
  world_.AddNode("few cores");
  world_.ChangeNode(world_.AddNode("little memory"), [](Node& node) {
    node.mutable_description()->mutable_resources()->set_nano_cpus(int64_t{64} << 30);
    node.mutable_description()->mutable_resources()->set_memory_bytes(1);
  });
  const Id web = world_.AddService("web", 1, [](v1::ServiceSpec& spec) {
    ReserveCpu(spec, 8);
    spec.mutable_task()->mutable_resources()->mutable_reservations()->set_memory_bytes(2);
  });
  const Id task = AddTasks(web, 1)[0];
  Start();
  EXPECT_EQ(ErrorOf(task), "no suitable node (insufficient resources on 2 nodes (cpu, memory))");
}

TEST_F(SchedulerTest, KeepsTasksPendingWithWhatTheirServiceWaitsFor) {
  const Id a = world_.AddNode("a");
  const Id web = world_.AddService("web", 1);
  SetWaitingFor(web, "service db to be healthy (0 of 1 running)");
  const Id task = AddTasks(web, 1)[0];
  const Id pinned = AddPinned(web, {a})[0];
  Start();
  EXPECT_EQ(ErrorOf(task), "waiting for service db to be healthy (0 of 1 running)");
  EXPECT_EQ(ErrorOf(pinned), "waiting for service db to be healthy (0 of 1 running)");
  SetWaitingFor(web, "service cache to start");
  Run();
  EXPECT_EQ(ErrorOf(task), "waiting for service cache to start");
  EXPECT_EQ(ErrorOf(pinned), "waiting for service cache to start");
  SetWaitingFor(web, "");
  Run();
  EXPECT_EQ(Get(task)->state, TaskState::kAssigned);
  EXPECT_EQ(Get(pinned)->state, TaskState::kAssigned);
  EXPECT_EQ(ErrorOf(task), "");
}

TEST_F(SchedulerTest, WhatOneServiceWaitsForDoesNotHoldAnother) {
  world_.AddNode("a");
  const Id web = world_.AddService("web", 1);
  SetWaitingFor(web, "waits for db");
  AddTasks(web, 1);
  const Id db = AddTasks(world_.AddService("db", 1), 1)[0];
  Start();
  EXPECT_EQ(Get(db)->state, TaskState::kAssigned);
}

// Asserts balance; the time is printed for people.
TEST_F(SchedulerTest, SpreadsAHundredThousandTasksEvenlyOverAThousandNodes) {
  for (int i = 0; i < 1'000; ++i) world_.AddNode("n" + std::to_string(i));
  const Id web = world_.AddService("web", 60'000);
  const Id db = world_.AddService("db", 40'000);
  AddTasks(web, 60'000);
  AddTasks(db, 40'000);
  const std::unique_ptr<Clock> clock = MakeSystemClock();
  const absl::Duration begin = clock->MonotonicNow();
  Start();
  std::printf("100,000 tasks on 1,000 nodes in %s\n",
              absl::FormatDuration(clock->MonotonicNow() - begin).c_str());
  std::vector<size_t> webs, dbs;
  for (const auto& [node, count] : PerNode(web)) webs.push_back(count);
  for (const auto& [node, count] : PerNode(db)) dbs.push_back(count);
  EXPECT_EQ(webs.size(), 1'000);
  EXPECT_THAT(webs, Each(60));
  EXPECT_EQ(dbs.size(), 1'000);
  EXPECT_THAT(dbs, Each(40));
}

}  // namespace
}  // namespace swarm::manager
