// Volumes: tasks go where their data are.
#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;

class SchedulerVolumesTest : public SchedulerTest {
 protected:
  Id AddUser(const std::string& name, const std::vector<std::string>& volumes,
             const std::string& driver = "") {
    const Id id = world_.AddService(name, 1);
    world_.MustWrite([&](WriteTx& tx) {
      Revision revision =
          *tx.view().GetRevision(Id::ParseOrZero(tx.view().GetService(id)->revision_id()));
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
    const Ref<Task> old = Get(task);
    last_slot_ = static_cast<uint32_t>(old->slot) - 1;
    const Id next = AddTasks(old->service_id, 1)[0];
    Run();
    return next;
  }
};

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
