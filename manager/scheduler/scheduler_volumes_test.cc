// Volumes: tasks go where their data are.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/network_rules.h"
#include "manager/orchestrator/orchestrator.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;

class SchedulerVolumesTest : public SchedulerTest {
 protected:
  Id AddUser(const std::string& name, const std::vector<std::string>& volumes,
             const std::string& driver = "", const StoreWorld::SpecChange& change = nullptr) {
    const Id id = world_.AddService(name, 1, change);
    world_.MustWrite([&](WriteTx& tx) {
      const Ref<Service> service = tx.view().GetService(id);
      Revision revision = *tx.view().GetRevision(Id::ParseOrZero(service->revision_id()));
      SetPorts(service->spec(), *revision.mutable_revision());
      for (const std::string& volume : volumes) {
        v1::Mount& mount =
            *revision.mutable_revision()->mutable_task()->mutable_container()->add_mounts();
        mount.set_source(volume);
        mount.set_target("/" + volume);
        mount.mutable_volume()->set_driver(driver);
      }
      return tx.Put(revision);
    });
    return id;
  }
  void Hold(Id node, const std::string& volume) {
    world_.ChangeNode(node, [&](Node& changed) {
      changed.mutable_description()->add_volumes()->set_name(volume);
    });
  }
  // The task has ended, and a new one is in its slot.
  Id Replace(Id task) {
    Stop(task);
    world_.Report(task, TaskState::kShutdown);
    return Follow(task, TaskState::kRunning);
  }
  // A new one comes to its slot.
  Id Follow(Id task, TaskState desired) {
    const Ref<Task> old = Get(task);
    last_slot_ = static_cast<uint32_t>(old->slot) - 1;
    const Id next = AddTasks(old->service_id, 1, desired)[0];
    Run();
    return next;
  }

  void Promote(Id task) {
    world_.MustWrite([&](WriteTx& tx) {
      Task promoted = *tx.view().GetTask(task);
      promoted.desired = TaskState::kRunning;
      tx.Put(std::move(promoted));
      return absl::OkStatus();
    });
    world_.AddNode("more");  // all groups are looked at again
    Run();
  }

  // What a node of 4 cores and one GPU has for one task only.
  static void OneReplica(v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->set_max_replicas_per_node(1);
  }
  static void Cores(v1::ServiceSpec& spec) { ReserveCpu(spec, 3); }
  static void Gpu(v1::ServiceSpec& spec) { ReserveGeneric(spec, "gpu", 1); }
  static void HostPort(v1::ServiceSpec& spec) {
    v1::PortConfig& port = *spec.mutable_endpoint()->add_ports();
    port.set_target_port(5432);
    port.set_published_port(5432);
    port.set_publish_mode(v1::PortConfig::PUBLISH_MODE_HOST);
  }
  Id AddNodeWithGpu(const std::string& name) {
    const Id id = world_.AddNode(name);
    Offer(id, "gpu", {}, 1);
    return id;
  }
  // Its task runs on a node beside its data.
  struct Running {
    Id service;
    Id task;
    Id home;
  };
  Running AddRunning(const StoreWorld::SpecChange& needs) {
    const Id db = AddUser("db" + std::to_string(++dbs_), {"data"}, "", needs);
    last_slot_ = 0;
    const Id task = AddTasks(db, 1)[0];
    scheduler_ == nullptr ? Start() : Run();
    world_.Report(task, TaskState::kRunning);
    Run();
    return {db, task, Get(task)->node_id};
  }

  int dbs_ = 0;
};

constexpr const char* kFollows = "which takes it once the task before it has ended there";

TEST_F(SchedulerVolumesTest, ReplicasSpreadAndASlotGoesBackToItsNode) {
  for (const char* name : {"a", "b", "c"}) world_.AddNode(name);
  const Id web = AddUser("web", {"data"});
  const std::vector<Id> tasks = AddTasks(web, 3);
  Start();
  EXPECT_EQ(PerNode(web).size(), 3u);
  for (const Id task : tasks) {
    const Id home = Get(task)->node_id;
    EXPECT_EQ(Get(Replace(task))->node_id, home);
  }
}

TEST_F(SchedulerVolumesTest, AnEmptierNodeDoesNotLureASlotFromItsData) {
  const Id a = world_.AddNode("a");
  const Id web = AddUser("web", {"data"});
  const Id task = AddTasks(web, 1)[0];
  Start();
  AddTasks(world_.AddService("other", 5), 5);
  Run();
  world_.AddNode("b");
  Run();
  EXPECT_EQ(Get(Replace(task))->node_id, a);
}

// An image or a bind source that it lacks: another node may have it.
TEST_F(SchedulerVolumesTest, AStartThatFailedBeforeThereWereDataTiesToNoNode) {
  const Id a = world_.AddNode("a");
  const Id web = AddUser("web", {"data"});
  Id task = AddTasks(web, 1)[0];
  Start();
  AddTasks(world_.AddService("other", 5), 5);
  Run();
  const Id b = world_.AddNode("b");
  const auto fail = [&] {
    world_.Report(task, TaskState::kRejected);
    Stop(task);
    last_slot_ = 0;
    task = AddTasks(web, 1)[0];
    Run();
    return Get(task)->node_id;
  };
  EXPECT_EQ(fail(), b);
  // And one that fails beside its data stays there.
  Hold(b, "data");
  AddTasks(world_.AddService("third", 9), 9);
  Run();
  EXPECT_EQ(fail(), b);
  EXPECT_NE(a, b);
}

TEST_F(SchedulerVolumesTest, GoesElsewhereWhenItsNodeDoesNotTakeIt) {
  const Id a = world_.AddNode("a");
  const Id web = AddUser("web", {"data"});
  const Id task = AddTasks(web, 1)[0];
  Start();
  const Id b = world_.AddNode("b");
  world_.ChangeNode(a, [](Node& node) {
    node.mutable_spec()->set_availability(v1::NodeSpec::AVAILABILITY_DRAIN);
  });
  EXPECT_EQ(Get(Replace(task))->node_id, b);
}

// A stop-first update makes the new task while the old one runs: with an empty volume beside it
// nobody is served.
TEST_F(SchedulerVolumesTest, AReplacementWaitsForTheTaskBeforeItWhereThereIsRoomForOne) {
  AddNodeWithGpu("a");
  const std::pair<StoreWorld::SpecChange, bool> needs[] = {
      {OneReplica, false}, {Cores, false}, {Gpu, true}, {HostPort, true}};
  std::vector<Running> all;
  for (const auto& [need, until_it_ended] : needs) all.push_back(AddRunning(need));
  const Id b = AddNodeWithGpu("b");
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const Id next = Follow(all[i].task, TaskState::kReady);
    EXPECT_EQ(Get(next)->state, TaskState::kPending);
    EXPECT_THAT(ErrorOf(next), HasSubstr(kFollows));
    Stop(all[i].task);
    Run();
    EXPECT_EQ(Get(next)->node_id.IsZero(), needs[i].second);
    // Also when it is promoted because the old one is slow to stop.
    Promote(next);
    world_.Report(all[i].task, TaskState::kShutdown);
    Run();
    EXPECT_EQ(Get(next)->node_id, all[i].home);
    EXPECT_NE(all[i].home, b);
  }
}

// What comes first waits for nothing that waits for it, and what the node refuses anyway is no
// reason to wait.
TEST_F(SchedulerVolumesTest, AReplacementDoesNotWaitForWhatDoesNotEnd) {
  const Id a = world_.AddNode("a");
  const Running first = AddRunning(OneReplica);
  const Running full = AddRunning(Cores);
  const Running drained = AddRunning(HostPort);
  const Running lost = AddRunning(OneReplica);
  const Id b = world_.AddNode("b");
  world_.ChangeNode(b, [](Node& node) {
    node.mutable_description()->mutable_resources()->set_nano_cpus(9'000'000'000);
  });
  EXPECT_EQ(Get(Follow(first.task, TaskState::kRunning))->node_id, b);

  world_.ChangeNode(a, [](Node& node) {
    node.mutable_description()->mutable_resources()->set_nano_cpus(2'000'000'000);
  });
  EXPECT_EQ(Get(Follow(full.task, TaskState::kReady))->node_id, b);

  const Id next = Follow(drained.task, TaskState::kReady);
  const Id last = Follow(lost.task, TaskState::kReady);
  EXPECT_THAT(ErrorOf(next), HasSubstr(kFollows));
  world_.SetAvailability(a, v1::NodeSpec::AVAILABILITY_DRAIN);
  Run();
  EXPECT_EQ(Get(next)->node_id, b);
  EXPECT_EQ(Get(last)->node_id, b);
}

TEST_F(SchedulerVolumesTest, AReplacementThatWaitsGoesElsewhereWhenItsNodeIsLost) {
  const Id a = world_.AddNode("a");
  const Running db = AddRunning(HostPort);
  const Id b = world_.AddNode("b");
  const Id next = Follow(db.task, TaskState::kReady);
  EXPECT_THAT(ErrorOf(next), HasSubstr(kFollows));
  world_.SetNodeState(a, v1::NodeStatus::STATE_UNKNOWN);
  Run();
  EXPECT_THAT(ErrorOf(next), HasSubstr("has not come back"));
  world_.SetNodeState(a, v1::NodeStatus::STATE_DOWN);
  Run();
  EXPECT_EQ(Get(next)->node_id, b);
}

// The old task is stopped between the change that wakes the scheduler and its turn: on its books
// the task is still there, in the store not.
TEST_F(SchedulerVolumesTest, AReplacementStaysWithItsDataWhenTheBooksAreBehind) {
  const Id a = world_.AddNode("a");
  Id stopped;
  auto watch = world_.store().Watch(WatchSpeed::kApplied, [&](const ChangeSet&) {
    if (!stopped.IsZero())
      world_.loop().Post([this, id = std::exchange(stopped, Id{})] { Stop(id); });
  });
  const Running db = AddRunning(OneReplica);
  const Id b = world_.AddNode("b");
  const Id next = Follow(db.task, TaskState::kReady);
  stopped = db.task;
  world_.ChangeNode(b, [](Node& node) { node.mutable_description()->set_hostname("c"); });
  Run();
  EXPECT_EQ(Get(db.task)->desired, TaskState::kShutdown);
  EXPECT_EQ(Get(next)->node_id, a);
}

TEST_F(SchedulerVolumesTest, ATaskThatEndedWithoutDataDoesNotDrawItsSlotFromThem) {
  const Id a = world_.AddNode("a");
  const Id task = AddRunning(nullptr).task;
  Hold(a, "data");
  const Id b = world_.AddNode("b");
  const auto go_to_b_and_end = [&](Id before, TaskState end) {
    world_.SetAvailability(a, v1::NodeSpec::AVAILABILITY_PAUSE);
    const Id there = Replace(before);
    EXPECT_EQ(Get(there)->node_id, b);
    world_.SetAvailability(a, v1::NodeSpec::AVAILABILITY_ACTIVE);
    Stop(there);
    world_.Report(there, end);
    return there;
  };
  const Id given_up = go_to_b_and_end(task, TaskState::kShutdown);
  const Id back = Follow(given_up, TaskState::kRunning);
  EXPECT_EQ(Get(back)->node_id, a);
  const Id rejected = go_to_b_and_end(back, TaskState::kRejected);
  AddTasks(world_.AddService("other", 9), 9);  // the emptier node is no reason
  EXPECT_EQ(Get(Follow(rejected, TaskState::kRunning))->node_id, a);
}

// With the orchestrator: what waits is what the old task is stopped for.
TEST_F(SchedulerVolumesTest, AStopFirstUpdateStaysWithItsDataAndCompletes) {
  const Id nodes[] = {world_.AddNode("a"), world_.AddNode("b")};
  world_.LeavePlacingToScheduler();
  const auto orchestrator = MakeOrchestrator(world_.env(), world_.store());
  orchestrator->Start();
  Start();
  const auto pass = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      for (const Task& task : world_.AllTasks()) world_.Report(task.id, TaskState::kPending);
      world_.Settle();
      Run();
    }
  };
  const Id db = world_.AddService("db", 1, [](v1::ServiceSpec& spec) {
    OneReplica(spec);
    v1::Mount& mount = *spec.mutable_task()->mutable_container()->add_mounts();
    mount.set_source("data");
    mount.set_target("/data");
    mount.mutable_volume();
  });
  pass(3);
  const Id home = world_.ActiveIn(db, 1).node_id;
  for (const char* image : {"app:2", "app:3"}) {
    world_.SetImage(db, image);
    pass(10);
    EXPECT_TRUE(world_.AllRunning(db));
    EXPECT_EQ(StoreWorld::ImageOf(world_.ActiveIn(db, 1)), image);
    EXPECT_EQ(world_.UpdateOf(db).state(), v1::UpdateStatus::STATE_COMPLETED);
  }
  for (const Task& task : world_.TasksOf(db)) EXPECT_EQ(task.node_id, home);
  // Its node is emptied in the middle of an update.
  world_.SetImage(db, "app:4");
  world_.loop().RunUntilIdle();
  for (const Task& task : world_.AllTasks()) world_.Report(task.id, TaskState::kPending);
  world_.SetAvailability(home, v1::NodeSpec::AVAILABILITY_DRAIN);
  pass(20);
  EXPECT_TRUE(world_.AllRunning(db));
  EXPECT_EQ(StoreWorld::ImageOf(world_.ActiveIn(db, 1)), "app:4");
  EXPECT_EQ(world_.ActiveIn(db, 1).node_id, nodes[home == nodes[0] ? 1 : 0]);
}

TEST_F(SchedulerVolumesTest, AServiceThatCameBackGoesWhereAllOfItsVolumesAreAndNotAny) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  const Id c = world_.AddNode("c");
  Hold(a, "data");
  Hold(b, "logs");
  Hold(c, "logs");
  Hold(c, "data");
  // Fuller than the others.
  const Id other = world_.AddService("other", 3);
  world_.MustWrite([&](WriteTx& tx) {
    Revision revision =
        *tx.view().GetRevision(Id::ParseOrZero(tx.view().GetService(other)->revision_id()));
    revision.mutable_revision()->mutable_task()->mutable_placement()->add_constraints(
        "node.hostname==c");
    return tx.Put(revision);
  });
  AddTasks(other, 3);
  const std::vector<Id> tasks = AddTasks(AddUser("web", {"data", "logs"}), 1);
  Start();
  EXPECT_EQ(Get(tasks[0])->node_id, c);
}

TEST_F(SchedulerVolumesTest, AServiceThatCameBackWithOneMoreVolumeGoesWhereItsDataAre) {
  world_.AddNode("a");
  const Id b = world_.AddNode("b");
  world_.AddNode("c");
  Hold(b, "data");
  AddTasks(world_.AddService("other", 3), 3);
  const Id task = AddTasks(AddUser("web", {"cache", "data"}), 1)[0];
  Start();
  EXPECT_EQ(Get(task)->node_id, b);
}

// Nodes come back one after the other: the quick ones are no reason to begin with empty volumes.
TEST_F(SchedulerVolumesTest, AfterAManagersStartTheNodeWithTheDataIsWaitedFor) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  const Id web = AddUser("web", {"data"});
  const Id db = AddUser("db", {"files"});
  const Id first = AddTasks(web, 1)[0];
  Start();
  const Id home = Get(first)->node_id;
  const Id other = home == a ? b : a;
  Hold(home, "files");
  world_.SetNodeState(home, v1::NodeStatus::STATE_UNKNOWN);
  const Id again = Replace(first);
  last_slot_ = 0;
  const Id came_back = AddTasks(db, 1)[0];
  Run();
  for (const Id task : {again, came_back}) {
    EXPECT_EQ(Get(task)->state, TaskState::kPending);
    EXPECT_THAT(ErrorOf(task), HasSubstr("which has not come back since the manager started"));
  }
  world_.SetNodeState(home, v1::NodeStatus::STATE_READY);
  Run();
  EXPECT_EQ(Get(again)->node_id, home);
  EXPECT_EQ(Get(came_back)->node_id, home);
  // One that does not come back is not waited for.
  world_.SetNodeState(home, v1::NodeStatus::STATE_UNKNOWN);
  const Id last = Replace(again);
  EXPECT_EQ(Get(last)->state, TaskState::kPending);
  world_.SetNodeState(home, v1::NodeStatus::STATE_DOWN);
  Run();
  EXPECT_EQ(Get(last)->node_id, other);
}

TEST_F(SchedulerVolumesTest, EachReplicaThatCameBackGetsDataOfItsOwnWhileThereAreSome) {
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  world_.AddNode("c");
  Hold(a, "data");
  Hold(b, "data");
  const Id web = AddUser("web", {"data"});
  AddTasks(web, 2);
  Start();
  EXPECT_EQ(PerNode(web), (std::map<Id, size_t>{{a, 1}, {b, 1}}));
  AddTasks(web, 1);
  Run();
  EXPECT_EQ(PerNode(web).size(), 3u);
}

TEST_F(SchedulerVolumesTest, SharedDataTieATaskToNoNode) {
  const Id a = world_.AddNode("a");
  world_.MustWrite([&](WriteTx& tx) {
    Volume volume;
    volume.set_id(Id::Make(world_.random()).ToString());
    volume.mutable_spec()->set_name("data");
    (*volume.mutable_spec()->mutable_options())["type"] = "nfs";
    (*volume.mutable_spec()->mutable_options())["device"] = ":/x";
    return tx.Put(std::move(volume));
  });
  const Id web = AddUser("web", {"data"});
  const Id task = AddTasks(web, 1)[0];
  Start();
  AddTasks(world_.AddService("other", 5), 5);
  Run();
  const Id b = world_.AddNode("b");
  EXPECT_EQ(Get(task)->node_id, a);
  EXPECT_EQ(Get(Replace(task))->node_id, b);
}

TEST_F(SchedulerVolumesTest, AnUnknownDriverIsThePendingTasksReason) {
  world_.AddNode("a");
  world_.AddNode("b");
  const std::vector<Id> tasks = AddTasks(AddUser("web", {"data"}, "rexray"), 1);
  Start();
  EXPECT_EQ(ErrorOf(tasks[0]), "no suitable node (volume driver \"rexray\" is not on 2 nodes)");
}

}  // namespace
}  // namespace swarm::manager
