// A router beside other programs' forward chains.
#include "absl/strings/str_cat.h"
#include "agent/network/router_test_world.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class FirewallTest : public RouterTestWorld {
 protected:
  FirewallTest() {
    AddNetwork(MakeNetwork("front", 4097, {"10.0.1.0/24", "fd00:1::/64"}));
    AddNode(1);
    outside_ = MakeHost("outside", 100);
  }
  TestNode& node() { return nodes_.at("n1"); }
  std::string Host(const std::string& command) { return Shell(*node().host, command); }

  // A task with the port 8080, and somebody outside.
  void Publish() {
    AddContainer("a", "web", node(), {"front"});
    Put(&state_, HostPort{.published = 8080, .target = 80, .task_id = "a"});
    Apply();
    inside_listener_ = Listen(Space("a"), 80).value();
    outside_listener_ = Listen(*outside_, 80).value();
  }
  void ExpectWaysInAndOut() {
    for (const char* const address : {"192.0.2.1", "2001:db8::1"}) {
      EXPECT_OK(Talk(*outside_, Ip(address), 8080, inside_listener_)) << address;
    }
    for (const char* const address : {"192.0.2.100", "2001:db8::100"}) {
      EXPECT_OK(Talk(Space("a"), Ip(address), 80, outside_listener_)) << address;
    }
  }

  std::unique_ptr<NetworkNamespace> outside_;
  UniqueFd inside_listener_, outside_listener_;
};

// "exit 124" when no answer comes.
constexpr char kTry[] = "timeout 1 bash -c '</dev/tcp/192.0.2.1/8080'";

constexpr char kLikeDocker[] = R"(nft -f - << END
table ip filter {
  chain DOCKER-USER { counter return; }
  chain DOCKER-FORWARD { oifname "docker0" drop; iifname "docker0" counter accept; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    counter jump DOCKER-FORWARD
  }
}
table ip6 filter {
  chain FORWARD { type filter hook forward priority filter; policy drop;
  }
}
END)";

TEST_F(FirewallTest, BesideDockerPortsAndTheWayOutWorkAndComeBackAfterAFlush) {
  ASSERT_EQ(Host(kLikeDocker), "");
  const std::string theirs = "nft -s list table ip filter; nft -s list table ip6 filter";
  const std::string before = Host(theirs);
  Publish();
  ExpectWaysInAndOut();
  EXPECT_THAT(node().router->Obstacles(), IsEmpty());
  EXPECT_NE(Host(theirs), before);
  // As Docker does when it starts: everything anew.
  ASSERT_EQ(Host("nft delete table ip filter; nft delete table ip6 filter"), "");
  ASSERT_EQ(Host(kLikeDocker), "");
  ASSERT_OK(node().router->Resync());
  ExpectWaysInAndOut();
  ASSERT_EQ(Host("nft flush chain ip filter FORWARD; nft flush chain ip6 filter FORWARD"), "");
  EXPECT_EQ(Shell(*outside_, kTry), "exit 124") << "nobody else lets it through";
  ASSERT_OK(node().router->Resync());
  ExpectWaysInAndOut();
  ASSERT_EQ(
      Host(absl::StrCat("nft delete table ip filter; nft delete table ip6 filter; ", kLikeDocker)),
      "");
  ASSERT_OK(node().router->Resync());
  ASSERT_OK(node().router->Remove());
  EXPECT_EQ(Host(theirs), before);
}

TEST_F(FirewallTest, WhatAnAdministratorForbidsStaysForbidden) {
  ASSERT_EQ(Host(kLikeDocker), "");
  ASSERT_EQ(Host("nft insert rule ip filter DOCKER-USER ip saddr 192.0.2.100 counter drop"), "");
  Publish();
  EXPECT_EQ(Shell(*outside_, kTry), "exit 124");
  EXPECT_OK(Talk(*outside_, Ip("2001:db8::1"), 8080, inside_listener_)) << "was not forbidden";
}

TEST_F(FirewallTest, BesideFirewalldTheWayOutWorks) {
  ASSERT_EQ(Host(R"(nft -f - << END
table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_FORWARD_POLICIES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_POLICIES { }
}
END)"),
            "");
  Publish();
  ExpectWaysInAndOut();
  ASSERT_OK(node().router->Remove());
  EXPECT_THAT(Host("nft list ruleset"), Not(HasSubstr("swarm")));
}

TEST_F(FirewallTest, AnAdministratorsOwnTableIsNamedOnceAndLeftAsItIs) {
  ASSERT_EQ(Host("nft 'table inet filter { chain forward { type filter hook forward priority 0; "
                 "policy drop; }; }'"),
            "");
  const std::string before = Host("nft list table inet filter");
  Publish();
  EXPECT_THAT(node().router->Obstacles(), ElementsAre(HasSubstr("table inet filter drops")));
  EXPECT_EQ(Host("nft list table inet filter"), before);
  // Whoever follows the advice is told nothing any more.
  ASSERT_EQ(Host("nft add rule inet filter forward iifname swarm0 accept; nft add rule inet filter "
                 "forward oifname swarm0 accept"),
            "");
  ASSERT_OK(node().router->Resync());
  EXPECT_THAT(node().router->Obstacles(), IsEmpty());
  ExpectWaysInAndOut();
}

TEST_F(FirewallTest, IptablesFromBeforeNftablesAreNamedWhenTheyDrop) {
  if (!Host("iptables-legacy -P FORWARD DROP").empty()) {
    GTEST_SKIP() << "there is no iptables-legacy here, or the kernel does not have it";
  }
  Publish();
  EXPECT_THAT(node().router->Obstacles(),
              ElementsAre(HasSubstr("iptables-legacy -A FORWARD -i swarm0 -j ACCEPT")));
  ASSERT_EQ(Host("iptables-legacy -A FORWARD -i swarm0 -j ACCEPT; iptables-legacy -A FORWARD -o "
                 "swarm0 -j ACCEPT"),
            "");
  ASSERT_OK(node().router->Resync());
  EXPECT_THAT(node().router->Obstacles(), IsEmpty());
  ExpectWaysInAndOut();
}

}  // namespace
}  // namespace swarm::agent
