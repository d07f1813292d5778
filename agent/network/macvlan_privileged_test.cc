// Containers on links of their nodes, in the LAN that those are in.
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/network/router_test_world.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Network Lan(const std::string& id = "lan", const std::string& parent = "eth0") {
  Network network{.id = id, .name = id, .driver = NetworkDriver::kMacvlan};
  network.subnets = {{Prefix("192.0.2.0/24"), Ip("192.0.2.254")},
                     {Prefix("2001:db8::/64"), Ip("2001:db8::254")}};
  network.parent = parent;
  return network;
}

class MacvlanTest : public RouterTestWorld {
 protected:
  MacvlanTest() {
    AddNetwork(Lan());
    AddNetwork(MakeNetwork("front", 4097, {"10.0.1.0/24"}));
    AddNode(1);
    AddNode(2);
  }
  TestNode& node(int number) { return nodes_.at(absl::StrCat("n", number)); }
};

TEST_F(MacvlanTest, ContainersOnTwoNodesAndTheLanReachEachOtherWithTheirOwnAddresses) {
  AddContainer("a", "web", node(1), {"lan"});
  AddContainer("b", "web", node(2), {"lan"});
  AddContainer("c", "web", node(2), {"lan"});
  Apply();
  const auto outside = MakeHost("outside", 100);
  const UniqueFd listener = Listen(Space("b"), 80).value();
  for (const NetworkNamespace& from : {Space("a"), Space("c")}) {
    EXPECT_OK(Talk(from, Task("lan", "b").v4, 80, listener));
    EXPECT_OK(Talk(from, Task("lan", "b").v6, 80, listener));
  }
  EXPECT_THAT(Talk(*outside, Task("lan", "b").v4, 80, listener), IsOkAndHolds(Ip("192.0.2.100")));
  EXPECT_THAT(Shell(Space("a"), "ip -o link show"), Not(HasSubstr("eth1")));
  EXPECT_THAT(Shell(node(1).router->router_namespace(), "ip route"), Not(HasSubstr("192.0.2.")))
      << "the router knows nothing of it";
}

TEST_F(MacvlanTest, TheGatewayOfTheLanIsTheWayOut) {
  AddContainer("a", "web", node(1), {"lan"});
  const auto gateway = MakeHost("gateway", 254);
  ASSERT_EQ(Shell(*gateway, "ip address add 198.51.100.7/32 dev lo"), "");
  const UniqueFd listener = Listen(*gateway, 80).value();
  EXPECT_THAT(Talk(Space("a"), Ip("198.51.100.7"), 80, listener),
              IsOkAndHolds(Task("lan", "a").v4));
  Network inside = Lan("inside");
  inside.internal = true;
  AddNetwork(inside);
  state_.networks.erase("lan");
  AddContainer("b", "db", node(2), {"inside"});
  EXPECT_THAT(Connect(Space("b"), Ip("198.51.100.7"), 80),
              StatusIs(absl::StatusCode::kUnavailable, "network is unreachable"));
}

TEST_F(MacvlanTest, OneThatIsInAnOverlayTooAnswersByTheLinkThatItWasAskedBy) {
  AddContainer("both", "web", node(1), {"front", "lan"});
  AddContainer("peer", "web", node(2), {"front"});
  Put(&state_, HostPort{.published = 8080, .target = 80, .task_id = "both"});
  Apply();
  // Somebody behind the LAN's gateway, whom the way out by the node would not lead to.
  const auto gateway = MakeHost("gateway", 254);
  ASSERT_EQ(Shell(*gateway, "ip address add 198.51.100.7/32 dev lo"), "");
  const UniqueFd listener = Listen(Space("both"), 80).value();
  EXPECT_OK(Talk(Space("peer"), Task("front", "both").v4, 80, listener));
  const UniqueFd client = Connect(*gateway, Task("lan", "both").v4, 80, Ip("198.51.100.7")).value();
  EXPECT_OK(Accept(listener));
  EXPECT_THAT(Talk(*gateway, Ip("192.0.2.1"), 8080, listener), IsOkAndHolds(Ip("192.0.2.254")));
  EXPECT_THAT(Shell(Space("both"), "ip rule"), HasSubstr("from 192.0.2.5 lookup 101"));
}

TEST_F(MacvlanTest, AParentThatIsNotThereIsNamedWithThoseThatAre) {
  AddNetwork(Lan("elsewhere", "eth7"));
  state_.networks.erase("lan");
  Put(&state_, MakeTask("elsewhere", "web", "a", "n1", {"192.0.2.5"}));
  ASSERT_OK(node(1).router->Apply(StateOf(node(1))));
  const auto attachment = PlanAttachment(state_, "a", {"elsewhere"});
  ASSERT_OK(attachment);
  EXPECT_THAT(node(1).attachments->Attach(*attachment),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("this node has no link eth7 that macvlan could stand on; it has "
                                 "eth0")));
  EXPECT_THAT(node(1).attachments->ListAttached(), IsOkAndHolds(IsEmpty()));
}

TEST_F(MacvlanTest, InModePrivateContainersOfOneNodeAreApart) {
  Network apart = Lan();
  apart.macvlan_mode = MacvlanMode::kPrivate;
  AddNetwork(apart);
  AddContainer("a", "web", node(1), {"lan"});
  AddContainer("b", "web", node(1), {"lan"});
  AddContainer("c", "web", node(2), {"lan"});
  const UniqueFd listener = Listen(Space("b"), 80).value();
  EXPECT_OK(Talk(Space("c"), Task("lan", "b").v4, 80, listener));
  EXPECT_THAT(Shell(Space("a"), "ping -c 1 -W 1 192.0.2.6 > /dev/null"), HasSubstr("exit 1"));
}

TEST_F(MacvlanTest, ModePassthruGivesTheLinkToOneContainerAlone) {
  Network whole = Lan();
  whole.macvlan_mode = MacvlanMode::kPassthru;
  AddNetwork(whole);
  AddContainer("a", "web", node(1), {"lan"});
  EXPECT_EQ(Shell(Space("a"), "cat /sys/class/net/eth0/address"),
            Shell(*node(1).host, "cat /sys/class/net/eth0/address"));
  Put(&state_, MakeTask("lan", "web", "b", "n1", {"192.0.2.9"}));
  const auto attachment = PlanAttachment(state_, "b", {"lan"});
  ASSERT_OK(attachment);
  EXPECT_THAT(node(1).attachments->Attach(*attachment),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("passthru")));
}

TEST_F(MacvlanTest, AttachingTwiceIsHarmlessAndALostLinkComesBackWithItsParent) {
  ASSERT_EQ(Shell(*node(1).host, "ip link add lan0 type bridge && ip link set lan0 up"), "");
  AddNetwork(Lan("lan", "lan0"));
  AddContainer("a", "web", node(1), {"lan"});
  const std::string before = Shell(Space("a"), "ip -o address; ip route; ip -6 route");
  ASSERT_OK(node(1).attachments->Attach(PlanAttachment(state_, "a", {"lan"}).value()));
  EXPECT_EQ(Shell(Space("a"), "ip -o address; ip route; ip -6 route"), before);
  ASSERT_EQ(Shell(*node(1).host, "ip link delete lan0"), "");
  ASSERT_OK(node(1).attachments->Resync());
  EXPECT_THAT(Shell(Space("a"), "ip -o link"), Not(HasSubstr("eth0")));
  ASSERT_EQ(Shell(*node(1).host, "ip link add lan0 type bridge && ip link set lan0 up"), "");
  ASSERT_OK(node(1).attachments->Resync());
  EXPECT_THAT(Shell(Space("a"), "ip -o address"), HasSubstr("192.0.2.5/24"));
  EXPECT_THAT(Shell(Space("a"), "ip route"), HasSubstr("default via 192.0.2.254 dev eth0"));
}

TEST_F(MacvlanTest, ALostLinkOfAContainerThatAnEarlierAgentAttachedComesBackToo) {
  ASSERT_EQ(Shell(*node(1).host, "ip link add lan0 type bridge && ip link set lan0 up"), "");
  AddNetwork(Lan("lan", "lan0"));
  AddContainer("a", "web", node(1), {"lan"});
  OpenRouter(node(1));
  Apply();
  const Attachment attachment = PlanAttachment(state_, "a", {"lan"}).value();
  node(1).attachments->Adopt(attachment);
  Attachment unknown = attachment;
  unknown.task_id = "gone";
  node(1).attachments->Adopt(unknown);
  ASSERT_EQ(Shell(*node(1).host,
                  "ip link delete lan0; ip link add lan0 type bridge; "
                  "ip link set lan0 up"),
            "");
  ASSERT_OK(node(1).attachments->Resync());
  EXPECT_THAT(Shell(Space("a"), "ip -o address"), HasSubstr("192.0.2.5/24"));
  EXPECT_THAT(node(1).attachments->ListAttached(), IsOkAndHolds(::testing::ElementsAre("a")));
}

TEST_F(MacvlanTest, ARepairDoesNotBringBackWhatIsBeingDetached) {
  Put(&state_, MakeTask("lan", "web", "a", "n1", {"192.0.2.5"}));
  ASSERT_OK(node(1).router->Apply(StateOf(node(1))));
  const Attachment attachment = PlanAttachment(state_, "a", {"lan"}).value();
  std::atomic<bool> stop = false;
  std::thread repair([&] {
    while (!stop) EXPECT_OK(node(1).attachments->Resync());
  });
  for (int i = 0; i < 25; ++i) {
    EXPECT_OK(node(1).attachments->Attach(attachment));
    EXPECT_OK(node(1).attachments->Detach("a"));
    EXPECT_THAT(node(1).attachments->ListAttached(), IsOkAndHolds(IsEmpty()));
  }
  stop = true;
  repair.join();
  EXPECT_THAT(node(1).attachments->ListAttached(), IsOkAndHolds(IsEmpty()));
}

TEST_F(MacvlanTest, NothingIsLeftOfADetachedOne) {
  const std::string before = Shell(*node(1).host, "ip -o link show type veth | wc -l");
  AddContainer("a", "web", node(1), {"lan"});
  const NetworkNamespace held = Space("a");  // somebody still looks at it
  ASSERT_OK(node(1).attachments->Detach("a"));
  EXPECT_THAT(Shell(held, "ip -o link"), Not(HasSubstr("eth0")));
  EXPECT_EQ(Shell(*node(1).host, "ip -o link show type veth | wc -l"), before);
}

}  // namespace
}  // namespace swarm::agent
