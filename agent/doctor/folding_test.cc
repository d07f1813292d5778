#include "agent/doctor/folding.h"

#include "absl/strings/str_cat.h"
#include "agent/doctor/doctor_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Severity = Finding::Severity;
using ::testing::ElementsAre;

std::vector<std::string> Messages(const std::vector<Finding>& findings) {
  std::vector<std::string> messages;
  for (const Finding& finding : findings) messages.push_back(finding.message);
  return messages;
}

TEST(FoldingTest, WhatIsWellIsOneFindingForEachCheckAndNetwork) {
  const DoctorTestWorld world;
  std::vector<Finding> findings;
  for (int i = 0; i < 300; ++i) {
    const std::string node = absl::StrCat("n", i);
    const absl::Duration round_trip = absl::Milliseconds(1 + i % 7);
    findings.push_back({.check = Check::kPeer, .peer_node_id = node, .round_trip = round_trip});
    findings.push_back({.check = Check::kOverlay,
                        .network_id = "front-id",
                        .peer_node_id = node,
                        .tasks = 2,
                        .round_trip = round_trip});
    findings.push_back({.check = Check::kVirtualAddress, .network_id = "front-id"});
    findings.push_back({.check = Check::kPublishedPort, .service_id = node});
  }
  findings.push_back({.check = Check::kOverlay, .network_id = "ingress-id", .message = "alone"});
  const std::vector<Finding> folded = Folded(std::move(findings), world.state);
  EXPECT_THAT(Messages(folded), ElementsAre("300 nodes answer at their addresses",
                                            "600 tasks on 300 nodes answer through network front",
                                            "300 virtual addresses in network front answer",
                                            "300 published ports take connections", "alone"));
  EXPECT_EQ(folded[1].network_id, "front-id");
  EXPECT_EQ(folded[1].round_trip, absl::Milliseconds(7));
}

TEST(FoldingTest, WhatIsWrongStaysAsItIsAndIsNotCounted) {
  const DoctorTestWorld world;
  const std::vector<Finding> folded =
      Folded({{.check = Check::kPeer, .severity = Severity::kBroken, .message = "a"},
              {.check = Check::kPeer, .peer_node_id = "one", .message = "one"},
              {.check = Check::kPeer, .severity = Severity::kBroken, .message = "b"}},
             world.state);
  EXPECT_THAT(Messages(folded), ElementsAre("a", "one", "b"));
}

}  // namespace
}  // namespace swarm::agent
