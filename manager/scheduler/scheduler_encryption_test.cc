// S11: tasks on an encrypted network go to nodes that have WireGuard, and to no other.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

class SchedulerEncryptionTest : public SchedulerTest {
 protected:
  Id AddNetwork(const std::string& name, bool encrypted, bool ingress = false) {
    const Id id = Id::Make(world_.random());
    Network network;
    network.set_id(id.ToString());
    network.mutable_spec()->set_name(name);
    network.mutable_spec()->set_ingress(ingress);
    if (encrypted) (*network.mutable_spec()->mutable_options())["encrypted"] = "";
    world_.MustWrite([&](WriteTx& tx) { return tx.Put(network); });
    return id;
  }
  Id AddMember(const std::string& name, const std::vector<std::string>& networks) {
    const Id id = world_.AddService(name, 1);
    world_.MustWrite([&](WriteTx& tx) {
      Revision revision =
          *tx.view().GetRevision(Id::ParseOrZero(tx.view().GetService(id)->revision_id()));
      for (const std::string& network : networks) {
        revision.mutable_revision()->mutable_task()->add_networks()->set_target(network);
      }
      return tx.Put(revision);
    });
    return id;
  }
  void GiveKey(Id node) {
    world_.ChangeNode(
        node, [](Node& n) { n.mutable_description()->set_wireguard_key(std::string(32, 'k')); });
  }
};

TEST_F(SchedulerEncryptionTest, S11ATaskStaysPendingWithTheReasonUntilANodeHasWireguard) {
  AddNetwork("front", false);
  AddNetwork("x", true);
  const Id a = world_.AddNode("a");
  world_.AddNode("b");
  const Id task = AddTasks(AddMember("db", {"front", "x"}), 1)[0];
  Start();
  EXPECT_EQ(ErrorOf(task),
            "no suitable node (WireGuard, which the encrypted network \"x\" needs, is missing in "
            "the kernel of 2 nodes)");
  GiveKey(a);
  Run();
  EXPECT_EQ(Get(task)->state, TaskState::kAssigned);
  EXPECT_EQ(Get(task)->node_id, a);
}

TEST_F(SchedulerEncryptionTest, S11EveryTaskGoesToTheNodesThatHaveIt) {
  const Id x = AddNetwork("x", true);
  const Id a = world_.AddNode("a");
  const Id b = world_.AddNode("b");
  world_.AddNode("c");
  GiveKey(a);
  GiveKey(b);
  const Id db = AddMember("db", {x.ToString()});
  AddTasks(db, 4);
  Start();
  EXPECT_THAT(PerNode(db),
              ::testing::UnorderedElementsAre(::testing::Pair(a, 2u), ::testing::Pair(b, 2u)));
}

TEST_F(SchedulerEncryptionTest, ATaskThatIsBoundToANodeNamesIt) {
  AddNetwork("x", true);
  const Id a = world_.AddNode("a");
  const Id task = AddPinned(AddMember("db", {"x"}), {a})[0];
  Start();
  EXPECT_EQ(ErrorOf(task),
            "no suitable node (WireGuard, which the encrypted network \"x\" needs, is missing in "
            "the kernel of node a)");
}

TEST_F(SchedulerEncryptionTest, S11AnEncryptedIngressNetworkCountsForPublishedPorts) {
  AddNetwork("way-in", true, /*ingress=*/true);
  world_.AddNode("a");
  const Id web = AddMember("web", {});
  world_.MustWrite([&](WriteTx& tx) {
    Revision revision =
        *tx.view().GetRevision(Id::ParseOrZero(tx.view().GetService(web)->revision_id()));
    revision.mutable_revision()->set_joins_ingress(true);
    return tx.Put(revision);
  });
  const Id task = AddTasks(web, 1)[0];
  const Id other = AddTasks(AddMember("other", {}), 1)[0];
  Start();
  EXPECT_EQ(ErrorOf(task),
            "no suitable node (WireGuard, which the encrypted network \"way-in\" needs, is missing "
            "in the kernel of 1 node)");
  EXPECT_EQ(Get(other)->state, TaskState::kAssigned);
}

}  // namespace
}  // namespace swarm::manager
