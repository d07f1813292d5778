// What is planned for encrypted networks (S11).
#include "agent/network/tunnel_state.h"

#include "agent/network/network_test_world.h"
#include "agent/network/router_plan.h"
#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr char kOwnKey[] = "own-private-key-of-thirty-two-by";

RouterFacts Facts() {
  return {.node_id = "n1",
          .underlay = Ip("192.0.2.1"),
          .wireguard_private_key = kOwnKey,
          .wireguard_port = 51871,
          .host_link = "swarm0",
          .host4 = Ip("169.254.83.0"),
          .router4 = Ip("169.254.83.1")};
}

// Two encrypted networks and a plain one, each with tasks on n1 (this node) and n2.
class TunnelPlanTest : public ::testing::Test {
 protected:
  TunnelPlanTest() {
    int third = 1;
    for (const char* name : {"secret", "safe", "plain"}) {
      const std::string middle = "10.0." + std::to_string(third);
      Network network = MakeNetwork(name, static_cast<uint32_t>(4096 + third), {middle + ".0/24"});
      network.encrypted = name != std::string("plain");
      Put(&state_, network);
      Put(&state_, MakeTask(name, "web", "t1", "n1", {middle + ".5"}));
      Put(&state_, MakeTask(name, "web", "t2", "n2", {middle + ".6"}));
      Put(&state_, NetworkPeer{.network_id = name,
                               .node_id = "n2",
                               .underlay = Ip("192.0.2.2"),
                               .wireguard_key = network.encrypted ? "key of n2" : ""});
      ++third;
    }
  }
  RouterPlanner::Change Update() {
    const auto change = planner_.Update(UpdateBetween(planner_.state(), state_));
    RouterPlanner fresh(Facts());
    fresh.Update(UpdateBetween({}, state_));
    EXPECT_TRUE(fresh.Wanted() == planner_.Wanted()) << "as when all is worked out at once";
    wanted_ = planner_.Wanted();
    return change;
  }
  NetworkPeer& Peer(const std::string& network) { return state_.peers.at({network, "n2"}); }

  NetworkState state_;
  RouterPlanner planner_{Facts()};
  RouterState wanted_;
};

TEST_F(TunnelPlanTest, S11VxlanOfAnEncryptedNetworkGoesFromInnerToInnerAddressOnly) {
  Update();
  const MacAddress mac = MacAddress::Of(InnerAddress("n2"));
  const MacAddress plain_mac = MacAddress::Of(Ip("192.0.2.2"));
  for (const char* link : {"vx4097", "vx4098"}) {
    EXPECT_EQ(wanted_.router.vxlans.at(link).local, InnerAddress("n1"));
    EXPECT_EQ(wanted_.router.forwarding.at({link, mac}), InnerAddress("n2"));
    EXPECT_EQ(wanted_.router.vxlans.at(link).mtu, 1500 - 60 - 70);
  }
  EXPECT_EQ(wanted_.router.vxlans.at("vx4099").local, Ip("192.0.2.1")) << "the plain one";
  EXPECT_EQ(wanted_.router.forwarding.at({"vx4099", plain_mac}), Ip("192.0.2.2"));
  EXPECT_EQ(wanted_.router.vxlans.at("vx4099").mtu, 1450);
}

TEST_F(TunnelPlanTest, S11ANodeThatSaysTheUnderlayOfAnotherOneGetsNothingThatIsForIt) {
  Put(&state_, MakeTask("secret", "web", "t3", "n3", {"10.0.1.7"}));
  Put(&state_, NetworkPeer{.network_id = "secret",
                           .node_id = "n3",
                           .underlay = Ip("192.0.2.2"),
                           .wireguard_key = "key of n3"});
  Update();
  const auto sent_to = [&](const std::string& address) {
    const Route& route = wanted_.router.routes.at({kMainTable, Prefix(address + "/32")});
    const MacAddress mac = wanted_.router.neighbours.at({route.link, route.via});
    return wanted_.router.forwarding.at({route.link, mac});
  };
  EXPECT_EQ(sent_to("10.0.1.6"), InnerAddress("n2"));
  EXPECT_EQ(sent_to("10.0.1.7"), InnerAddress("n3"));
  EXPECT_EQ(wanted_.router.vxlans.at("vx4097").mac, MacAddress::Of(InnerAddress("n1")))
      << "as the others work it out";
}

TEST_F(TunnelPlanTest, OneLinkCarriesAllEncryptedNetworksAndANodeIsOnItOnce) {
  Update();
  ASSERT_TRUE(wanted_.tunnel.link.has_value());
  EXPECT_EQ(wanted_.tunnel.link->private_key, kOwnKey);
  EXPECT_EQ(wanted_.tunnel.link->address, InnerAddress("n1"));
  EXPECT_EQ(wanted_.tunnel.link->mtu, 1440);
  EXPECT_THAT(
      wanted_.tunnel.peers,
      ElementsAre(Pair("key of n2", WireguardPeer{InnerAddress("n2"), Ip("192.0.2.2"), 51871})));
  // It leaves with the last of them.
  state_.networks.erase("secret");
  state_.peers.erase({"secret", "n2"});
  const auto first = Update();
  EXPECT_TRUE(Difference(first.before.tunnel, first.after.tunnel).remove.empty());
  EXPECT_TRUE(wanted_.tunnel.link.has_value());
  EXPECT_EQ(wanted_.tunnel.peers.size(), 1u);
  state_.networks.erase("safe");
  state_.peers.erase({"safe", "n2"});
  const auto second = Update();
  EXPECT_TRUE(Difference(second.before.tunnel, second.after.tunnel).remove.link.has_value());
  EXPECT_TRUE(wanted_.tunnel.empty());
}

TEST_F(TunnelPlanTest, OverAnUnderlayOfIpv6ThereIsRoomForItsHeader) {
  RouterFacts facts = Facts();
  facts.underlay = Ip("2001:db8::1");
  EXPECT_EQ(facts.TunnelMtu(), 1420);
  EXPECT_EQ(facts.EncryptedMtu(false), 1350);
}

TEST_F(TunnelPlanTest, OnASmallWireIpv6HasItsLeastAndIpv4WhatFits) {
  RouterFacts facts = Facts();
  facts.underlay_mtu = 1410;  // the least at which all fits
  EXPECT_EQ(facts.TunnelMtu(), 1350);
  EXPECT_EQ(facts.EncryptedMtu(true), 1280);
  facts.underlay_mtu = 1300;
  EXPECT_EQ(facts.TunnelMtu(), 1350);
  EXPECT_EQ(facts.EncryptedMtu(true), 1280);
  EXPECT_EQ(facts.EncryptedMtu(false), 1170);
  EXPECT_EQ(facts.OverlayMtu(true), 1280);
  EXPECT_EQ(facts.OverlayMtu(false), 1250);
  facts.underlay = Ip("2001:db8::1");
  EXPECT_EQ(facts.OverlayMtu(false), 1230);
  EXPECT_EQ(facts.EncryptedMtu(false), 1150);
  // A network has what its subnets ask for.
  state_.networks.at("safe").subnets.push_back({Prefix("fd00:2::/64"), Ip("fd00:2::1")});
  RouterPlanner planner(facts);
  planner.Update(UpdateBetween({}, state_));
  const auto vxlans = planner.Wanted().router.vxlans;
  EXPECT_EQ(vxlans.at("vx4097").mtu, 1150);
  EXPECT_EQ(vxlans.at("vx4098").mtu, 1280);
}

TEST_F(TunnelPlanTest, S11ANodeWithoutAKeyIsReachedByNoWayAtAll) {
  Peer("secret").wireguard_key.clear();
  Update();
  EXPECT_FALSE(wanted_.router.routes.contains({kMainTable, Prefix("10.0.1.6/32")}));
  EXPECT_FALSE(wanted_.router.forwarding.contains({"vx4097", MacAddress::Of(InnerAddress("n2"))}));
  EXPECT_TRUE(wanted_.router.routes.contains({kMainTable, Prefix("10.0.2.6/32")}));
  Peer("secret").wireguard_key = "key of n2";
  Update();
  EXPECT_TRUE(wanted_.router.routes.contains({kMainTable, Prefix("10.0.1.6/32")}));
}

TEST_F(TunnelPlanTest, ANodesNewKeyReplacesItsOldOne) {
  Update();
  Peer("secret").wireguard_key = Peer("safe").wireguard_key = "new key";
  const auto change = Update();
  const TunnelDifference difference = Difference(change.before.tunnel, change.after.tunnel);
  EXPECT_EQ(difference.put.peers.at("new key").address, InnerAddress("n2"));
  EXPECT_THAT(difference.remove.peers, ElementsAre(Pair("key of n2", ::testing::_)));
  EXPECT_FALSE(difference.remove.link.has_value());
  EXPECT_TRUE(Difference(change.before.router, change.after.router).empty());
}

TEST_F(TunnelPlanTest, ANodeThatMovedIsFoundAtItsNewAddress) {
  Update();
  for (const char* network : {"secret", "safe", "plain"}) Peer(network).underlay = Ip("192.0.2.9");
  Update();
  EXPECT_EQ(wanted_.tunnel.peers.at("key of n2").endpoint, Ip("192.0.2.9"));
}

TEST_F(TunnelPlanTest, S11WithoutAKeyOfItsOwnANodeCarriesNothingOfIt) {
  RouterFacts facts = Facts();
  facts.wireguard_private_key.clear();
  RouterPlanner planner(facts);
  planner.Update(UpdateBetween({}, state_));
  const RouterState wanted = planner.Wanted();
  EXPECT_TRUE(wanted.tunnel.empty());
  EXPECT_EQ(wanted.router.vxlans.size(), 1u);
  EXPECT_TRUE(wanted.router.vxlans.contains("vx4099"));
}

TEST(TunnelStateTest, InnerAddressesAreOfOnePrefixAndOfOneNodeEach) {
  EXPECT_TRUE(IsInnerAddress(InnerAddress("n1")));
  EXPECT_NE(InnerAddress("n1"), InnerAddress("n2"));
  EXPECT_TRUE(InnerAddress("n1").ToString().starts_with("fd53:7767::"));
  EXPECT_FALSE(IsInnerAddress(Ip("fd53:7761:726d::2"))) << "the router's own";
  EXPECT_FALSE(IsInnerAddress(Ip("192.0.2.1")));
  EXPECT_FALSE(IsInnerAddress(IpAddress()));
}

TEST(TunnelStateTest, ADifferenceIsWhatToPutAndThenWhatToRemove) {
  TunnelState one;
  one.link = WireguardLink{.private_key = "a", .port = 1, .mtu = 1440};
  one.peers["p"] = {InnerAddress("p"), Ip("192.0.2.2"), 1};
  TunnelState two = one;
  EXPECT_TRUE(Difference(one, two).put.empty());
  EXPECT_TRUE(Difference(one, two).remove.empty());
  two.link->mtu = 1420;
  EXPECT_EQ(Difference(one, two).put.link->mtu, 1420);
  EXPECT_THAT(Difference(one, two).put.peers, IsEmpty());
  EXPECT_TRUE(Difference(one, two).remove.empty());
  EXPECT_TRUE(Difference(one, {}).remove == one);
}

}  // namespace
}  // namespace swarm::agent
