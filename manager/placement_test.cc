#include "manager/placement.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

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

TEST(PlacementTest, WhatATaskWasGivenIsWhatItHolds) {
  auto revision = std::make_shared<Revision>();
  v1::Resources& asked =
      *revision->mutable_revision()->mutable_task()->mutable_resources()->mutable_reservations();
  asked.set_nano_cpus(5);
  v1::GenericResource* gpu = asked.add_generic();
  gpu->set_kind("gpu");
  gpu->set_count(1);
  Task task;
  task.revision = revision;
  EXPECT_TRUE(HoldsGeneric(task));
  EXPECT_EQ(HeldBy(task), ReservationOf(*revision));
  auto extras = std::make_shared<TaskExtras>();
  extras->generic.push_back(*gpu);
  extras->generic[0].add_ids("GPU-7");
  task.extras = extras;
  const Reservation held = HeldBy(task);
  EXPECT_EQ(held.nano_cpus, 5);
  ASSERT_NE(held.generic.Find("gpu"), nullptr);
  EXPECT_THAT(held.generic.Find("gpu")->ids, ElementsAre("GPU-7"));
}

TEST(PlacementTest, NamesEverythingThatIsShort) {
  Reservation asked{2, 2};
  asked.generic = GenericAmounts::Held({}, {[] {
                                         v1::GenericResource gpu;
                                         gpu.set_kind("gpu");
                                         gpu.set_count(1);
                                         return gpu;
                                       }()});
  EXPECT_THAT(Shortages(asked, {}, {2, 2}), ElementsAre("gpu"));
  EXPECT_THAT(Shortages(asked, {1, 1}, {2, 2}), UnorderedElementsAre("cpu", "gpu", "memory"));
}

TEST(PlacementTest, TheLargerShareIsTheOneOfTheScarcerResource) {
  EXPECT_EQ(LargerShare({1, 3}, {4, 4}), 750'000'000);
  EXPECT_EQ(LargerShare({2, 1}, {4, 4}), 500'000'000);
  EXPECT_EQ(LargerShare({2, 1}, {0, 0}), 0);
  EXPECT_EQ(LargerShare({100, 0}, {4, 4}), 2'000'000'000);
}

TEST(PlacementTest, PreferencesSpreadOverLabelsOfNodesAndEngines) {
  v1::Placement placement;
  for (const char* spread :
       {"node.labels.zone", "Engine.Labels.disk", "node.labels.none", "zone"}) {
    placement.add_preferences()->set_spread(spread);
  }
  Node node = MakeNode();
  (*node.mutable_description()->mutable_engine_labels())["disk"] = "ssd";
  const PlacementRules rules(placement);
  ASSERT_EQ(rules.preferences(), 4);
  EXPECT_EQ(rules.BranchOf(0, SubjectOf(node)), "a");
  EXPECT_EQ(rules.BranchOf(1, SubjectOf(node)), "ssd");
  EXPECT_EQ(rules.BranchOf(2, SubjectOf(node)), "");
  EXPECT_EQ(rules.BranchOf(3, SubjectOf(node)), "");
}

TEST(PlacementTest, FactsAreTheSameWhateverTheOrderInWhichLabelsWereSetAndWhateverIsUsed) {
  Node a = MakeNode();
  Node b = MakeNode();
  for (int i = 0; i < 50; ++i) {
    (*a.mutable_spec()->mutable_labels())[std::to_string(i)] = "x";
    (*b.mutable_spec()->mutable_labels())[std::to_string(49 - i)] = "x";
  }
  b.mutable_status()->mutable_usage()->set_nano_cpus(7);
  EXPECT_TRUE(SameFacts(a, b));
  (*b.mutable_spec()->mutable_labels())["7"] = "y";
  EXPECT_FALSE(SameFacts(a, b));
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
