// One node's router in the kernel.
#include "agent/network/router.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/network/router_test_world.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class RouterTest : public RouterTestWorld {
 protected:
  RouterTest() {
    AddNetwork(MakeNetwork("front", 4097, {"10.0.1.0/24", "fd00:1::/64"}));
    AddNetwork(MakeNetwork("back", 4098, {"10.0.2.0/24", "fd00:2::/64"}));
    AddNode(1);
  }
  TestNode& node() { return nodes_.at("n1"); }
  void AddVip(const std::string& service) {
    Put(&state_, NetworkService{.network_id = "front",
                                .service_id = service,
                                .name = service,
                                .vip4 = Ip("10.0.1.100"),
                                .vip6 = Ip("fd00:1::100")});
  }
};

TEST_F(RouterTest, TwoContainersOfOneNetworkReachEachOther) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("b", "web", node(), {"front"});
  Apply();
  const UniqueFd listener = Listen(Space("b"), 80).value();
  EXPECT_THAT(Talk(Space("a"), Task("front", "b").v4, 80, listener),
              IsOkAndHolds(Task("front", "a").v4));
  EXPECT_THAT(Talk(Space("a"), Task("front", "b").v6, 80, listener),
              IsOkAndHolds(Task("front", "a").v6));
  EXPECT_THAT(Shell(Space("a"), "ip neighbour"), Not(HasSubstr("REACHABLE")))
      << "nothing is ever asked for on the link";
}

TEST_F(RouterTest, ContainersOfTwoNetworksAreRefusedAtOnce) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("b", "db", node(), {"back"});
  Apply();
  const UniqueFd listener = Listen(Space("b"), 80).value();
  EXPECT_THAT(Connect(Space("a"), Task("back", "b").v4, 80),
              StatusIs(absl::StatusCode::kUnavailable, "connection refused"));
  EXPECT_THAT(Connect(Space("a"), Task("back", "b").v6, 80),
              StatusIs(absl::StatusCode::kUnavailable, "connection refused"));
}

TEST_F(RouterTest, ATaskInTwoNetworksTalksInBothWithTheRightSource) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("b", "db", node(), {"back"});
  AddContainer("both", "api", node(), {"front", "back"});
  Apply();
  const UniqueFd a = Listen(Space("a"), 80).value();
  const UniqueFd b = Listen(Space("b"), 80).value();
  EXPECT_THAT(Talk(Space("both"), Task("front", "a").v4, 80, a),
              IsOkAndHolds(Task("front", "both").v4));
  EXPECT_THAT(Talk(Space("both"), Task("back", "b").v4, 80, b),
              IsOkAndHolds(Task("back", "both").v4));
}

TEST_F(RouterTest, NobodySpeaksWithAnothersAddress) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("b", "web", node(), {"front"});
  AddContainer("c", "web", node(), {"front"});
  Apply();
  const UniqueFd server = Listen(Space("b"), 53, SOCK_DGRAM).value();
  for (const IpAddress& stolen : {Task("front", "c").v4, Task("front", "c").v6}) {
    const bool v4 = stolen.is_v4();
    const IpAddress& to = v4 ? Task("front", "b").v4 : Task("front", "b").v6;
    ASSERT_EQ(Shell(Space("a"), absl::StrCat("ip address add ", stolen.ToString(),
                                             v4 ? "/32 dev eth0" : "/128 dev eth0 nodad")),
              "");
    const UniqueFd thief = ConnectUdp(Space("a"), to, 53, stolen).value();
    const UniqueFd honest = ConnectUdp(Space("a"), to, 53).value();
    ASSERT_EQ(send(thief.get(), "x", 1, 0), 1);
    ASSERT_EQ(send(honest.get(), "x", 1, 0), 1);
    EXPECT_THAT(AnswerOne(server),
                IsOkAndHolds(v4 ? Task("front", "a").v4 : Task("front", "a").v6));
    pollfd waiting = {server.get(), POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 0), 0);
  }
}

TEST_F(RouterTest, AVirtualAddressSpreadsConnectionsEvenly) {
  constexpr int kTasks = 12, kConnections = 10000;
  std::vector<UniqueFd> listeners;
  std::vector<pollfd> waiting;
  for (int i = 0; i < kTasks; ++i) {
    const std::string id = absl::StrCat("t", i);
    AddContainer(id, "web", node(), {"front"});
    listeners.push_back(Listen(Space(id), 80).value());
    waiting.push_back({listeners.back().get(), POLLIN, 0});
  }
  AddContainer("client", "client", node(), {"front"});
  AddVip("web");
  Apply();
  std::vector<int> count(kTasks);
  const NetworkNamespace client = Space("client");
  for (int i = 0; i < kConnections; ++i) {
    const auto connection = Connect(client, Ip(i % 10 == 0 ? "fd00:1::100" : "10.0.1.100"), 80);
    ASSERT_OK(connection);
    ASSERT_EQ(poll(waiting.data(), waiting.size(), 5000), 1);
    for (int t = 0; t < kTasks; ++t) {
      if ((waiting[t].revents & POLLIN) == 0) continue;
      const Accepted accepted = Accept(listeners[t]).value();
      // No TIME_WAIT: the ports of one client would not do.
      const linger now = {1, 0};
      setsockopt(accepted.fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
      ++count[t];
    }
  }
  for (const int n : count) EXPECT_NEAR(n, kConnections / kTasks, kConnections / kTasks * 0.05);
}

TEST_F(RouterTest, AVirtualAddressWithoutTasksIsRefusedAtOnceAndComesBack) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("client", "client", node(), {"front"});
  AddVip("web");
  Apply();
  const UniqueFd listener = Listen(Space("a"), 80).value();
  EXPECT_OK(Talk(Space("client"), Ip("10.0.1.100"), 80, listener));
  const UniqueFd established = Connect(Space("client"), Ip("10.0.1.100"), 80).value();
  const Accepted server = Accept(listener).value();

  state_.tasks.at({"front", "a"}).serving = false;
  Apply();
  for (const char* vip : {"10.0.1.100", "fd00:1::100"}) {
    EXPECT_THAT(Connect(Space("client"), Ip(vip), 80),
                StatusIs(absl::StatusCode::kUnavailable, "connection refused"));
  }
  EXPECT_OK(Exchange(established, server.fd, 1000)) << "what is established goes on";

  state_.tasks.at({"front", "a"}).serving = true;
  Apply();
  EXPECT_OK(Talk(Space("client"), Ip("10.0.1.100"), 80, listener));
}

TEST_F(RouterTest, AConnectionToATaskThatIsGoneIsResetAtOnce) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("client", "client", node(), {"front"});
  AddVip("web");
  Apply();
  const UniqueFd listener = Listen(Space("a"), 80).value();
  const UniqueFd client = Connect(Space("client"), Ip("10.0.1.100"), 80).value();
  const Accepted server = Accept(listener).value();
  ASSERT_OK(node().attachments->Detach("a"));
  ASSERT_EQ(send(client.get(), "x", 1, MSG_NOSIGNAL), 1);
  char byte;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(RouterTest, AUdpClientThatNeverPausesComesToAnotherTaskWhenItsOwnIsGone) {
  AddContainer("a", "dns", node(), {"front"});
  AddContainer("b", "dns", node(), {"front"});
  AddContainer("client", "client", node(), {"front"});
  AddVip("dns");
  state_.tasks.at({"front", "b"}).serving = false;
  Apply();
  const UniqueFd a = Listen(Space("a"), 53, SOCK_DGRAM).value();
  const UniqueFd b = Listen(Space("b"), 53, SOCK_DGRAM).value();
  for (const char* vip : {"10.0.1.100", "fd00:1::100"}) {
    const UniqueFd client = ConnectUdp(Space("client"), Ip(vip), 53).value();
    state_.tasks.at({"front", "b"}).serving = false;
    Put(&state_, MakeTask("front", "dns", "a", "n1", {"10.0.1.5", "fd00:1::5"}));
    Apply();
    ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
    ASSERT_OK(AnswerOne(a));
    char answer;
    ASSERT_EQ(recv(client.get(), &answer, 1, 0), 1);
    state_.tasks.at({"front", "b"}).serving = true;
    state_.tasks.erase({"front", "a"});
    Apply();
    ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
    EXPECT_OK(AnswerOne(b));
  }
}

TEST_F(RouterTest, ATaskReachesItselfThroughItsOwnService) {
  AddContainer("a", "web", node(), {"front"});
  AddVip("web");
  Apply();
  const UniqueFd listener = Listen(Space("a"), 80).value();
  EXPECT_THAT(Talk(Space("a"), Ip("10.0.1.100"), 80, listener), IsOkAndHolds(Ip("10.0.1.1")));
  EXPECT_THAT(Talk(Space("a"), Ip("fd00:1::100"), 80, listener), IsOkAndHolds(Ip("fd00:1::1")));
}

TEST_F(RouterTest, TheWayOutIsMasqueradedAndAnInternalNetworkHasNone) {
  Network inside = MakeNetwork("inside", 4099, {"10.0.3.0/24"});
  inside.internal = true;
  AddNetwork(inside);
  AddContainer("a", "web", node(), {"front"});
  AddContainer("b", "web", node(), {"inside"});
  Apply();
  const auto outside = MakeHost("outside", 100);
  const UniqueFd listener = Listen(*outside, 80).value();
  EXPECT_THAT(Talk(Space("a"), Ip("192.0.2.100"), 80, listener), IsOkAndHolds(Ip("192.0.2.1")));
  EXPECT_THAT(Talk(Space("a"), Ip("2001:db8::100"), 80, listener), IsOkAndHolds(Ip("2001:db8::1")));
  EXPECT_THAT(Connect(Space("b"), Ip("192.0.2.100"), 80),
              StatusIs(absl::StatusCode::kUnavailable, "network is unreachable"));
  // Nor by a route that the container gives itself.
  ASSERT_EQ(Shell(Space("b"), "ip route add default via 10.0.3.1 dev eth0"), "");
  EXPECT_THAT(Connect(Space("b"), Ip("192.0.2.100"), 80),
              StatusIs(absl::StatusCode::kUnavailable, "connection refused"));
}

TEST_F(RouterTest, AttachingTwiceIsHarmlessAndNetworksMayComeAndGoWhileItRuns) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("b", "db", node(), {"back"});
  Apply();
  const UniqueFd listener = Listen(Space("b"), 80).value();
  EXPECT_FALSE(Connect(Space("a"), Task("back", "b").v4, 80).ok());
  const std::string before = Shell(Space("a"), "ip -o address; ip route; ip neighbour");
  ASSERT_OK(node().attachments->Attach(PlanAttachment(state_, "a", {"front"}).value()));
  EXPECT_EQ(Shell(Space("a"), "ip -o address; ip route; ip neighbour"), before);

  Put(&state_, MakeTask("back", "web", "a", "n1", {"10.0.2.77", "fd00:2::77"}));
  Apply();
  ASSERT_OK(node().attachments->Attach(PlanAttachment(state_, "a", {"front", "back"}).value()));
  EXPECT_OK(Talk(Space("a"), Task("back", "b").v4, 80, listener));

  ASSERT_OK(node().attachments->Attach(PlanAttachment(state_, "a", {"front"}).value()));
  EXPECT_EQ(Shell(Space("a"), "ip -o address; ip route; ip neighbour"), before);
  EXPECT_FALSE(Connect(Space("a"), Task("back", "b").v4, 80).ok());
}

TEST_F(RouterTest, DetachingLeavesNothingAndTwiceIsHarmless) {
  Put(&state_, MakeTask("front", "web", "a", "n1", {"10.0.1.5", "fd00:1::5"}));
  Apply();
  const std::string before =
      Shell(node().router->router_namespace(), "ip -o link; ip route; ip -6 route");
  ASSERT_OK(node().attachments->Attach(PlanAttachment(state_, "a", {"front"}).value()));
  EXPECT_THAT(node().attachments->ListAttached(), IsOkAndHolds(ElementsAre("a")));
  ASSERT_OK(node().attachments->Detach("a"));
  ASSERT_OK(node().attachments->Detach("a"));
  EXPECT_THAT(node().attachments->ListAttached(), IsOkAndHolds(IsEmpty()));
  EXPECT_EQ(Shell(node().router->router_namespace(), "ip -o link; ip route; ip -6 route"), before);
}

TEST_F(RouterTest, AnAttachmentThatFailsLeavesNothing) {
  Attachment bad = {.task_id = "a"};
  // A gateway that is the address itself: the kernel refuses the route.
  bad.addresses.push_back({.address = Ip("10.0.1.5"),
                           .subnet = Prefix("10.0.1.0/24"),
                           .gateway = Ip("10.0.1.5"),
                           .way_out = true});
  bad.mac = MacAddress::Of(Ip("10.0.1.5"));
  EXPECT_THAT(node().attachments->Attach(bad),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("attach task a: route to")));
  EXPECT_THAT(node().attachments->ListAttached(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(Shell(node().router->router_namespace(), "ip link"),
              Not(HasSubstr(ContainerLinkName("a"))));
  EXPECT_THAT(node().attachments->Attach({.task_id = "../a"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no task's id")));
}

TEST_F(RouterTest, AnAttachmentMayComeBeforeTheUpdateThatBringsItsNetwork) {
  Apply();
  Network late = state_.networks.at("front");
  late.id = late.name = "late";
  late.vni = 4999;
  late.subnets = {{.prefix = Prefix("10.0.99.0/24"), .gateway = Ip("10.0.99.1")}};
  Put(&state_, late);
  Put(&state_, MakeTask("late", "web", "a", "n1", {"10.0.99.5"}));
  const Attachment attachment = PlanAttachment(state_, "a", {"late"}).value();
  EXPECT_THAT(node().attachments->Attach(attachment),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("route to 10.0.99.5")));
  ASSERT_OK(node().router->Expect({{"late", late}}));
  ASSERT_OK(node().attachments->Attach(attachment));
  const std::string there = Shell(node().router->router_namespace(), "ip -o address; ip route");
  Apply();
  ASSERT_OK(node().router->Expect({{"late", late}}));
  EXPECT_EQ(Shell(node().router->router_namespace(), "ip -o address; ip route"), there);
}

TEST_F(RouterTest, AContainerWithoutNetworksHasOnlyItsLoopback) {
  ASSERT_OK(node().attachments->Attach({.task_id = "a"}));
  node_of_task_["a"] = "n1";
  EXPECT_THAT(Shell(Space("a"), "ip -o link"), Not(HasSubstr("eth0")));
  const UniqueFd listener = Listen(Space("a"), 80).value();
  EXPECT_OK(Talk(Space("a"), Ip("127.0.0.1"), 80, listener));
  ASSERT_OK(node().attachments->Detach("a"));
}

TEST_F(RouterTest, ConnectionsOutliveTheAgent) {
  AddContainer("a", "web", node(), {"front"});
  AddContainer("client", "client", node(), {"front"});
  AddVip("web");
  Apply();
  const UniqueFd listener = Listen(Space("a"), 80).value();
  const UniqueFd client = Connect(Space("client"), Ip("10.0.1.100"), 80).value();
  const Accepted server = Accept(listener).value();
  const std::string routes = Shell(node().router->router_namespace(), "ip route; ip neighbour");

  OpenRouter(node());
  EXPECT_OK(Exchange(client, server.fd, 1000)) << "before the manager said anything";
  EXPECT_OK(Talk(Space("client"), Ip("10.0.1.100"), 80, listener));
  EXPECT_THAT(node().attachments->ListAttached(), IsOkAndHolds(ElementsAre("a", "client")));
  EXPECT_OK(node().router->Resync());
  Apply();
  EXPECT_EQ(Shell(node().router->router_namespace(), "ip route; ip neighbour"), routes);
  EXPECT_OK(Exchange(client, server.fd, 1000));
  EXPECT_OK(Talk(Space("client"), Ip("10.0.1.100"), 80, listener));
}

// Lines that are in one of them only.
std::vector<std::string> Unlike(const std::string& one, const std::string& other) {
  std::vector<std::string> lines[2] = {absl::StrSplit(one, '\n'), absl::StrSplit(other, '\n')};
  std::vector<std::string> unlike;
  for (auto& sorted : lines) std::sort(sorted.begin(), sorted.end());
  std::set_symmetric_difference(lines[0].begin(), lines[0].end(), lines[1].begin(), lines[1].end(),
                                std::back_inserter(unlike));
  return unlike;
}

// Another program has the port, or this kernel no WireGuard.
TEST_F(RouterTest, ATunnelThatCannotBeMadeFailsNothingElseAndIsSaid) {
  UseWireguard();
  AddNode(3);
  TestNode& broken = nodes_.at("n3");
  ASSERT_NE(broken.wireguard_private_key, "");
  UniqueFd taken;
  const absl::Status bound = broken.host->Run([&] {
    taken.Reset(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 any = {};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(51871);
    EXPECT_EQ(bind(taken.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
    return absl::OkStatus();
  });
  ASSERT_OK(bound);
  Network secret = MakeNetwork("secret", 4099, {"10.0.9.0/24"});
  secret.encrypted = true;
  AddNetwork(secret);
  EXPECT_OK(broken.router->Apply(StateOf(broken)));
  EXPECT_THAT(broken.router->Obstacles(),
              ::testing::Contains(HasSubstr("the tunnel of encrypted networks: ")));
  AddNetwork(MakeNetwork("later", 4100, {"10.0.8.0/24"}));
  EXPECT_OK(broken.router->Apply(StateOf(broken)));
  EXPECT_OK(broken.router->Resync());
  EXPECT_THAT(Shell(broken.router->router_namespace(), "ip -o link show vx4100"),
              HasSubstr("vx4100"));
}

TEST_F(RouterTest, WhatSomebodyFlushesIsRepaired) {
  Network ingress = MakeNetwork("ingress", 4096, {"10.0.0.0/24"});
  ingress.ingress = true;
  AddNetwork(ingress);
  AddContainer("a", "web", node(), {"front", "ingress"});
  AddContainer("client", "client", node(), {"front"});
  AddVip("web");
  Put(&state_, IngressPort{.published = 8080, .target = 80, .service_id = "web"});
  Apply();
  const UniqueFd listener = Listen(Space("a"), 80).value();
  const NetworkNamespace& router = node().router->router_namespace();
  const auto all = [&] {
    // Whatever the order, without what the kernel adds by itself, and without what `ip` says of
    // another's namespace that goes meanwhile.
    const char* const sorted =
        " 2>/dev/null | sed 's/^[0-9]*: //; s/@if[0-9]*//' | grep -v "
        "'fe80:\\|33:33:\\|01:00:5e\\|127.0.0.1\\|::1/128 scope "
        "host' | sort";
    return absl::StrCat(
        Shell(router,
              absl::StrCat("{ nft -s list ruleset; ip route; ip -6 route; ip neighbour; "
                           "ip rule; bridge fdb; ip -o address; ip -o link show type vxlan; }",
                           sorted)),
        Shell(*node().host,
              absl::StrCat("{ nft -s list ruleset; ip -o address; ip route; }", sorted)));
  };
  const std::string right = all();
  const auto works = [&] {
    EXPECT_OK(Talk(Space("client"), Ip("10.0.1.100"), 80, listener));
    EXPECT_OK(Talk(*node().host, Ip("192.0.2.1"), 8080, listener));
    EXPECT_THAT(Unlike(all(), right), IsEmpty());
  };
  works();
  for (const char* damage :
       {"nft flush ruleset", "nft flush chain inet swarm forward", "ip route flush table main",
        "ip link set uplink down", "ip neighbour flush nud permanent", "ip link delete uplink",
        "ip link delete vx4097", "ip address flush dev lo",
        "ip route add 10.0.1.6 dev uplink; ip route add 10.0.9.0/24 dev uplink"}) {
    SCOPED_TRACE(damage);
    Shell(router, damage);
    EXPECT_THAT(Unlike(all(), right), Not(IsEmpty()));
    ASSERT_OK(node().router->Resync());
    works();
  }
  for (const char* damage :
       {"nft flush ruleset", "nft delete element inet swarm ports4 { tcp . 8080 }",
        "ip link delete swarm0", "ip address flush dev swarm0",
        "echo 0 > /proc/sys/net/ipv4/ip_forward"}) {
    SCOPED_TRACE(damage);
    Shell(*node().host, damage);
    ASSERT_OK(node().router->Resync());
    works();
    EXPECT_EQ(Shell(*node().host, "cat /proc/sys/net/ipv4/ip_forward"), "1\n");
  }
  Shell(router, absl::StrCat("ip link delete ", ContainerLinkName("a")));
  ASSERT_OK(node().attachments->Resync());
  works();
}

TEST_F(RouterTest, ForeignTablesAndRoutesOfTheHostAreLeftAlone) {
  ASSERT_EQ(Shell(*node().host,
                  "nft add table ip other; nft 'add chain ip other c { type filter hook "
                  "forward priority 0; }'; ip route add 203.0.113.0/24 dev eth0"),
            "");
  AddContainer("a", "web", node(), {"front"});
  Apply();
  ASSERT_OK(node().router->Resync());
  EXPECT_THAT(Shell(*node().host, "nft list ruleset; ip route"),
              ::testing::AllOf(HasSubstr("table ip other"), HasSubstr("203.0.113.0/24")));
}

TEST_F(RouterTest, RemoveLeavesNothing) {
  const auto host_of = [&] {
    return Shell(*node().host,
                 "nft list ruleset; ip -o link | grep -v eth0@; ip route; ip -6 route");
  };
  ASSERT_OK(node().router->Remove());
  const std::string before = host_of();
  OpenRouter(node());
  AddContainer("a", "web", node(), {"front"});
  Put(&state_, HostPort{.published = 8080, .target = 80, .task_id = "a"});
  Apply();
  EXPECT_NE(host_of(), before);
  const std::string dir = node().router->netns_dir();
  ASSERT_OK(node().router->Remove());
  EXPECT_EQ(host_of(), before);
  EXPECT_NE(Shell(*node().host, absl::StrCat("test -e ", dir)), "");
  EXPECT_EQ(Shell(*node().host, absl::StrCat("grep -cF ", dir, " /proc/self/mountinfo")),
            "0\nexit 1");
  ASSERT_OK(node().router->Remove());
}

TEST_F(RouterTest, AVxlanThatAnotherProgramHasIsSaidInWords) {
  ASSERT_EQ(
      Shell(*node().host, "ip link add theirs type vxlan id 4097 dstport 4789 local 192.0.2.1"),
      "");
  EXPECT_THAT(
      node().router->Apply(StateOf(node())),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("VXLAN 4097 at port 4789 is taken")));
  ASSERT_EQ(Shell(*node().host, "ip link delete theirs"), "");
  EXPECT_OK(node().router->Apply(StateOf(node())));
}

TEST_F(RouterTest, TheHostsLinkOfAnotherProgramIsNotTaken) {
  RouterOptions options = OptionsOf(node());
  options.host_link = "eth0";
  EXPECT_THAT(Router::Open(options), StatusIs(absl::StatusCode::kFailedPrecondition,
                                              HasSubstr("eth0 of this host belongs to another")));
}

// What one call cost, wall clock and processor; the latter says the same on a busy machine.
struct Cost {
  double wall_ms = 0, cpu_ms = 0;
};
template <typename Run>
Cost CostOf(Run run) {
  const auto now = [](clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
  };
  const Cost before = {now(CLOCK_MONOTONIC), now(CLOCK_THREAD_CPUTIME_ID)};
  run();
  return {now(CLOCK_MONOTONIC) - before.wall_ms, now(CLOCK_THREAD_CPUTIME_ID) - before.cpu_ms};
}
// The middle one of each; says it, too.
Cost Median(const char* what, std::vector<Cost> costs) {
  Cost median;
  for (double Cost::*kind : {&Cost::wall_ms, &Cost::cpu_ms}) {
    std::sort(costs.begin(), costs.end(),
              [&](const Cost& a, const Cost& b) { return a.*kind < b.*kind; });
    median.*kind = costs[costs.size() / 2].*kind;
  }
  std::printf("%s: p50 %.2f ms, of it processor %.2f ms\n", what, median.wall_ms, median.cpu_ms);
  return median;
}

TEST_F(RouterTest, AThousandServicesChangeInMilliseconds) {
  AddNetwork(MakeNetwork("big", 4100, {"10.64.0.0/12"}));
  AddNode(2);
  for (int i = 0; i < 1000; ++i) {
    const std::string service = absl::StrCat("s", i);
    const IpAddress base = Ip("10.64.1.0").Plus(static_cast<uint64_t>(i));
    Put(&state_, NetworkService{.network_id = "big", .service_id = service, .vip4 = base});
    for (int t = 1; t <= 5; ++t) {
      Put(&state_, MakeTask("big", service, absl::StrCat("s", i, ".", t), "n2",
                            {base.Plus(static_cast<uint64_t>(t) << 12).ToString()}));
    }
  }
  NetworkState state = StateOf(node());
  Median("1,000 services, 5,000 tasks at once",
         {CostOf([&] { ASSERT_OK(node().router->Apply(state)); })});
  std::vector<Cost> changes;
  for (int i = 0; i < 50; ++i) {
    NetworkUpdate update;
    NetworkTask& task = state.tasks.at({"big", absl::StrCat("s", i * 20, ".1")});
    task.serving = false;
    Put(&update.put, task);
    changes.push_back(CostOf([&] { ASSERT_OK(node().router->Apply(update)); }));
  }
  EXPECT_LT(Median("one change among them", changes).cpu_ms, 50);
  Median("the whole state again, unchanged",
         {CostOf([&] { ASSERT_OK(node().router->Apply(state)); })});
  Median("resync", {CostOf([&] { ASSERT_OK(node().router->Resync()); })});
}

TEST_F(RouterTest, AttachingTakesMilliseconds) {
  Apply();
  std::vector<Cost> costs;
  for (int i = 0; i < 50; ++i) {
    const std::string id = absl::StrCat("t", i);
    Put(&state_, MakeTask("front", "web", id, "n1",
                          {Ip("10.0.1.5").Plus(static_cast<uint64_t>(i)).ToString(),
                           Ip("fd00:1::5").Plus(static_cast<uint64_t>(i)).ToString()}));
    const Attachment attachment = PlanAttachment(state_, id, {"front"}).value();
    costs.push_back(CostOf([&] { ASSERT_OK(node().attachments->Attach(attachment)); }));
  }
  EXPECT_LT(Median("attach, IPv4 and IPv6", costs).cpu_ms, 3);
  costs.clear();
  for (int i = 0; i < 50; ++i) {
    const std::string id = absl::StrCat("t", i);
    costs.push_back(CostOf([&] { ASSERT_OK(node().attachments->Detach(id)); }));
  }
  Median("detach", costs);
}

}  // namespace
}  // namespace swarm::agent
