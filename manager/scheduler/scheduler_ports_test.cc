// Host ports: one task a node for each, until it has ended.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/network_rules.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

class SchedulerPortsTest : public SchedulerTest {
 protected:
  // As the API writes it.
  Id AddServer(const std::string& name, const std::vector<uint32_t>& ports) {
    const Id id = world_.AddService(name, 1);
    world_.MustWrite([&](WriteTx& tx) {
      v1::ServiceSpec spec;
      for (const uint32_t port : ports) {
        v1::PortConfig& config = *spec.mutable_endpoint()->add_ports();
        config.set_target_port(80);
        config.set_published_port(port);
        config.set_publish_mode(v1::PortConfig::PUBLISH_MODE_HOST);
      }
      Revision revision =
          *tx.view().GetRevision(Id::ParseOrZero(tx.view().GetService(id)->revision_id()));
      SetPorts(spec, *revision.mutable_revision());
      return tx.Put(revision);
    });
    return id;
  }
};

TEST_F(SchedulerPortsTest, EachNodeTakesOneTaskOfAPortAndTheRestSayWhy) {
  world_.AddNode("a");
  world_.AddNode("b");
  const Id web = AddServer("web", {8080});
  const std::vector<Id> tasks = AddTasks(web, 3);
  Start();
  EXPECT_EQ(PerNode(web).size(), 2u);
  EXPECT_EQ(ErrorOf(tasks[2]), "no suitable node (host port 8080/tcp in use on 2 nodes)");
  const Id other = AddTasks(AddServer("other", {9090, 8080}), 1)[0];
  Run();
  EXPECT_EQ(ErrorOf(other), "no suitable node (host port 8080/tcp in use on 2 nodes)");
  const Id third = AddTasks(AddServer("third", {9090}), 1)[0];
  Run();
  EXPECT_EQ(Get(third)->state, TaskState::kAssigned);
}

TEST_F(SchedulerPortsTest, APortIsFreeWhenItsTaskHasEnded) {
  world_.AddNode("a");
  const std::vector<Id> tasks = AddTasks(AddServer("web", {8080, 8443}), 2);
  Start();
  world_.Report(tasks[0], TaskState::kRunning);
  Stop(tasks[0]);
  Run();
  EXPECT_EQ(ErrorOf(tasks[1]), "no suitable node (host ports 8080/tcp, 8443/tcp in use on 1 node)");
  RestartScheduler();
  EXPECT_EQ(Get(tasks[1])->state, TaskState::kPending);
  world_.Report(tasks[0], TaskState::kShutdown);
  Run();
  EXPECT_EQ(Get(tasks[1])->state, TaskState::kAssigned);
}

TEST_F(SchedulerPortsTest, ATaskThatIsBoundToANodeNamesIt) {
  const Id a = world_.AddNode("a");
  const Id web = AddServer("web", {53});
  AddPinned(web, {a});
  const Id second = AddPinned(AddServer("other", {53}), {a})[0];
  Start();
  EXPECT_EQ(ErrorOf(second), "no suitable node (host port 53/tcp in use on node a)");
}

}  // namespace
}  // namespace swarm::manager
