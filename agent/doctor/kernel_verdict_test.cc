#include "agent/doctor/kernel_verdict.h"

#include "agent/doctor/doctor_test_world.h"
#include "agent/network/tunnel_state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using Severity = Finding::Severity;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(KernelVerdictTest, WhatDoesNotDifferIsOk) {
  const DoctorTestWorld world;
  EXPECT_EQ(JudgeKernel(world.state, {}).severity, Severity::kOk);
}

TEST(KernelVerdictTest, WhatIsMissingIsNamedWithTheTaskThatItLeadsTo) {
  const DoctorTestWorld world;
  RouterComparison comparison;
  const RouteKey key{.destination = {Ip("10.0.1.6"), 32}};
  comparison.router.put.routes[key] = {.link = "vx4097"};
  comparison.router.put.neighbours[{"vx4097", Ip("192.168.1.3")}] = {};
  Finding finding = JudgeKernel(world.state, comparison);
  EXPECT_EQ(finding.severity, Severity::kBroken);
  EXPECT_EQ(finding.message,
            "in the router the route to 10.0.1.6 (web.2), the hardware address of 192.168.1.3 are "
            "missing or wrong; put right within 10 s");
  comparison = {};
  comparison.bad_router_links = {"vx4097"};
  comparison.host_table_changed = true;
  comparison.forward4_off = true;
  finding = JudgeKernel(world.state, comparison);
  EXPECT_EQ(finding.message,
            "in the router link vx4097 is missing or down; somebody changed the nftables table "
            "inet swarm of the host; the host does not forward IPv4 (ip_forward is 0); put right "
            "within 10 s");
}

TEST(KernelVerdictTest, WhatIsThereAndShouldNotBeIsAWarning) {
  const DoctorTestWorld world;
  RouterComparison comparison;
  comparison.router.remove.routes[{.destination = {Ip("10.9.0.0"), 16}}] = {};
  const Finding finding = JudgeKernel(world.state, comparison);
  EXPECT_EQ(finding.severity, Severity::kWarning);
  EXPECT_THAT(finding.message, HasSubstr("the route to 10.9.0.0/16 is there and should not be"));
}

TEST(KernelVerdictTest, TheTunnelIsComparedTooAndNamesItsPeersByWhereTheyAre) {
  const DoctorTestWorld world;
  RouterComparison comparison;
  comparison.bad_tunnel_link = true;
  comparison.bad_tunnel_peers = {InnerAddress("there")};
  Finding finding = JudgeKernel(world.state, comparison);
  EXPECT_EQ(finding.severity, Severity::kBroken);
  EXPECT_EQ(finding.message,
            "in WireGuard's tunnel this node's link, the peer at 192.168.1.3 are missing or wrong; "
            "put right within 10 s");
  comparison = {};
  comparison.extra_tunnel_peers = {InnerAddress("nobody")};
  finding = JudgeKernel(world.state, comparison);
  EXPECT_EQ(finding.severity, Severity::kWarning);
  EXPECT_THAT(finding.message, HasSubstr("is there and should not be"));
}

TEST(KernelVerdictTest, RulesForWhatATaskSendsAreNamedAndOnlyAFewOfManyThingsAre) {
  const DoctorTestWorld world;
  RouterComparison comparison;
  comparison.router.put.source_rules.insert({Ip("10.0.1.5"), 100});
  EXPECT_THAT(JudgeKernel(world.state, comparison).message,
              HasSubstr("the rule for what 10.0.1.5 (web.1) sends is missing or wrong"));
  for (uint32_t mark = 0; mark < 50; ++mark) comparison.host.put.rules.insert({.mark = mark});
  EXPECT_THAT(JudgeKernel(world.state, comparison).message,
              HasSubstr("in the host the rule for mark 0, the rule for mark 1, the rule for mark 2 "
                        "and 47 more are missing or wrong"));
}

TEST(KernelVerdictTest, WhatIsInTheWayInTheHostIsAWarningEach) {
  const std::vector<Finding> findings = JudgeObstacles({"chain a drops", "chain b drops"});
  ASSERT_THAT(findings, SizeIs(2));
  EXPECT_EQ(findings[0].severity, Severity::kWarning);
  EXPECT_EQ(findings[1].message, "chain b drops");
  EXPECT_THAT(JudgeObstacles({}), IsEmpty());
}

}  // namespace
}  // namespace swarm::agent
