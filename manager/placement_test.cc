#include "manager/placement.h"

#include "gtest/gtest.h"

namespace swarm::manager {
namespace {

Node MakeNode() {
  Node node;
  node.set_id("n1");
  node.mutable_spec()->set_role(v1::NodeSpec::ROLE_WORKER);
  (*node.mutable_spec()->mutable_labels())["zone"] = "a";
  node.mutable_status()->set_state(v1::NodeStatus::STATE_READY);
  node.mutable_status()->set_addr("10.0.0.7:41000");
  node.mutable_description()->set_hostname("box");
  node.mutable_description()->mutable_platform()->set_os("linux");
  node.mutable_description()->mutable_platform()->set_architecture("x86_64");
  return node;
}

TEST(PlacementTest, NamesTheFirstConstraintThatANodeBreaks) {
  v1::Placement placement;
  placement.add_constraints("node.role==worker");
  placement.add_constraints("node.labels.zone == b");
  EXPECT_EQ(PlacementRules(placement).BrokenConstraint(SubjectOf(MakeNode())),
            "node.labels.zone == b");
}

TEST(PlacementTest, AConstraintThatDoesNotParseIsSatisfiedByNoNode) {
  v1::Placement placement;
  placement.add_constraints("zone");
  EXPECT_EQ(PlacementRules(placement).BrokenConstraint(SubjectOf(MakeNode())), "zone");
}

TEST(PlacementTest, NodeIpIsTheAddressWithoutItsPort) {
  Node node = MakeNode();
  EXPECT_EQ(SubjectOf(node).ip, "10.0.0.7");
  node.mutable_status()->set_addr("[fe80::1]:2377");
  EXPECT_EQ(SubjectOf(node).ip, "fe80::1");
  node.mutable_status()->set_addr("fe80::1");
  EXPECT_EQ(SubjectOf(node).ip, "fe80::1");
}

TEST(PlacementTest, KernelAndImageNamesOfOneArchitectureAreTheSame) {
  v1::Placement placement;
  placement.add_platforms()->set_architecture("amd64");
  EXPECT_TRUE(PlacementRules(placement).PlatformMatches(MakeNode().description().platform()));
  placement.mutable_platforms(0)->set_architecture("arm64");
  EXPECT_FALSE(PlacementRules(placement).PlatformMatches(MakeNode().description().platform()));
}

TEST(PlacementTest, WhatIsNotAskedForFitsEvenOnAFullNode) {
  EXPECT_TRUE(Fits({0, 0}, {5, 5}, {1, 1}));
  EXPECT_TRUE(Fits({1, 0}, {1, 9}, {2, 1}));
  EXPECT_FALSE(Fits({2, 0}, {1, 0}, {2, 0}));
  EXPECT_FALSE(Fits({0, 1}, {0, 1}, {0, 1}));
}

TEST(PlacementTest, OnlyReadyActiveNodesTakeNewTasks) {
  Node node = MakeNode();
  EXPECT_TRUE(TakesNewTasks(node));
  node.mutable_spec()->set_availability(v1::NodeSpec::AVAILABILITY_PAUSE);
  EXPECT_FALSE(TakesNewTasks(node));
  node.mutable_spec()->set_availability(v1::NodeSpec::AVAILABILITY_ACTIVE);
  node.mutable_status()->set_state(v1::NodeStatus::STATE_UNKNOWN);
  EXPECT_FALSE(TakesNewTasks(node));
}

}  // namespace
}  // namespace swarm::manager
