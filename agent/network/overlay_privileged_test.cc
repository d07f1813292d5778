// Two nodes: VXLAN between their routers, and published ports that keep the client's address.
#include <poll.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "agent/network/router_test_world.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::AnyOf;

class OverlayTest : public RouterTestWorld {
 protected:
  OverlayTest() {
    Network ingress = MakeNetwork("ingress", 4096, {"10.0.0.0/24", "fd00::/64"});
    ingress.ingress = true;
    AddNetwork(ingress);
    AddNetwork(MakeNetwork("front", 4097, {"10.0.1.0/24", "fd00:1::/64"}));
    AddNetwork(MakeNetwork("back", 4098, {"10.0.2.0/24", "fd00:2::/64"}));
    AddNode(1);
    AddNode(2);
    client_ = MakeHost("client", 100);
  }
  void Publish(const std::string& service, uint16_t published, uint16_t target) {
    Put(&state_, IngressPort{.published = published, .target = target, .service_id = service});
  }
  TestNode& one() { return nodes_.at("n1"); }
  TestNode& two() { return nodes_.at("n2"); }

  std::unique_ptr<NetworkNamespace> client_;
};

TEST_F(OverlayTest, TasksOfOneNetworkReachEachOtherAcrossNodesWithLargeTransfers) {
  AddContainer("a", "web", one(), {"front"});
  AddContainer("b", "web", two(), {"front"});
  Apply();
  const UniqueFd listener = Listen(Space("b"), 80).value();
  EXPECT_THAT(Talk(Space("a"), Task("front", "b").v4, 80, listener, 1 << 20),
              IsOkAndHolds(Task("front", "a").v4));
  EXPECT_THAT(Talk(Space("a"), Task("front", "b").v6, 80, listener, 1 << 20),
              IsOkAndHolds(Task("front", "a").v6));
}

TEST_F(OverlayTest, AVirtualAddressCoversTheTasksOfAllNodes) {
  AddContainer("a", "web", one(), {"front"});
  AddContainer("b", "web", two(), {"front"});
  AddContainer("c", "client", one(), {"front"});
  Put(&state_,
      NetworkService{.network_id = "front", .service_id = "web", .vip4 = Ip("10.0.1.100")});
  Apply();
  const UniqueFd a = Listen(Space("a"), 80).value();
  const UniqueFd b = Listen(Space("b"), 80).value();
  pollfd waiting[] = {{a.get(), POLLIN, 0}, {b.get(), POLLIN, 0}};
  int count[2] = {};
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(Connect(Space("c"), Ip("10.0.1.100"), 80));
    ASSERT_EQ(poll(waiting, 2, 5000), 1);
    const int which = waiting[0].revents != 0 ? 0 : 1;
    EXPECT_THAT(Accept(which == 0 ? a : b).value().from, Task("front", "c").v4);
    ++count[which];
  }
  EXPECT_EQ(count[0], 50);
  EXPECT_EQ(count[1], 50);
}

TEST_F(OverlayTest, NetworksStayApartAcrossNodes) {
  AddContainer("a", "web", one(), {"front", "ingress"});
  AddContainer("b", "db", two(), {"back", "ingress"});
  Apply();
  const UniqueFd listener = Listen(Space("b"), 80).value();
  for (const char* network : {"back", "ingress"}) {
    for (const IpAddress& to : {Task(network, "b").v4, Task(network, "b").v6}) {
      EXPECT_THAT(Connect(Space("a"), to, 80),
                  StatusIs(absl::StatusCode::kUnavailable, "connection refused"))
          << to.ToString();
    }
  }
}

TEST_F(OverlayTest, APublishedPortKeepsTheClientsAddressWhicheverNodeIsEntered) {
  AddContainer("t", "web", two(), {"ingress"});
  Publish("web", 80, 8080);
  Apply();
  const UniqueFd listener = Listen(Space("t"), 8080).value();
  for (const char* entrance : {"192.0.2.1", "192.0.2.2"}) {
    EXPECT_THAT(Talk(*client_, Ip(entrance), 80, listener, 1 << 20),
                IsOkAndHolds(Ip("192.0.2.100")))
        << entrance;
  }
  for (const char* entrance : {"2001:db8::1", "2001:db8::2"}) {
    EXPECT_THAT(Talk(*client_, Ip(entrance), 80, listener, 1 << 20),
                IsOkAndHolds(Ip("2001:db8::100")))
        << entrance;
  }
}

TEST_F(OverlayTest, APublishedPortGoesRoundAllTasksOrLocalOnesFirst) {
  AddContainer("a", "web", one(), {"ingress"});
  AddContainer("b", "web", two(), {"ingress"});
  Publish("web", 80, 8080);
  Apply();
  const UniqueFd a = Listen(Space("a"), 8080).value();
  const UniqueFd b = Listen(Space("b"), 8080).value();
  pollfd waiting[] = {{a.get(), POLLIN, 0}, {b.get(), POLLIN, 0}};
  const auto connect_ten_times = [&] {
    int to_a = 0;
    for (int i = 0; i < 10; ++i) {
      EXPECT_OK(Connect(*client_, Ip("192.0.2.1"), 80));
      EXPECT_EQ(poll(waiting, 2, 5000), 1);
      to_a += waiting[0].revents != 0;
      EXPECT_OK(Accept(waiting[0].revents != 0 ? a : b));
    }
    return to_a;
  };
  EXPECT_EQ(connect_ten_times(), 5);
  state_.ingress_ports.begin()->second.local_first = true;
  Apply();
  EXPECT_EQ(connect_ten_times(), 10);
  state_.tasks.at({"ingress", "a"}).serving = false;
  Apply();
  EXPECT_EQ(connect_ten_times(), 0);
}

TEST_F(OverlayTest, TheHostReachesItsOwnPublishedPort) {
  AddContainer("here", "web", one(), {"ingress"});
  AddContainer("there", "api", two(), {"ingress"});
  Publish("web", 80, 8080);
  Publish("api", 81, 8080);
  Apply();
  const UniqueFd here = Listen(Space("here"), 8080).value();
  const UniqueFd there = Listen(Space("there"), 8080).value();
  EXPECT_THAT(Talk(*one().host, Ip("192.0.2.1"), 80, here), IsOkAndHolds(Ip("192.0.2.1")));
  EXPECT_THAT(Talk(*one().host, Ip("192.0.2.1"), 81, there), IsOkAndHolds(Ip("192.0.2.1")));
  EXPECT_OK(Talk(*one().host, Ip("127.0.0.1"), 80, here));
  EXPECT_OK(Talk(*one().host, Ip("127.0.0.1"), 81, there));
  EXPECT_THAT(Talk(*one().host, Ip("2001:db8::1"), 80, here), IsOkAndHolds(Ip("2001:db8::1")));
  EXPECT_THAT(Talk(*one().host, Ip("2001:db8::1"), 81, there), IsOkAndHolds(Ip("2001:db8::1")));
  EXPECT_OK(Talk(*one().host, Ip("::1"), 80, here));
  EXPECT_OK(Talk(*one().host, Ip("::1"), 81, there));
}

TEST_F(OverlayTest, AContainerReachesPublishedPortsOfItsOwnNodeAndOfAnother) {
  AddContainer("t", "web", one(), {"ingress"});
  AddContainer("c", "client", one(), {"front"});
  Publish("web", 80, 8080);
  Apply();
  const UniqueFd listener = Listen(Space("t"), 8080).value();
  EXPECT_OK(Talk(Space("c"), Ip("192.0.2.1"), 80, listener));
  EXPECT_THAT(Talk(Space("c"), Ip("192.0.2.2"), 80, listener), IsOkAndHolds(Ip("192.0.2.1")));
  EXPECT_OK(Talk(Space("t"), Ip("192.0.2.1"), 80, listener)) << "its own";
}

TEST_F(OverlayTest, AHostPortLeadsToItsTaskWithTheClientsAddress) {
  AddContainer("t", "web", one(), {"front"});
  Put(&state_, HostPort{.published = 8080, .target = 80, .task_id = "t"});
  for (auto& [id, node] : nodes_) {
    NetworkState state = StateOf(node);
    if (id != "n1") state.host_ports.clear();
    ASSERT_OK(node.router->Apply(state));
  }
  const UniqueFd listener = Listen(Space("t"), 80).value();
  EXPECT_THAT(Talk(*client_, Ip("192.0.2.1"), 8080, listener), IsOkAndHolds(Ip("192.0.2.100")));
  EXPECT_THAT(Talk(*client_, Ip("2001:db8::1"), 8080, listener), IsOkAndHolds(Ip("2001:db8::100")));
  EXPECT_OK(Talk(*one().host, Ip("127.0.0.1"), 8080, listener));
  EXPECT_FALSE(Connect(*client_, Ip("192.0.2.2"), 8080).ok());
}

TEST_F(OverlayTest, APublishedPortWithoutServingTasksIsRefusedAtOnceAndItIsNotTheHosts) {
  AddContainer("t", "web", one(), {"ingress"});
  Publish("web", 80, 8080);
  Apply();
  const UniqueFd hosts = Listen(*one().host, 80).value();
  state_.tasks.at({"ingress", "t"}).serving = false;
  Apply();
  EXPECT_THAT(Connect(*client_, Ip("192.0.2.1"), 80),
              StatusIs(absl::StatusCode::kUnavailable, "connection refused"));
  state_.ingress_ports.clear();
  Apply();
  EXPECT_OK(Talk(*client_, Ip("192.0.2.1"), 80, hosts)) << "unpublished, it is the host's again";
}

TEST_F(OverlayTest, APublishedUdpPortAnswersFromWhereItWasAsked) {
  AddContainer("t", "dns", two(), {"ingress"});
  Put(&state_,
      IngressPort{
          .protocol = PortProtocol::kUdp, .published = 53, .target = 5353, .service_id = "dns"});
  Apply();
  const UniqueFd server = Listen(Space("t"), 5353, SOCK_DGRAM).value();
  const UniqueFd client = ConnectUdp(*client_, Ip("192.0.2.1"), 53).value();
  ASSERT_EQ(send(client.get(), "question", 8, 0), 8);
  EXPECT_THAT(AnswerOne(server), IsOkAndHolds(Ip("192.0.2.100")));
  pollfd answered = {client.get(), POLLIN, 0};
  EXPECT_EQ(poll(&answered, 1, 5000), 1) << "a connected socket takes no answer from elsewhere";
}

TEST_F(OverlayTest, MovingAPeerToAnotherAddressMovesItsTasks) {
  AddContainer("a", "web", one(), {"front"});
  AddContainer("b", "web", two(), {"front"});
  Apply();
  ASSERT_EQ(Shell(*two().host, "ip address add 192.0.2.22/24 dev eth0"), "");
  two().underlay = "192.0.2.22";
  OpenRouter(two());
  Apply();
  const UniqueFd listener = Listen(Space("b"), 80).value();
  EXPECT_OK(Talk(Space("a"), Task("front", "b").v4, 80, listener));
}

TEST_F(OverlayTest, TheUnderlayMayBeOfIpv6) {
  for (TestNode* node : {&one(), &two()}) {
    node->underlay = node == &one() ? "2001:db8::1" : "2001:db8::2";
    OpenRouter(*node);
  }
  AddContainer("a", "web", one(), {"front"});
  AddContainer("b", "web", two(), {"front", "ingress"});
  Publish("web", 80, 8080);
  Apply();
  const UniqueFd listener = Listen(Space("b"), 8080).value();
  EXPECT_OK(Talk(Space("a"), Task("front", "b").v4, 8080, listener, 1 << 20));
  EXPECT_OK(Talk(Space("a"), Task("front", "b").v6, 8080, listener, 1 << 20));
  EXPECT_THAT(Talk(*client_, Ip("192.0.2.1"), 80, listener), IsOkAndHolds(Ip("192.0.2.100")));
  EXPECT_THAT(Shell(Space("a"), "ip link show eth0"), ::testing::HasSubstr("mtu 1430"));
}

TEST_F(OverlayTest, APacketThatIsTooLargeForTheUnderlayIsSaidToTheSender) {
  // Node two's link takes less than one's containers think.
  AddContainer("a", "web", one(), {"front"});
  AddContainer("b", "web", two(), {"front"});
  Apply();
  const std::string link = ContainerLinkName("b");
  const UniqueFd listener = Listen(Space("b"), 80).value();
  ASSERT_EQ(
      Shell(two().router->router_namespace(), absl::StrCat("ip link set ", link, " mtu 1300")), "");
  EXPECT_OK(Talk(Space("a"), Task("front", "b").v4, 80, listener, 1 << 20));
  EXPECT_OK(Talk(Space("a"), Task("front", "b").v6, 80, listener, 1 << 20));
}

}  // namespace
}  // namespace swarm::agent
