#include "agent/network/container_plan.h"

#include "agent/network/network_test_world.h"
#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

class ContainerPlanTest : public ::testing::Test {
 protected:
  ContainerPlanTest() {
    Network inside = MakeNetwork("inside", 4098, {"10.0.2.0/24"});
    inside.internal = true;
    Put(&state_, MakeNetwork("front", 4097, {"10.0.1.0/24", "fd00:1::/64"}));
    Put(&state_, inside);
    Put(&state_, MakeNetwork("local", 0, {"10.0.3.0/24"}));
    Put(&state_, MakeTask("front", "web", "t1", "n1", {"10.0.1.5", "fd00:1::5"}));
    Put(&state_, MakeTask("inside", "web", "t1", "n1", {"10.0.2.5"}));
    Put(&state_, MakeTask("local", "web", "t1", "n1", {"10.0.3.5"}));
  }
  NetworkState state_;
};

TEST_F(ContainerPlanTest, EverythingGoesToTheGatewayOfItsNetworkWithTheRightSource) {
  const Attachment attachment = PlanAttachment(state_, "t1", {"front"}).value();
  EXPECT_TRUE(attachment.tunnelled);
  const NamespaceState plan = PlanContainer(attachment);
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("10.0.1.0/24")}),
            (Route{"eth0", Ip("10.0.1.1"), Ip("10.0.1.5")}));
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("fd00:1::/64")}),
            (Route{"eth0", Ip("fd00:1::1"), Ip("fd00:1::5")}));
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("10.0.1.1/32")}), (Route{"eth0", {}, {}}));
  EXPECT_EQ(plan.neighbours.at({"eth0", Ip("10.0.1.1")}), kRouterMac);
  EXPECT_EQ(plan.neighbours.at({"eth0", Ip("fd00:1::1")}), kRouterMac);
  EXPECT_TRUE(plan.addresses.contains({"eth0", Ip("10.0.1.5"), 24}));
  EXPECT_EQ(attachment.mac.ToString(), "02:42:0a:00:01:05");
}

TEST_F(ContainerPlanTest, TheWayOutIsTheFirstNetworkThatIsNotInternal) {
  const Attachment attachment = PlanAttachment(state_, "t1", {"inside", "local", "front"}).value();
  const NamespaceState plan = PlanContainer(attachment);
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("0.0.0.0/0")}),
            (Route{"eth0", Ip("10.0.3.1"), Ip("10.0.3.5")}));
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("::/0")}),
            (Route{"eth0", Ip("fd00:1::1"), Ip("fd00:1::5")}));
}

TEST_F(ContainerPlanTest, AnInternalNetworkHasNoWayOut) {
  const Attachment attachment = PlanAttachment(state_, "t1", {"inside"}).value();
  EXPECT_FALSE(PlanContainer(attachment).routes.contains({kMainTable, Prefix("0.0.0.0/0")}));
}

TEST_F(ContainerPlanTest, ABridgeNetworkNeedsNoRoomForAnotherHeader) {
  const Attachment attachment = PlanAttachment(state_, "t1", {"local"}).value();
  EXPECT_FALSE(attachment.tunnelled);
}

class MacvlanPlanTest : public ContainerPlanTest {
 protected:
  MacvlanPlanTest() {
    Network lan{.id = "lan", .name = "lan", .driver = NetworkDriver::kMacvlan};
    lan.subnets = {{Prefix("192.0.2.0/24"), Ip("192.0.2.254")}};
    lan.parent = "eth1";
    Put(&state_, lan);
    Put(&state_, MakeTask("lan", "web", "t1", "n1", {"192.0.2.5"}));
  }
};

TEST_F(MacvlanPlanTest, AloneItIsTheOneLinkAndTheLansGatewayIsTheWayOut) {
  const Attachment attachment = PlanAttachment(state_, "t1", {"lan"}).value();
  EXPECT_FALSE(attachment.is_routed());
  ASSERT_EQ(attachment.macvlans.size(), 1u);
  EXPECT_EQ(attachment.macvlans[0].name, "eth0");
  EXPECT_EQ(attachment.macvlans[0].parent, "eth1");
  EXPECT_EQ(attachment.macvlans[0].mac.ToString(), "02:42:c0:00:02:05");
  const NamespaceState plan = PlanContainer(attachment);
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("192.0.2.0/24")}),
            (Route{"eth0", {}, Ip("192.0.2.5")}));
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("0.0.0.0/0")}),
            (Route{"eth0", Ip("192.0.2.254"), Ip("192.0.2.5")}));
  EXPECT_TRUE(plan.neighbours.empty()) << "they are asked for";
  EXPECT_TRUE(plan.source_rules.empty());
}

TEST_F(MacvlanPlanTest, BesideTheRoutersLinkEachAddressAnswersByItsOwn) {
  const Attachment attachment = PlanAttachment(state_, "t1", {"lan", "front"}).value();
  EXPECT_TRUE(attachment.is_routed());
  EXPECT_EQ(attachment.macvlans[0].name, "eth1");
  EXPECT_EQ(attachment.mac.ToString(), "02:42:0a:00:01:05");
  const NamespaceState plan = PlanContainer(attachment);
  EXPECT_EQ(plan.routes.at({kMainTable, Prefix("0.0.0.0/0")}).link, "eth1") << "of the first";
  EXPECT_TRUE(plan.source_rules.contains({Ip("10.0.1.5"), 100}));
  EXPECT_TRUE(plan.source_rules.contains({Ip("192.0.2.5"), 101}));
  EXPECT_EQ(plan.routes.at({100, Prefix("0.0.0.0/0")}),
            (Route{"eth0", Ip("10.0.1.1"), Ip("10.0.1.5")}));
  EXPECT_EQ(plan.routes.at({101, Prefix("0.0.0.0/0")}),
            (Route{"eth1", Ip("192.0.2.254"), Ip("192.0.2.5")}));
}

TEST_F(MacvlanPlanTest, WithoutAParentOnThisNodeItIsRefusedInWords) {
  state_.networks["lan"].parent = "";
  EXPECT_THAT(PlanAttachment(state_, "t1", {"lan"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("parent_label")));
}

TEST_F(ContainerPlanTest, S11AnEncryptedNetworkIsRefusedInWordsWithoutWireguardAndNeverInClear) {
  state_.networks["front"].encrypted = true;
  EXPECT_THAT(PlanAttachment(state_, "t1", {"inside", "front"}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("network front is encrypted and never goes in clear, and this "
                                 "node's kernel has no WireGuard")));
  const Attachment attachment =
      PlanAttachment(state_, "t1", {"inside", "front"}, /*has_wireguard=*/true).value();
  EXPECT_TRUE(attachment.encrypted);
  EXPECT_FALSE(PlanAttachment(state_, "t1", {"inside"}, true)->encrypted);
}

TEST_F(ContainerPlanTest, WhatStaysOnOneNodeNeedsNoEncryption) {
  state_.networks["local"].encrypted = true;
  EXPECT_FALSE(PlanAttachment(state_, "t1", {"local"})->encrypted);
}

TEST_F(ContainerPlanTest, SaysWhichNetworkOrAddressIsMissing) {
  EXPECT_THAT(PlanAttachment(state_, "t1", {"back"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("not told of network back")));
  EXPECT_THAT(PlanAttachment(state_, "t2", {"front"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("t2 has no address in network")));
}

TEST(MacAddressTest, LinkNamesFitTheKernel) {
  EXPECT_EQ(ContainerLinkName("0123456789abcdefghijklmno").size(), 15u);
  EXPECT_NE(ContainerLinkName("a"), ContainerLinkName("b"));
  EXPECT_EQ(VxlanLinkName(16777215), "vx16777215");
  EXPECT_EQ(MacAddress::Of(Ip("10.0.1.5")).LinkLocal().ToString(), "fe80::242:a00:105");
}

}  // namespace
}  // namespace swarm::agent
