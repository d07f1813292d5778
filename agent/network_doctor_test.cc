#include "agent/network_doctor.h"

#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"

namespace swarm::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<Finding> Findings(size_t broken, size_t ok) {
  std::vector<Finding> findings(ok);
  findings.resize(ok + broken, Finding{.severity = Finding::Severity::kBroken});
  return findings;
}

TEST(NetworkDoctorTest, OfTooManyFindingsThoseThatAreWellGoFirstAndTheLastOneSaysSo) {
  EXPECT_THAT(Shortened(Findings(2, 3), 5), SizeIs(5));
  std::vector<Finding> few = Shortened(Findings(2, 3), 4);
  ASSERT_THAT(few, SizeIs(4));
  EXPECT_EQ(few[0].severity, Finding::Severity::kBroken);
  EXPECT_EQ(few[1].severity, Finding::Severity::kBroken);
  EXPECT_EQ(few[3].severity, Finding::Severity::kOk);
  EXPECT_EQ(few[3].message, "2 more findings of this node are not shown");
  // Broken ones that are left out are not told as well.
  EXPECT_EQ(Shortened(Findings(4, 0), 3).back().severity, Finding::Severity::kBroken);
}

TEST(NetworkDoctorTest, AFindingKeepsItsMeaningOnTheWire) {
  const v1::NetworkFinding proto = FindingToProto({.check = Finding::Check::kPublishedPort,
                                                   .severity = Finding::Severity::kWarning,
                                                   .network_id = "n",
                                                   .peer_node_id = "p",
                                                   .service_id = "s",
                                                   .task_id = "t",
                                                   .message = "m",
                                                   .round_trip = absl::Milliseconds(2)});
  EXPECT_EQ(proto.ShortDebugString(),
            "check: CHECK_PUBLISHED_PORT severity: SEVERITY_WARNING network_id: \"n\" "
            "peer_node_id: \"p\" service_id: \"s\" task_id: \"t\" message: \"m\" "
            "round_trip { nanos: 2000000 }");
}

TEST(NetworkDoctorTest, BeforeTheManagerSaidWhatThereIsThatIsTheAnswer) {
  testing::SimLoop loop;
  const auto random = MakeSeededRandom(1);
  const auto pool = MakeInlinePool();
  const Env env{loop, loop, *random, *pool};
  NodeNetworks networks(env, {.netns_dir = "/nowhere"});
  std::vector<v1::NetworkDiagnosis> sent;
  NetworkDoctor doctor(env, networks, [&](v1::NetworkDiagnosis piece) { sent.push_back(piece); });
  v1::DiagnoseNetworks request;
  request.set_diagnosis_id("one");
  loop.Post([&] { doctor.Diagnose(request); });
  loop.RunUntilIdle();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].diagnosis_id(), "one");
  EXPECT_TRUE(sent[0].last());
  ASSERT_EQ(sent[0].findings_size(), 1);
  EXPECT_THAT(sent[0].findings(0).message(), HasSubstr("has not said yet what networks"));
}

}  // namespace
}  // namespace swarm::agent
