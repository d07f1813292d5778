// S11: encrypted networks between two nodes, with a capture of everything that passes between them.
// The tests skip where the kernel has no WireGuard; tests/vm runs them where it has.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/network/router_test_world.h"
#include "agent/network/tunnel.h"
#include "common/status_macros.h"
#include "common/tls/x25519.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kCanary[] = "<canary that nobody may see>";
constexpr uint16_t kVxlan = 4789;
constexpr uint16_t kWireguard = 51871;

// So often that every packet which carries a part of it has the whole canary at least once.
std::string Canaries(size_t size) {
  std::string all;
  while (all.size() < size) all += kCanary;
  return all;
}

// What passes on every link of a namespace from now on.
class Capture {
 public:
  explicit Capture(const NetworkNamespace& space) {
    EXPECT_OK(space.Run([&] {
      fd_.Reset(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
      return absl::OkStatus();
    }));
    const int room = 256 << 20;
    EXPECT_EQ(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room), 0);
  }

  struct Seen {
    bool canary = false;
    int vxlan = 0;  // packets of UDP to the port
    int wireguard = 0;
  };
  Seen Take() {
    Seen seen;
    std::string packet(1 << 16, '\0');
    for (ssize_t n; (n = recv(fd_.get(), packet.data(), packet.size(), MSG_DONTWAIT)) > 0;) {
      const std::string_view bytes(packet.data(), static_cast<size_t>(n));
      seen.canary |= bytes.find(kCanary) != std::string_view::npos;
      seen.vxlan += IsUdpTo(bytes, kVxlan);
      seen.wireguard += IsUdpTo(bytes, kWireguard);
    }
    tpacket_stats stats = {};
    socklen_t size = sizeof stats;
    EXPECT_EQ(getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size), 0);
    EXPECT_EQ(stats.tp_drops, 0u) << "what was not seen proves nothing";
    return seen;
  }

 private:
  // Ethernet, IPv4 without options or IPv6 without extensions, UDP.
  static bool IsUdpTo(std::string_view packet, uint16_t port) {
    const auto number = [&](size_t at) {
      return static_cast<uint16_t>(static_cast<uint8_t>(packet[at]) << 8 |
                                   static_cast<uint8_t>(packet[at + 1]));
    };
    if (packet.size() < ETH_HLEN + 48) return false;
    const bool v6 = number(12) == ETH_P_IPV6;
    if (!v6 && number(12) != ETH_P_IP) return false;
    const auto protocol = static_cast<uint8_t>(packet[ETH_HLEN + (v6 ? 6 : 9)]);
    return protocol == IPPROTO_UDP && number(ETH_HLEN + (v6 ? 40 : 20) + 2) == port;
  }

  UniqueFd fd_;
};

absl::Status BindUdp(const NetworkNamespace& space, uint16_t port, UniqueFd* fd) {
  return space.Run([&]() -> absl::Status {
    fd->Reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in any = {};
    any.sin_family = AF_INET;
    any.sin_port = htons(port);
    if (bind(fd->get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0) {
      return absl::OkStatus();
    }
    return absl::UnavailableError(strerror(errno));
  });
}

class WireguardTest : public RouterTestWorld {
 protected:
  void SetUp() override {
    if (const absl::Status can = CheckWireguard(); !can.ok()) {
      GTEST_SKIP() << "this kernel has no WireGuard: " << can.message();
    }
    UseWireguard();
    Network secret = MakeNetwork("secret", 4097, {"10.0.1.0/24", "fd00:1::/64"});
    secret.encrypted = true;
    AddNetwork(secret);
    AddNetwork(MakeNetwork("plain", 4098, {"10.0.2.0/24", "fd00:2::/64"}));
    AddNode(1);
    AddNode(2);
  }
  // a on node one, b on node two, in both networks.
  void AddTwo() {
    AddContainer("a", "web", one(), {"secret", "plain"});
    AddContainer("b", "web", two(), {"secret", "plain"});
    Apply();
  }
  TestNode& one() { return nodes_.at("n1"); }
  TestNode& two() { return nodes_.at("n2"); }
  NetworkNamespace TunnelOf(const TestNode& node) {
    return NetworkNamespace::Open(absl::StrCat(OptionsOf(node).netns_dir, "/", kTunnelFile))
        .value();
  }
  // A connection there, and the canary many times to and fro.
  absl::Status Whisper(const std::string& from, const IpAddress& to, int port,
                       const UniqueFd& listener, size_t size = 1 << 18) {
    ASSIGN_OR_RETURN(const UniqueFd client, Connect(Space(from), to, port));
    ASSIGN_OR_RETURN(const Accepted server, Accept(listener));
    return Exchange(client, server.fd, Canaries(size));
  }
  // A packet that nobody need answer.
  void Drop(const std::string& from, const IpAddress& to) {
    const auto socket = ConnectUdp(Space(from), to, 9);
    if (!socket.ok()) return;
    const std::string canary = Canaries(100);
    send(socket->get(), canary.data(), canary.size(), 0);
  }
};

TEST(CheckWireguardTest, TheKernelHasItOrSaysWhatItLacks) {
  const absl::Status can = CheckWireguard();
  if (!can.ok()) {
    EXPECT_THAT(can.message(), HasSubstr("make WireGuard link"));
  }
  EXPECT_EQ(CheckWireguard().code(), can.code()) << "and leaves nothing that is in its own way";
}

TEST_F(WireguardTest, S11NothingOfAnEncryptedNetworkIsSeenBetweenTheNodes) {
  AddTwo();
  const UniqueFd b = Listen(Space("b"), 80).value();
  const UniqueFd a = Listen(Space("a"), 80).value();
  Capture capture(wire());
  EXPECT_OK(Whisper("a", Task("secret", "b").v4, 80, b));
  EXPECT_OK(Whisper("a", Task("secret", "b").v6, 80, b));
  EXPECT_OK(Whisper("b", Task("secret", "a").v4, 80, a));
  const Capture::Seen secret = capture.Take();
  EXPECT_FALSE(secret.canary);
  EXPECT_EQ(secret.vxlan, 0);
  EXPECT_GT(secret.wireguard, 3 * 2 * (1 << 18) / 1500) << "it did go this way";
  // The capture sees what there is to see.
  EXPECT_OK(Whisper("a", Task("plain", "b").v4, 80, b));
  const Capture::Seen plain = capture.Take();
  EXPECT_TRUE(plain.canary);
  EXPECT_GT(plain.vxlan, 0);
}

TEST_F(WireguardTest, PacketsOfTheFullSizeArriveWholeAndContainersKnowIt) {
  AddTwo();
  EXPECT_THAT(Shell(Space("a"), "ip link show eth0"), HasSubstr("mtu 1370"));
  for (const char* direction : {"a b", "b a"}) {
    const std::string from(direction, 1), to(direction + 2, 1);
    // 28 bytes of headers; one more does not fit.
    EXPECT_THAT(Shell(Space(from), absl::StrCat("busybox ping -c 1 -W 5 -s 1342 ",
                                                Task("secret", to).v4.ToString())),
                HasSubstr("1 packets received"));
  }
  const UniqueFd b = Listen(Space("b"), 80).value();
  EXPECT_OK(Talk(Space("a"), Task("secret", "b").v4, 80, b, 1 << 20));
}

TEST_F(WireguardTest, AVirtualAddressLeadsAcross) {
  AddTwo();
  AddContainer("c", "client", one(), {"secret"});
  Put(&state_, NetworkService{.network_id = "secret",
                              .service_id = "web",
                              .vip4 = Ip("10.0.1.100"),
                              .vip6 = Ip("fd00:1::100")});
  state_.tasks.at({"secret", "a"}).serving = false;
  Apply();
  const UniqueFd b = Listen(Space("b"), 80).value();
  Capture capture(wire());
  for (int i = 0; i < 5; ++i) {
    EXPECT_OK(Whisper("c", Ip("10.0.1.100"), 80, b, 1 << 16));
    EXPECT_OK(Whisper("c", Ip("fd00:1::100"), 80, b, 1 << 16));
  }
  EXPECT_FALSE(capture.Take().canary);
}

TEST_F(WireguardTest, S11WithoutItsLinkNothingLeavesAndResyncMakesItAgain) {
  AddTwo();
  const UniqueFd b = Listen(Space("b"), 80).value();
  ASSERT_OK(Whisper("a", Task("secret", "b").v4, 80, b, 1000));
  ASSERT_EQ(Shell(TunnelOf(one()), "ip link del wireguard"), "");
  Capture capture(wire());
  for (int i = 0; i < 10; ++i) {
    Drop("a", Task("secret", "b").v4);
    Drop("a", Task("secret", "b").v6);
  }
  const Capture::Seen away = capture.Take();
  EXPECT_FALSE(away.canary);
  EXPECT_EQ(away.vxlan, 0);
  ASSERT_OK(one().router->Resync());
  EXPECT_OK(Whisper("a", Task("secret", "b").v4, 80, b));
  EXPECT_FALSE(capture.Take().canary);
}

TEST_F(WireguardTest, WhatIsChangedInTheTunnelIsPutRight) {
  AddTwo();
  const UniqueFd b = Listen(Space("b"), 80).value();
  const NetworkNamespace tunnel = TunnelOf(one());
  for (const char* damage :
       {"ip link set wireguard down", "ip link set wireguard mtu 1280",
        "ip -6 route flush dev wireguard table main", "ip -6 address flush dev wireguard"}) {
    ASSERT_EQ(Shell(tunnel, damage), "");
    ASSERT_OK(one().router->Resync());
    EXPECT_OK(Talk(Space("a"), Task("secret", "b").v4, 80, b, 1 << 16)) << damage;
    EXPECT_THAT(Shell(tunnel, "ip link show wireguard"), HasSubstr("mtu 1440")) << damage;
  }
}

TEST_F(WireguardTest, ARebootedNodesNewKeyIsTakenOnceItIsTold) {
  AddTwo();
  const UniqueFd b = Listen(Space("b"), 80).value();
  const UniqueFd a = Listen(Space("a"), 80).value();
  ASSERT_OK(Whisper("a", Task("secret", "b").v4, 80, b, 1000));
  for (int round = 0; round < 2; ++round) {
    two().wireguard_private_key = tls::MakeX25519Key(*random_);
    OpenRouter(two());
    Apply();
    Capture capture(wire());
    EXPECT_OK(Whisper("a", Task("secret", "b").v4, 80, b, 1 << 16));
    EXPECT_OK(Whisper("b", Task("secret", "a").v4, 80, a, 1 << 16));
    EXPECT_FALSE(capture.Take().canary);
  }
}

TEST_F(WireguardTest, ConnectionsGoOnWhileTheAgentRestarts) {
  AddTwo();
  const UniqueFd listener = Listen(Space("b"), 80).value();
  const auto client = Connect(Space("a"), Task("secret", "b").v4, 80);
  ASSERT_OK(client);
  const auto server = Accept(listener);
  ASSERT_OK(server);
  ASSERT_OK(Exchange(*client, server->fd, Canaries(1000)));
  OpenRouter(one());
  EXPECT_OK(Exchange(*client, server->fd, Canaries(1000))) << "before it was told anything";
  Apply();
  EXPECT_OK(Exchange(*client, server->fd, Canaries(1000)));
}

TEST_F(WireguardTest, S11ANodeWithoutAKeyIsNotSpokenTo) {
  AddTwo();
  two().wireguard_private_key.clear();
  ASSERT_OK(one().router->Apply(StateOf(one())));
  Capture capture(wire());
  EXPECT_THAT(Connect(Space("a"), Task("secret", "b").v4, 80),
              StatusIs(absl::StatusCode::kUnavailable));
  Drop("a", Task("secret", "b").v4);
  const Capture::Seen seen = capture.Take();
  EXPECT_FALSE(seen.canary);
  EXPECT_EQ(seen.vxlan, 0);
}

TEST_F(WireguardTest, ItsPortIsSaidWhenAnotherProgramHasItAndTakenWhenItIsFree) {
  UniqueFd other;
  ASSERT_OK(BindUdp(*one().host, kWireguard, &other));
  EXPECT_OK(one().router->Apply(StateOf(one())));
  EXPECT_THAT(one().router->Obstacles(),
              ::testing::Contains(HasSubstr("need UDP port 51871 of this host")));
  other.Reset();
  EXPECT_OK(one().router->Resync());
  EXPECT_THAT(one().router->Obstacles(), ::testing::IsEmpty());
  EXPECT_FALSE(BindUdp(*one().host, kWireguard, &other).ok());
}

TEST_F(WireguardTest, WithTheLastEncryptedNetworkThePortIsFreeAgainAndAfterLeaveNothingIsLeft) {
  AddTwo();
  UniqueFd mine;
  EXPECT_FALSE(BindUdp(*one().host, kWireguard, &mine).ok());
  NetworkState without = StateOf(one());
  without.networks.erase("secret");
  ASSERT_OK(one().router->Apply(without));
  EXPECT_OK(BindUdp(*one().host, kWireguard, &mine));
  EXPECT_THAT(Shell(TunnelOf(one()), "ip link show wireguard"), HasSubstr("exit 1"));
  const std::string folder = OptionsOf(two()).netns_dir;
  EXPECT_OK(two().router->Remove());
  two().attachments.reset();
  two().router.reset();
  EXPECT_FALSE(NetworkNamespace::Open(absl::StrCat(folder, "/", kTunnelFile)).ok());
  EXPECT_OK(BindUdp(*two().host, kWireguard, &mine));
}

TEST_F(WireguardTest, TheUnderlayMayBeOfIpv6) {
  for (TestNode* node : {&one(), &two()}) {
    node->underlay = node == &one() ? "2001:db8::1" : "2001:db8::2";
    OpenRouter(*node);
  }
  AddTwo();
  const UniqueFd b = Listen(Space("b"), 80).value();
  Capture capture(wire());
  EXPECT_OK(Whisper("a", Task("secret", "b").v4, 80, b));
  EXPECT_OK(Whisper("a", Task("secret", "b").v6, 80, b));
  const Capture::Seen seen = capture.Take();
  EXPECT_FALSE(seen.canary);
  EXPECT_GT(seen.wireguard, 0);
  EXPECT_THAT(Shell(Space("a"), "ip link show eth0"), HasSubstr("mtu 1350"));
}

TEST_F(WireguardTest, PublishedPortsKeepTheClientsAddressOverAnEncryptedIngressNetwork) {
  Network ingress = MakeNetwork("ingress", 4096, {"10.0.0.0/24", "fd00::/64"});
  ingress.ingress = ingress.encrypted = true;
  AddNetwork(ingress);
  const auto client = MakeHost("client", 100);
  AddContainer("t", "web", two(), {"ingress"});
  Put(&state_, IngressPort{.published = 80, .target = 8080, .service_id = "web"});
  Apply();
  const UniqueFd listener = Listen(Space("t"), 8080).value();
  for (const char* entrance : {"192.0.2.1", "192.0.2.2"}) {
    EXPECT_THAT(Talk(*client, Ip(entrance), 80, listener, 1 << 18), IsOkAndHolds(Ip("192.0.2.100")))
        << entrance;
  }
}

}  // namespace
}  // namespace swarm::agent
