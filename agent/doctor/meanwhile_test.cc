#include "agent/doctor/meanwhile.h"

#include "agent/doctor/doctor_test_world.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Severity = Finding::Severity;

class MeanwhileTest : public ::testing::Test, public DoctorTestWorld {
 protected:
  // `state` is how it is now.
  bool Touches(const Finding& finding) { return Meanwhile(before_, state).Touches(finding); }

  const NetworkState before_ = state;
  const Finding overlay_{.check = Check::kOverlay,
                         .severity = Severity::kBroken,
                         .network_id = "front-id",
                         .peer_node_id = "there",
                         .task_id = "web.2-id"};
  const Finding peer_{
      .check = Check::kPeer, .severity = Severity::kBroken, .peer_node_id = "there"};
};

TEST_F(MeanwhileTest, WhatIsAsItWasOrIsAboutOthersIsNotTouched) {
  EXPECT_FALSE(Touches(overlay_));
  EXPECT_FALSE(Touches(peer_));
  AddTask("front", "db.1", "db", "elsewhere", "10.0.1.30");
  AddPeer("front", "elsewhere", "192.168.1.9");
  EXPECT_FALSE(Touches(overlay_));
  EXPECT_FALSE(Touches(peer_));
}

TEST_F(MeanwhileTest, TasksOfThePlaceServicesAndNetworksThatChangedAre) {
  state.tasks.at({"front-id", "web.3-id"}).serving = false;
  EXPECT_TRUE(Touches(overlay_)) << "another task of the same node";
  EXPECT_TRUE(
      Touches({.check = Check::kResolver, .severity = Severity::kBroken, .service_id = "web-id"}));
  EXPECT_FALSE(Touches({.check = Check::kResolver, .service_id = "web-id"})) << "that is OK";
  state = before_;
  state.networks.erase("front-id");
  EXPECT_TRUE(Touches({.severity = Severity::kBroken, .network_id = "front-id"}));
}

// A node that was removed during the look is not one that does not answer.
TEST_F(MeanwhileTest, ANodeThatWentOrMovedIsNotReported) {
  AddPeer("ingress", "there", "192.168.1.3");
  EXPECT_FALSE(Touches(peer_)) << "it is where it was, in one more network";
  state = before_;
  AddPeer("front", "there", "192.168.1.4");
  EXPECT_TRUE(Touches(peer_));
  state.peers.clear();
  EXPECT_TRUE(Touches(peer_));
  EXPECT_TRUE(Touches(overlay_));
}

}  // namespace
}  // namespace swarm::agent
