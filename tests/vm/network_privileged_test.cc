// What of agent/network needs parts of the kernel that not every machine has: SCTP and VLANs.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "agent/network/router_test_world.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

sockaddr_in SocketAddress(const IpAddress& address, uint16_t port) {
  sockaddr_in out = {.sin_family = AF_INET, .sin_port = htons(port)};
  std::memcpy(&out.sin_addr, address.bytes.data(), 4);
  return out;
}

UniqueFd MakeSocket(const NetworkNamespace& space) {
  UniqueFd fd;
  space
      .Run([&] {
        fd.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
        const timeval patience = {.tv_sec = 5};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        return absl::OkStatus();
      })
      .IgnoreError();
  return fd;
}

class SctpTest : public RouterTestWorld {
 protected:
  SctpTest() {
    Network ingress = MakeNetwork("ingress", 4096, {"10.0.0.0/24"});
    ingress.ingress = true;
    AddNetwork(ingress);
    AddNode(1);
    AddNode(2);
    AddContainer("a", "signal", nodes_.at("n2"), {"ingress"});
    Put(&state_, IngressPort{.protocol = PortProtocol::kSctp,
                             .published = 3868,
                             .target = 38680,
                             .service_id = "signal"});
    Apply();
  }
};

TEST_F(SctpTest, TheRouterOfEveryNodeKnowsThePort) {
  for (auto& [id, node] : nodes_) {
    EXPECT_THAT(Shell(*node.host, "nft list set inet swarm ports4"), HasSubstr("sctp . 3868"));
    EXPECT_THAT(Shell(node.router->router_namespace(), "nft list chain inet swarm port4_sctp_3868"),
                HasSubstr("dnat ip to 10.0.0.5:38680"));
  }
}

TEST_F(SctpTest, EveryNodeLeadsToTheTaskAndItSeesTheClientsAddress) {
  const UniqueFd listener = MakeSocket(Space("a"));
  if (!listener.valid()) GTEST_SKIP() << "this kernel has no SCTP";
  const sockaddr_in any = SocketAddress(Ip("0.0.0.0"), 38680);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
  ASSERT_EQ(listen(listener.get(), 8), 0);
  const auto outside = MakeHost("outside", 100);
  for (const char* const entered : {"192.0.2.1", "192.0.2.2"}) {
    const UniqueFd client = MakeSocket(*outside);
    const sockaddr_in to = SocketAddress(Ip(entered), 3868);
    ASSERT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0)
        << entered << ": " << strerror(errno);
    sockaddr_in from = {};
    socklen_t size = sizeof from;
    const UniqueFd server(accept(listener.get(), reinterpret_cast<sockaddr*>(&from), &size));
    ASSERT_TRUE(server.valid()) << entered;
    EXPECT_EQ(IpAddress::FromBytes({reinterpret_cast<const char*>(&from.sin_addr), 4}).ToString(),
              "192.0.2.100");
    char buffer[8] = {};
    ASSERT_EQ(send(client.get(), "ping", 4, 0), 4);
    EXPECT_EQ(recv(server.get(), buffer, sizeof buffer, 0), 4);
    ASSERT_EQ(send(server.get(), "pong", 4, 0), 4);
    EXPECT_EQ(recv(client.get(), buffer, sizeof buffer, 0), 4);
  }
}

class VlanTest : public RouterTestWorld {};

TEST_F(VlanTest, AVlanIsMadeOnItsLinkForMacvlanAndGoesWithTheRouter) {
  Network lan{.id = "lan", .name = "lan", .driver = NetworkDriver::kMacvlan};
  lan.subnets = {{Prefix("198.51.100.0/24"), Ip("198.51.100.254")}};
  lan.parent = "eth0.50";
  AddNetwork(lan);
  AddNode(1);
  AddNode(2);
  const NetworkNamespace& host = *nodes_.at("n1").host;
  if (!Shell(host, "ip link add link eth0 name probe type vlan id 9").empty()) {
    GTEST_SKIP() << "this kernel has no VLANs";
  }
  AddContainer("a", "web", nodes_.at("n1"), {"lan"});
  AddContainer("b", "web", nodes_.at("n2"), {"lan"});
  const UniqueFd listener = Listen(Space("b"), 80).value();
  EXPECT_OK(Talk(Space("a"), Task("lan", "b").v4, 80, listener));
  EXPECT_THAT(Shell(host, "ip -d link show eth0.50"), HasSubstr("vlan protocol 802.1Q id 50"));
  ASSERT_OK(nodes_.at("n1").router->Remove());
  EXPECT_THAT(Shell(host, "ip -o link"), Not(HasSubstr("eth0.50")));
}

}  // namespace
}  // namespace swarm::agent
