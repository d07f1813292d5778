// `network doctor` against a fake manager.
#include "cli/fake_daemons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class NetworkDoctorTest : public ::testing::Test {
 protected:
  NetworkDoctorTest() {
    cluster_.AddNetwork("front");
    for (const char* name : {"n1", "n2", "n3"}) {
      v1::Node node;
      node.set_id(StrCat(name, "-id"));
      node.mutable_description()->set_hostname(name);
      cluster_.nodes.push_back(node);
    }
  }
  v1::NetworkFinding& Add(const std::string& node, v1::NetworkFinding::Check check,
                          v1::NetworkFinding::Severity severity, const std::string& message) {
    v1::NetworkFinding& finding = cluster_.findings.emplace_back();
    finding.set_node_id(StrCat(node, "-id"));
    finding.set_check(check);
    finding.set_severity(severity);
    finding.set_message(message);
    return finding;
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

TEST_F(NetworkDoctorTest, WhenAllIsWellOneLineSaysSo) {
  Add("n1", v1::NetworkFinding::CHECK_NODE, v1::NetworkFinding::SEVERITY_OK, "it is fine");
  Add("n2", v1::NetworkFinding::CHECK_NODE, v1::NetworkFinding::SEVERITY_OK, "it is fine");
  EXPECT_EQ(world_.Run({"network", "doctor"}), 0);
  EXPECT_EQ(console_.out, "2 checks on 2 nodes, 0 broken\n");
  EXPECT_EQ(world_.Run({"network", "doctor", "--verbose"}), 0);
  EXPECT_EQ(console_.out,
            "STATE   CHECK   FROM     NETWORK   FOUND\n"
            "OK      node    n1, n2             it is fine\n"
            "2 checks on 2 nodes, 0 broken\n");
}

TEST_F(NetworkDoctorTest, TheWorstComesFirstAndTheSameWordsOfSeveralNodesAreOneRow) {
  Add("n1", v1::NetworkFinding::CHECK_KERNEL_STATE, v1::NetworkFinding::SEVERITY_WARNING, "drops");
  for (const char* node : {"n2", "n1"}) {
    Add(node, v1::NetworkFinding::CHECK_OVERLAY, v1::NetworkFinding::SEVERITY_BROKEN,
        "web.2 on n3 does not answer")
        .set_network_id("front-id");
  }
  EXPECT_EQ(world_.Run({"network", "doctor"}), 1);
  EXPECT_EQ(console_.out,
            "STATE     CHECK          FROM     NETWORK   FOUND\n"
            "BROKEN    overlay        n1, n2   front     web.2 on n3 does not answer\n"
            "WARNING   kernel state   n1                 drops\n"
            "3 checks on 2 nodes, 2 broken, 1 warning\n");
  EXPECT_EQ(console_.err, "error: 2 checks of networks found something broken\n");
}

TEST_F(NetworkDoctorTest, AWarningIsNoFailure) {
  Add("n1", v1::NetworkFinding::CHECK_NODE, v1::NetworkFinding::SEVERITY_WARNING, "may break");
  Add("n1", v1::NetworkFinding::CHECK_KERNEL_STATE, v1::NetworkFinding::SEVERITY_OK, "it is fine");
  EXPECT_EQ(world_.Run({"network", "doctor"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("0 broken, 1 warning\n"));
}

TEST_F(NetworkDoctorTest, NodesThatWereNotLookedAtAreAFailureAndCounted) {
  Add("n1", v1::NetworkFinding::CHECK_NODE, v1::NetworkFinding::SEVERITY_OK, "it is fine");
  Add("n2", v1::NetworkFinding::CHECK_NODE, v1::NetworkFinding::SEVERITY_WARNING, "try again");
  EXPECT_EQ(world_.Run({"network", "doctor"}), 1);
  EXPECT_THAT(console_.out, HasSubstr("on 2 nodes, 0 broken, 1 warning, 1 node not looked at\n"));
  EXPECT_EQ(console_.err, "error: 1 node was not looked at\n");
  Add("n3", v1::NetworkFinding::CHECK_NODE, v1::NetworkFinding::SEVERITY_BROKEN, "is down");
  EXPECT_EQ(world_.Run({"network", "doctor", "--format", "json"}), 1);
  EXPECT_EQ(console_.err,
            "error: 1 check of networks found something broken; 2 nodes were not looked at\n");
  cluster_.findings.clear();
  EXPECT_EQ(world_.Run({"network", "doctor"}), 1);
  EXPECT_EQ(console_.err, "error: no node looked at its networks\n");
}

TEST_F(NetworkDoctorTest, ProgramsGetAnObjectForEachRowAndNoSummary) {
  v1::NetworkFinding& finding = Add("n1", v1::NetworkFinding::CHECK_OVERLAY,
                                    v1::NetworkFinding::SEVERITY_BROKEN, "web.2 is lost");
  finding.set_peer_node_id("n3-id");
  finding.mutable_round_trip()->set_nanos(2'500'000);
  EXPECT_EQ(world_.Run({"network", "doctor", "--format", "json"}), 1);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("\"State\":\"BROKEN\""), HasSubstr("\"Peer\":\"n3\""),
                                  HasSubstr("\"Message\":\"web.2 is lost\""),
                                  HasSubstr("\"RoundTrip\":\"2.5ms\""), Not(HasSubstr("checks"))));
}

TEST_F(NetworkDoctorTest, ArgumentsAndFlagsReachTheirFields) {
  Add("n1", v1::NetworkFinding::CHECK_NODE, v1::NetworkFinding::SEVERITY_OK, "it is fine");
  EXPECT_EQ(world_.Run(
                {"network", "doctor", "front", "--node", "n1", "--node=n2", "--timeout", "6500ms"}),
            0);
  const v1::DiagnoseNetworksRequest& request = cluster_.diagnose_request;
  EXPECT_THAT(request.network_refs(), ElementsAre("front"));
  EXPECT_THAT(request.node_refs(), ElementsAre("n1", "n2"));
  EXPECT_EQ(request.timeout().seconds(), 6);
  EXPECT_EQ(request.timeout().nanos(), 500'000'000);
  for (const char* bad : {"0s", "5s", "61s", "soon"}) {
    EXPECT_EQ(world_.Run({"network", "doctor", "--timeout", bad}), 2) << bad;
    EXPECT_THAT(console_.err, HasSubstr("--timeout"));
    EXPECT_THAT(console_.out, IsEmpty());
  }
}

TEST_F(NetworkDoctorTest, HelpShowsALineToType) {
  EXPECT_EQ(world_.Run({"network", "doctor", "--help"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Example:  swarmctl network doctor front --node"));
}

}  // namespace
}  // namespace swarm::cli
