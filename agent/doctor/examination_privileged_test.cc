// Two nodes with routers and containers of their own: what is found when all is well, and when one
// thing after the other is broken.
#include "agent/doctor/examination.h"

#include <atomic>
#include <optional>

#include "absl/strings/str_cat.h"
#include "agent/doctor/connection_probe.h"
#include "agent/network/router_test_world.h"
#include "common/clock.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Severity = Finding::Severity;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ExaminationTest : public RouterTestWorld {
 protected:
  ExaminationTest() {
    AddNetwork(MakeNetwork("front", 4097, {"10.0.1.0/24", "fd00:1::/64"}));
    AddNode(1);
    AddNode(2);
    AddContainer("a", "web", one(), {"front"});
    AddContainer("b", "web", two(), {"front"});
    Put(&state_, NetworkService{.network_id = "front",
                                .service_id = "web",
                                .name = "web",
                                .vip4 = Ip("10.0.1.100"),
                                .vip6 = Ip("fd00:1::100")});
    Apply();
  }
  TestNode& one() { return nodes_.at("n1"); }
  TestNode& two() { return nodes_.at("n2"); }

  // What the first node finds, but of names: there is no resolver here.
  std::vector<Finding> Look() {
    ExaminationPlace place{.state = StateOf(one()),
                           .underlay = Ip(one().underlay),
                           .netns_dir = OptionsOf(one()).netns_dir};
    std::vector<Finding> findings;
    EXPECT_OK(one().host->Run([&] {
      findings = Examine(place, one().router.get(), absl::OkStatus(), env_);
      return absl::OkStatus();
    }));
    std::erase_if(findings, [](const Finding& f) { return f.check == Check::kResolver; });
    return findings;
  }
  static std::vector<std::string> Bad(const std::vector<Finding>& findings, Severity severity,
                                      std::optional<Check> check = std::nullopt) {
    std::vector<std::string> messages;
    for (const Finding& finding : findings) {
      const bool fits = !check || finding.check == *check;
      if (fits && finding.severity == severity) messages.push_back(finding.message);
    }
    return messages;
  }

  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<Random> random_ = MakeSystemRandom();
  std::atomic<bool> cancelled_ = false;
  const ProbeEnv env_{*clock_, *random_, cancelled_};
};

TEST_F(ExaminationTest, WhenAllIsWellEveryCheckSaysSo) {
  std::vector<Finding> findings = Look();
  // Links that were made a moment ago may drop their first packets.
  for (int i = 0; i < 3 && !Bad(findings, Severity::kWarning).empty(); ++i) findings = Look();
  EXPECT_THAT(Bad(findings, Severity::kBroken), IsEmpty());
  EXPECT_THAT(Bad(findings, Severity::kWarning), IsEmpty());
  std::set<Check> checks;
  for (const Finding& finding : findings) checks.insert(finding.check);
  EXPECT_THAT(checks, ElementsAre(Check::kNode, Check::kKernelState, Check::kPeer, Check::kOverlay,
                                  Check::kVirtualAddress));
}

TEST_F(ExaminationTest, VxlanThatIsDroppedIsToldFromANodeThatIsGone) {
  const char* drop =
      "nft 'add table ip t; add chain ip t i { type filter hook input priority 0; }; "
      "add rule ip t i udp dport 4789 drop'";
  ASSERT_EQ(Shell(*two().host, drop), "");
  EXPECT_THAT(Bad(Look(), Severity::kBroken),
              Contains(AllOf(HasSubstr("web.1 (10.0.1."), HasSubstr("on n2"),
                             HasSubstr("through network front"), HasSubstr("UDP 4789"))));
  ASSERT_EQ(Shell(*two().host, "nft 'flush chain ip t i; add rule ip t i drop'"), "");
  EXPECT_THAT(Bad(Look(), Severity::kBroken),
              Contains(HasSubstr("n2 does not answer at its address 192.0.2.2")));
}

TEST_F(ExaminationTest, AMissingRouteIsNamedAndIsNotRepaired) {
  const std::string address = Task("front", "b").v4.ToString();
  ASSERT_EQ(Shell(one().router->router_namespace(), absl::StrCat("ip route del ", address)), "");
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Bad(Look(), Severity::kBroken, Check::kKernelState),
                Contains(AllOf(HasSubstr(absl::StrCat("the route to ", address, " (web.1)")),
                               HasSubstr("missing or wrong"))));
  }
  ASSERT_OK(one().router->Resync());
  EXPECT_THAT(Bad(Look(), Severity::kBroken, Check::kKernelState), IsEmpty());
}

TEST_F(ExaminationTest, RulesThatSomebodyChangedAreSeenInRouterAndHost) {
  ASSERT_EQ(Shell(one().router->router_namespace(), "nft add chain inet swarm strange"), "");
  ASSERT_EQ(Shell(*one().host, "nft flush chain inet swarm own"), "");
  EXPECT_THAT(Bad(Look(), Severity::kBroken, Check::kKernelState),
              ElementsAre(AllOf(HasSubstr("the router's nftables rules"),
                                HasSubstr("table inet swarm of the host"))));
}

TEST_F(ExaminationTest, AForwardChainOfAnAdministratorThatDropsIsAWarningUnlessItLetsUsPass) {
  ASSERT_EQ(Shell(*one().host,
                  "nft 'table inet filter { chain forward { type filter hook forward priority 0; "
                  "policy drop; }; }'"),
            "");
  ASSERT_OK(one().router->Resync());
  EXPECT_THAT(Bad(Look(), Severity::kWarning, Check::kKernelState),
              ElementsAre(HasSubstr("nftables table inet filter drops")));
  ASSERT_EQ(Shell(*one().host,
                  "nft add rule inet filter forward iifname swarm0 accept; "
                  "nft add rule inet filter forward oifname swarm0 accept"),
            "");
  ASSERT_OK(one().router->Resync());
  EXPECT_THAT(Bad(Look(), Severity::kWarning, Check::kKernelState), IsEmpty());
}

TEST_F(ExaminationTest, AContainerWhoseLinkIsDownIsFoundFromTheOtherNode) {
  ASSERT_EQ(Shell(Space("b"), "ip link set eth0 down"), "");
  EXPECT_THAT(Bad(Look(), Severity::kBroken), Contains(HasSubstr("do not answer through")));
}

TEST_F(ExaminationTest, ConnectionsAreTakenRefusedOrUnanswered) {
  std::vector<ConnectionResult> results;
  ASSERT_EQ(Shell(*one().host,
                  "nft 'add table ip t; add chain ip t i { type filter hook input priority 0; }; "
                  "add rule ip t i tcp dport 82 drop'"),
            "");
  const UniqueFd listener = Listen(*one().host, 80).value();
  ASSERT_OK(one().host->Run([&] {
    results = TryConnections(
        {{Ip("192.0.2.1"), 80, 2}, {Ip("192.0.2.1"), 81, 1}, {Ip("192.0.2.1"), 82, 1}},
        {.patience = absl::Milliseconds(300)}, env_);
    return absl::OkStatus();
  }));
  ASSERT_THAT(results, SizeIs(3));
  EXPECT_EQ(results[0].connected, 2);
  EXPECT_EQ(results[1].refused, 1);
  EXPECT_EQ(results[2].unanswered, 1);
}

// As many as a node of a large cluster sends: none may be lost in the node itself.
TEST_F(ExaminationTest, ThousandsOfEchoesAtOnceAreAllHeardOf) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    const std::vector<EchoProbe> probes(2'000, {.from = Ip(address), .to = Ip(address)});
    std::vector<EchoResult> results;
    ASSERT_OK(one().host->Run([&] {
      results = RunEchoes(probes, {}, env_);
      return absl::OkStatus();
    }));
    int sent = 0, received = 0;
    for (const EchoResult& result : results) {
      EXPECT_OK(result.status);
      sent += result.sent;
      received += result.received;
    }
    EXPECT_EQ(sent, 6'000) << address;
    EXPECT_EQ(received, 6'000) << address;
  }
}

// Without that it would take an hour.
TEST_F(ExaminationTest, ARoundThatIsCancelledDoesNotWaitForAnswers) {
  ASSERT_EQ(Shell(Space("b"), "ip link set eth0 down"), "");
  cancelled_ = true;
  const EchoProbe probe{.space = absl::StrCat(OptionsOf(one()).netns_dir, "/a"),
                        .from = Task("front", "a").v4,
                        .to = Task("front", "b").v4};
  const auto results = RunEchoes({probe}, {.patience = absl::Hours(1)}, env_);
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].received, 0);
}

}  // namespace
}  // namespace swarm::agent
