// Parent links of macvlan networks: tasks go where they are.
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/network_rules.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

class SchedulerLinksTest : public SchedulerTest {
 protected:
  Id AddNodeWith(const std::string& name, const std::vector<std::string>& links,
                 std::map<std::string, std::string> labels = {}) {
    const Id id = world_.AddNode(name, std::move(labels));
    SetLinks(id, links);
    return id;
  }
  void SetLinks(Id id, const std::vector<std::string>& links) {
    world_.MustWrite([&](WriteTx& tx) {
      Node node = *tx.view().GetNode(id);
      node.mutable_description()->clear_features();
      for (const std::string& link : links) {
        node.mutable_description()->add_features(ParentFeature(link));
      }
      return tx.Put(node);
    });
  }
  // A service on a macvlan network of its own.
  Id AddOn(const std::string& name, const std::string& parent, const std::string& label = "") {
    world_.MustWrite([&](WriteTx& tx) {
      Network network;
      network.set_id(Id::Make(world_.random()).ToString());
      network.mutable_spec()->set_name(name + "-lan");
      network.mutable_spec()->set_driver("macvlan");
      auto& options = *network.mutable_spec()->mutable_options();
      if (!parent.empty()) options["parent"] = parent;
      if (!label.empty()) options["parent_label"] = label;
      return tx.Put(network);
    });
    return world_.AddService(name, 1, [&](v1::ServiceSpec& spec) {
      spec.mutable_task()->add_networks()->set_target(name + "-lan");
    });
  }
};

TEST_F(SchedulerLinksTest, ATaskGoesWhereItsParentLinkIsAndElseSaysWhichIsMissing) {
  AddNodeWith("a", {"eth0"});
  const Id b = AddNodeWith("b", {"eth0", "eth1"});
  const Id there = AddTasks(AddOn("web", "eth1"), 1)[0];
  const Id vlan = AddTasks(AddOn("vlan", "eth1.50"), 1)[0];
  const Id nowhere = AddTasks(AddOn("db", "eth7"), 1)[0];
  Start();
  EXPECT_EQ(Get(there)->node_id, b);
  EXPECT_EQ(Get(vlan)->node_id, b) << "a VLAN is made on its link";
  EXPECT_EQ(ErrorOf(nowhere), "no suitable node (no link eth7 for network db-lan on 2 nodes)");
  SetLinks(b, {"eth0", "eth7"});
  Run();
  EXPECT_EQ(Get(nowhere)->node_id, b);
}

TEST_F(SchedulerLinksTest, ALabelOfTheNodeNamesTheLink) {
  const Id a = AddNodeWith("a", {"eth0"});
  const Id b = AddNodeWith("b", {"ens3"}, {{"lan", "ens3"}});
  const Id web = AddOn("web", "", "lan");
  const Id floating = AddTasks(web, 1)[0];
  const Id pinned = AddPinned(web, {a})[0];
  Start();
  EXPECT_EQ(Get(floating)->node_id, b);
  EXPECT_EQ(ErrorOf(pinned), "no suitable node (no link named for network web-lan on node a)");
}

}  // namespace
}  // namespace swarm::manager
