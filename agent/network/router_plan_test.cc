#include "agent/network/router_plan.h"

#include "absl/strings/str_cat.h"
#include "agent/network/network_test_world.h"
#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

RouterFacts Facts() {
  return {.node_id = "n1",
          .underlay = Ip("192.0.2.1"),
          .host_link = "swarm0",
          .host4 = Ip("169.254.83.0"),
          .router4 = Ip("169.254.83.1"),
          .host6 = Ip("fd53::1"),
          .router6 = Ip("fd53::2")};
}

// Two nodes: n1 (this one) and n2; a network, an ingress network, a service with a task on each.
class RouterPlanTest : public ::testing::Test {
 protected:
  RouterPlanTest() {
    Network ingress = MakeNetwork("ingress", 4096, {"10.0.0.0/24"});
    ingress.ingress = true;
    ingress.node_address = Ip("10.0.0.2");
    Put(&state_, ingress);
    Put(&state_, MakeNetwork("front", 4097, {"10.0.1.0/24", "fd00:1::/64"}));
    for (const char* network : {"front", "ingress"}) {
      Put(&state_, NetworkPeer{network, "n2", Ip("192.0.2.2"),
                               network == std::string("ingress") ? Ip("10.0.0.3") : IpAddress()});
    }
    Put(&state_, MakeTask("front", "web", "t1", "n1", {"10.0.1.5", "fd00:1::5"}));
    Put(&state_, MakeTask("front", "web", "t2", "n2", {"10.0.1.6", "fd00:1::6"}));
    Put(&state_, MakeTask("ingress", "web", "t1", "n1", {"10.0.0.5"}));
    Put(&state_, MakeTask("ingress", "web", "t2", "n2", {"10.0.0.6"}));
    Put(&state_, NetworkService{.network_id = "front",
                                .service_id = "web",
                                .name = "web",
                                .vip4 = Ip("10.0.1.2"),
                                .vip6 = Ip("fd00:1::2")});
    Put(&state_, IngressPort{.published = 80, .target = 8080, .service_id = "web"});
  }

  // Brings the planner to `state_`.
  RouterPlanner::Change Update() {
    const auto change = planner_.Update(UpdateBetween(planner_.state(), state_));
    // Whatever the way, the whole is the same as when it is worked out at once.
    RouterPlanner fresh(Facts());
    fresh.Update(UpdateBetween({}, state_));
    for (const auto& [id, attachment] : planner_.attachments()) fresh.Attach(attachment);
    EXPECT_TRUE(fresh.Wanted() == planner_.Wanted());
    return change;
  }
  std::string Nft(const RouterPlanner::Change& change) {
    return NftDifference(change.before.router_table, change.after.router_table);
  }
  const Route* RouteTo(const std::string& prefix, uint32_t table = kMainTable) {
    wanted_ = planner_.Wanted();
    const auto found = wanted_.router.routes.find({table, Prefix(prefix)});
    return found == wanted_.router.routes.end() ? nullptr : &found->second;
  }

  NetworkState state_;
  RouterPlanner planner_{Facts()};
  RouterState wanted_;
};

TEST_F(RouterPlanTest, ATaskElsewhereIsReachedByItsNodeOverItsNetworksVxlan) {
  Update();
  const Route* route = RouteTo("10.0.1.6/32");
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(*route, (Route{"vx4097", Ip("192.0.2.2"), Ip("10.0.1.1")}));
  const MacAddress peer = MacAddress::Of(Ip("192.0.2.2"));
  EXPECT_EQ(wanted_.router.neighbours.at({"vx4097", Ip("192.0.2.2")}), peer);
  EXPECT_EQ(wanted_.router.forwarding.at({"vx4097", peer}), Ip("192.0.2.2"));
  const Route* route6 = RouteTo("fd00:1::6/128");
  ASSERT_NE(route6, nullptr);
  EXPECT_EQ(*route6, (Route{"vx4097", peer.LinkLocal(), Ip("fd00:1::1")}));
  EXPECT_EQ(wanted_.router.neighbours.at({"vx4097", peer.LinkLocal()}), peer);
}

TEST_F(RouterPlanTest, OfTwoPeersThatSayOneUnderlayTheOneThatStaysIsReached) {
  for (const char* network : {"front", "ingress"}) {
    Put(&state_, NetworkPeer{network, "n3", Ip("192.0.2.2"),
                             network == std::string("ingress") ? Ip("10.0.0.4") : IpAddress()});
  }
  Put(&state_, MakeTask("ingress", "web", "t3", "n3", {"10.0.0.7"}));
  Update();
  EXPECT_EQ(RouteTo("10.0.0.6/32")->via, Ip("10.0.0.3"));
  EXPECT_EQ(RouteTo("10.0.0.7/32")->via, Ip("10.0.0.4"));
  for (const char* network : {"front", "ingress"}) state_.peers.erase({network, "n3"});
  state_.tasks.erase({"ingress", "t3"});
  const auto change = Update();
  const NamespaceState gone = Difference(change.before.router, change.after.router).remove;
  const MacAddress shared = MacAddress::Of(Ip("192.0.2.2"));
  EXPECT_FALSE(gone.forwarding.contains({"vx4097", shared}));
  EXPECT_FALSE(gone.neighbours.contains({"vx4097", Ip("192.0.2.2")}));
  EXPECT_TRUE(gone.forwarding.contains({"vx4096", MacAddress::Of(Ip("10.0.0.4"))}));
  // And when it is somewhere else.
  Put(&state_, NetworkPeer{"front", "n3", Ip("192.0.2.2"), {}});
  Update();
  Put(&state_, NetworkPeer{"front", "n3", Ip("192.0.2.3"), {}});
  const auto moved = Update();
  EXPECT_TRUE(Difference(moved.before.router, moved.after.router).remove.forwarding.empty());
}

TEST_F(RouterPlanTest, VxlanLeavesRoomForItsHeadersAndHasTheNodesAddress) {
  Update();
  const RouterState wanted = planner_.Wanted();
  const VxlanLink& front = wanted.router.vxlans.at("vx4097");
  EXPECT_EQ(front.mtu, 1450);
  EXPECT_EQ(front.local, Ip("192.0.2.1"));
  EXPECT_EQ(front.mac, MacAddress::Of(Ip("192.0.2.1")));
  // On the ingress network marks are told by it, so it is made from what the manager keeps unique.
  EXPECT_EQ(wanted.router.vxlans.at("vx4096").mac, MacAddress::Of(Ip("10.0.0.2")));
}

TEST_F(RouterPlanTest, ATaskHereIsReachedOnceItIsAttached) {
  Update();
  EXPECT_EQ(RouteTo("10.0.1.5/32"), nullptr);
  const Attachment attachment = PlanAttachment(state_, "t1", {"front", "ingress"}).value();
  const auto change = planner_.Attach(attachment);
  EXPECT_EQ(Nft(change), "") << "attaching a container needs no rule";
  const std::string link = ContainerLinkName("t1");
  ASSERT_NE(RouteTo("10.0.1.5/32"), nullptr);
  EXPECT_EQ(*RouteTo("10.0.1.5/32"), (Route{link, {}, Ip("10.0.1.1")}));
  EXPECT_EQ(*RouteTo("fd00:1::5/128"), (Route{link, {}, Ip("fd00:1::1")}));
  EXPECT_EQ(wanted_.router.neighbours.at({link, Ip("10.0.0.5")}), MacAddress::Of(Ip("10.0.1.5")));
  EXPECT_TRUE(wanted_.forward4);
  planner_.Detach("t1");
  EXPECT_EQ(RouteTo("10.0.1.5/32"), nullptr);
}

TEST_F(RouterPlanTest, AVirtualAddressGoesToAllServingTasksInTurn) {
  Update();
  const NftTable table = planner_.Wanted().router_table;
  EXPECT_THAT(table.elements.at("vips4"), ElementsAre(Pair("10.0.1.2", "goto vip_10.0.1.2")));
  EXPECT_THAT(table.chains.at("vip_10.0.1.2"),
              ElementsAre(::testing::StartsWith("dnat ip to numgen inc mod 2 map { 0 : 10.0.1.")));
  EXPECT_THAT(table.chains.at("vip_fd000001000000000000000000000002"),
              ElementsAre(HasSubstr("fd00:1::6")));
}

TEST_F(RouterPlanTest, ATaskThatStopsServingLeavesTheVirtualAddressButStaysReachable) {
  Update();
  state_.tasks.at({"front", "t2"}).serving = false;
  EXPECT_EQ(Nft(Update()),
            "flush chain inet swarm vip_10.0.1.2\n"
            "add rule inet swarm vip_10.0.1.2 dnat ip to 10.0.1.5\n"
            "flush chain inet swarm vip_fd000001000000000000000000000002\n"
            "add rule inet swarm vip_fd000001000000000000000000000002 dnat ip6 to fd00:1::5\n");
  EXPECT_NE(RouteTo("10.0.1.6/32"), nullptr);
}

TEST_F(RouterPlanTest, AVirtualAddressWithoutServingTasksIsNobodys) {
  state_.tasks.at({"front", "t1"}).serving = state_.tasks.at({"front", "t2"}).serving = false;
  Update();
  EXPECT_FALSE(planner_.Wanted().router_table.elements.contains("vips4"));
}

TEST_F(RouterPlanTest, APublishedPortKeepsItsNumberInTheHostAndBecomesATasksInTheRouter) {
  Update();
  const RouterState wanted = planner_.Wanted();
  EXPECT_THAT(wanted.host_table.elements.at("ports4"), ElementsAre(Pair("tcp . 80", "")));
  EXPECT_THAT(wanted.router_table.elements.at("ports4"),
              ElementsAre(Pair("tcp . 80", "goto port4_tcp_80")));
  EXPECT_THAT(wanted.router_table.chains.at("port4_tcp_80"),
              ElementsAre(::testing::AllOf(
                  ::testing::StartsWith("meta l4proto tcp dnat ip to numgen inc mod 2 map { "),
                  ::testing::EndsWith(" }:8080"))));
  EXPECT_FALSE(wanted.host_table.elements.contains("ports6")) << "the ingress network has no IPv6";
  EXPECT_TRUE(wanted.forward4);
  EXPECT_FALSE(wanted.forward6);
}

TEST_F(RouterPlanTest, LocalFirstTakesTasksOfThisNodeWhileThereAreAny) {
  state_.ingress_ports.begin()->second.local_first = true;
  Update();
  EXPECT_THAT(planner_.Wanted().router_table.chains.at("port4_tcp_80"),
              ElementsAre("meta l4proto tcp dnat ip to 10.0.0.5:8080"));
  state_.tasks.at({"ingress", "t1"}).serving = false;
  Update();
  EXPECT_THAT(planner_.Wanted().router_table.chains.at("port4_tcp_80"),
              ElementsAre("meta l4proto tcp dnat ip to 10.0.0.6:8080"));
}

TEST_F(RouterPlanTest, APortWithoutServingTasksIsStillTheClustersAndRefused) {
  for (auto& [key, task] : state_.tasks) task.serving = false;
  Update();
  const RouterState wanted = planner_.Wanted();
  EXPECT_TRUE(wanted.host_table.elements.at("ports4").contains("tcp . 80"));
  EXPECT_FALSE(wanted.router_table.elements.contains("ports4"));
}

TEST_F(RouterPlanTest, AHostPortLeadsToItsTaskByANetworkWithAWayOut) {
  state_.networks.at("front").internal = true;
  Network out = MakeNetwork("out", 0, {"10.0.9.0/24"});
  Put(&state_, out);
  Put(&state_, MakeTask("out", "db", "t9", "n1", {"10.0.9.5"}));
  Put(&state_, MakeTask("front", "db", "t9", "n1", {"10.0.1.9"}));
  Put(&state_,
      HostPort{.protocol = PortProtocol::kUdp, .published = 53, .target = 5353, .task_id = "t9"});
  Update();
  EXPECT_THAT(planner_.Wanted().router_table.chains.at("port4_udp_53"),
              ElementsAre("meta l4proto udp dnat ip to 10.0.9.5:5353"));
}

TEST_F(RouterPlanTest, AnswersToClientsGoBackThroughTheNodeThatWasEntered) {
  Update();
  const NetworkPeer& peer = state_.peers.at({"ingress", "n2"});
  const uint32_t mark = EntranceMark(peer);
  EXPECT_EQ(mark, 0x53000003u);
  const Route* route = RouteTo("0.0.0.0/0", mark);
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->link, "vx4096");
  EXPECT_TRUE(wanted_.router.rules.contains({IpAddress::Family::kV4, mark}));
  EXPECT_THAT(wanted_.router_table.elements.at("entrances"),
              ElementsAre(Pair("02:42:0a:00:00:03", "0x53000003")));
}

TEST_F(RouterPlanTest, OnlyPairsOfOneNetworkMayTalkAndNoneOnTheIngressNetwork) {
  Update();
  EXPECT_THAT(planner_.Wanted().router_table.elements.at("within4"),
              ElementsAre(Pair("10.0.1.0/24 . 10.0.1.0/24", "")));
}

TEST_F(RouterPlanTest, AnInternalNetworkIsNotLetOut) {
  state_.networks.at("front").internal = true;
  Update();
  EXPECT_THAT(planner_.Wanted().router_table.elements.at("outward4"),
              ElementsAre(Pair("10.0.0.0/24", "")));
}

TEST_F(RouterPlanTest, S11WithoutWireguardAnEncryptedNetworkHasNothingThatCouldGoInClear) {
  state_.networks.at("front").encrypted = true;
  Update();
  const RouterState wanted = planner_.Wanted();
  EXPECT_FALSE(wanted.router.vxlans.contains("vx4097"));
  EXPECT_EQ(RouteTo("10.0.1.6/32"), nullptr);
  EXPECT_FALSE(wanted.router_table.elements.contains("vips4"));
  EXPECT_TRUE(wanted.tunnel.empty());
}

TEST_F(RouterPlanTest, ABridgeNetworkHasNoVxlanAndNoTasksElsewhere) {
  Put(&state_, MakeNetwork("local", 0, {"10.0.7.0/24"}));
  Put(&state_, MakeTask("local", "x", "t7", "n2", {"10.0.7.5"}));
  Put(&state_, NetworkPeer{"local", "n2", Ip("192.0.2.2"), {}});
  Update();
  EXPECT_EQ(RouteTo("10.0.7.5/32"), nullptr);
  EXPECT_THAT(planner_.Wanted().router.vxlans,
              UnorderedElementsAre(Pair("vx4096", ::testing::_), Pair("vx4097", ::testing::_)));
}

TEST_F(RouterPlanTest, OverAnUnderlayOfIpv6RoutesOfIpv4HaveAHopOfIpv6) {
  for (auto& [key, peer] : state_.peers) peer.underlay = Ip("2001:db8::2");
  Update();
  const IpAddress hop = MacAddress::Of(Ip("2001:db8::2")).LinkLocal();
  ASSERT_NE(RouteTo("10.0.1.6/32"), nullptr);
  EXPECT_EQ(RouteTo("10.0.1.6/32")->via, hop);
  EXPECT_EQ(wanted_.router.neighbours.at({"vx4097", hop}), MacAddress::Of(Ip("2001:db8::2")));
}

TEST_F(RouterPlanTest, PiecesMayComeInAnyOrder) {
  const NetworkState all = state_;
  state_ = {};
  state_.tasks = all.tasks;
  state_.ingress_ports = all.ingress_ports;
  Update();
  EXPECT_TRUE(planner_.Wanted().router_table.empty());
  state_.services = all.services;
  state_.peers = all.peers;
  Update();
  state_.networks = all.networks;
  Update();
  EXPECT_NE(RouteTo("10.0.1.6/32"), nullptr);
  EXPECT_TRUE(planner_.Wanted().router_table.elements.contains("vips4"));
  state_.networks.clear();
  Update();
  EXPECT_EQ(RouteTo("10.0.1.6/32"), nullptr);
  EXPECT_TRUE(planner_.Wanted().router_table.empty());
}

TEST_F(RouterPlanTest, APeerThatMovesTakesItsTasksAlong) {
  Update();
  state_.peers.at({"front", "n2"}).underlay = Ip("192.0.2.22");
  Update();
  EXPECT_EQ(RouteTo("10.0.1.6/32")->via, Ip("192.0.2.22"));
}

TEST_F(RouterPlanTest, AChangeCostsWhatItChangesAndNotWhatIsThere) {
  for (int i = 0; i < 1000; ++i) {
    const std::string service = absl::StrCat("s", i);
    const std::string middle = absl::StrCat(i / 200, ".", i % 200 + 20);
    Put(&state_,
        NetworkService{
            .network_id = "big", .service_id = service, .vip4 = Ip(absl::StrCat("10.1.", middle))});
    Put(&state_,
        MakeTask("big", service, absl::StrCat("b", i), "n2", {absl::StrCat("10.2.", middle)}));
  }
  Put(&state_, MakeNetwork("big", 4099, {"10.0.0.0/8"}));
  Put(&state_, NetworkPeer{"big", "n2", Ip("192.0.2.2"), {}});
  Update();
  state_.tasks.at({"big", "b500"}).serving = false;
  const auto change = Update();
  EXPECT_EQ(change.before.router_table.chains.size(), 1u);
  EXPECT_TRUE(change.after == RouterState());
  EXPECT_TRUE(Difference(change.before.router, change.after.router).empty());
}

TEST_F(RouterPlanTest, NothingChangedIsNothingToDo) {
  Update();
  const auto change = Update();
  EXPECT_TRUE(change.before == RouterState());
  EXPECT_TRUE(change.after == RouterState());
}

TEST_F(RouterPlanTest, TheTurnBeginsElsewhereWhenTheTasksChange) {
  std::set<std::string> firsts;
  for (int i = 0; i < 20; ++i) {
    const std::string rule = BalanceRule(
        "dnat ip to", {Ip("10.0.1.5"), Ip("10.0.1.6"), Ip(absl::StrCat("10.0.2.", i))}, 0);
    firsts.insert(rule.substr(rule.find("0 : "), 12));
  }
  EXPECT_GT(firsts.size(), 2u);
}

}  // namespace
}  // namespace swarm::agent
