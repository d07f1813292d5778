#include "manager/api/diagnosis_broker.h"

#include <map>

#include "common/strings.h"
#include "tests/support/api_world.h"
#include "tests/support/silent_dispatcher.h"

namespace swarm::manager {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StatusIs;

// Sessions of nodes: who is there, and what they were asked.
class FakeDispatcher : public SilentDispatcher {
 public:
  bool SendToNode(Id node, v1::ManagerMessage message) override {
    if (!fences.contains(node)) return false;
    asked.emplace_back(node, message.diagnose());
    return true;
  }
  void SetDiagnosisHandler(DiagnosisHandler handler) override { on_diagnosis = std::move(handler); }

  std::vector<std::pair<Id, v1::DiagnoseNetworks>> asked;
  DiagnosisHandler on_diagnosis;
};

class DiagnosisBrokerTest : public ::testing::Test, public ApiWorld {
 protected:
  DiagnosisBrokerTest() {
    broker.Start();
    one = AddNode("n1", v1::NodeStatus::STATE_READY);
    two = AddNode("n2", v1::NodeStatus::STATE_READY);
    dispatcher.fences = {{one, 1}, {two, 1}};
  }

  absl::StatusOr<DiagnosisBroker::DiagnosisId> Diagnose(const v1::DiagnoseNetworksRequest& q = {}) {
    auto id = broker.Diagnose(q, sink);
    loop.RunUntilIdle();
    return id;
  }
  v1::NetworkFinding Finding(const std::string& message, v1::NetworkFinding::Severity severity =
                                                             v1::NetworkFinding::SEVERITY_BROKEN) {
    v1::NetworkFinding finding;
    finding.set_check(v1::NetworkFinding::CHECK_OVERLAY);
    finding.set_severity(severity);
    finding.set_message(message);
    return finding;
  }
  void Answer(Id node, const std::vector<v1::NetworkFinding>& findings, bool last = true) {
    v1::NetworkDiagnosis answer;
    answer.set_diagnosis_id(dispatcher.asked.back().second.diagnosis_id());
    for (const auto& finding : findings) *answer.add_findings() = finding;
    answer.set_last(last);
    dispatcher.on_diagnosis(node, std::move(answer));
    loop.RunUntilIdle();
  }

  FakeDispatcher dispatcher;
  DiagnosisBroker broker{env, *store, dispatcher};
  FakeSink<v1::NetworkFinding> sink;
  Id one, two;
};

TEST_F(DiagnosisBrokerTest, AsksEveryReadyNodeAndEndsWhenAllHaveAnswered) {
  ASSERT_OK(Diagnose());
  ASSERT_THAT(dispatcher.asked, SizeIs(2));
  EXPECT_EQ(dispatcher.asked[0].second.diagnosis_id(), dispatcher.asked[1].second.diagnosis_id());
  Answer(one, {Finding("a")}, /*last=*/false);
  Answer(one, {Finding("b")});
  ASSERT_THAT(sink.messages, SizeIs(2)) << "before the others answer";
  EXPECT_FALSE(sink.closed.has_value());
  EXPECT_EQ(sink.messages[0].message(), "a");
  EXPECT_EQ(sink.messages[0].node_id(), one.ToString());
  Answer(two, {});
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_OK(*sink.closed);
  EXPECT_EQ(broker.diagnoses(), 0u);
}

TEST_F(DiagnosisBrokerTest, NodesThatAreNotReadyAreFindings) {
  const Id down = AddNode("n3", v1::NodeStatus::STATE_DOWN);
  AddNode("n4", v1::NodeStatus::STATE_UNKNOWN);
  dispatcher.fences = {{one, 1}};
  ASSERT_OK(Diagnose());
  Answer(one, {});
  ASSERT_TRUE(sink.closed.has_value());
  ASSERT_THAT(sink.messages, SizeIs(3));
  std::map<std::string, v1::NetworkFinding> by_message;
  for (const auto& finding : sink.messages) by_message[finding.message()] = finding;
  EXPECT_EQ(by_message["n3 is down"].severity(), v1::NetworkFinding::SEVERITY_BROKEN);
  EXPECT_EQ(by_message["n3 is down"].node_id(), down.ToString());
  EXPECT_EQ(by_message["n2 is ready but cannot be asked just now: it has no session with the "
                       "manager, or does not read what it is sent"]
                .severity(),
            v1::NetworkFinding::SEVERITY_BROKEN);
  EXPECT_EQ(by_message["n4 has not been heard of since the manager started"].severity(),
            v1::NetworkFinding::SEVERITY_WARNING);
}

TEST_F(DiagnosisBrokerTest, ANodeThatIsSilentIsAFindingAtTheTimeout) {
  v1::DiagnoseNetworksRequest request;
  request.mutable_timeout()->set_seconds(6);
  ASSERT_OK(Diagnose(request));
  Answer(one, {});
  loop.Advance(absl::Seconds(5));
  EXPECT_FALSE(sink.closed.has_value());
  loop.Advance(absl::Seconds(2));
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_THAT(sink.messages[0].message(), HasSubstr("n2 did not answer within 6s"));
  EXPECT_TRUE(sink.closed.has_value());
  Answer(two, {Finding("too late")});
  EXPECT_THAT(sink.messages, SizeIs(1));
}

TEST_F(DiagnosisBrokerTest, AsksOnlyTheNodesAndForTheNetworksThatWereNamed) {
  Network network;
  const Id id = Id::Make(*random);
  network.set_id(id.ToString());
  network.mutable_spec()->set_name("front");
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(std::move(network)); }));
  v1::DiagnoseNetworksRequest request;
  request.add_network_refs("front");
  request.add_node_refs("n2");
  request.add_node_refs(two.ToString());
  ASSERT_OK(Diagnose(request));
  ASSERT_THAT(dispatcher.asked, SizeIs(1));
  EXPECT_EQ(dispatcher.asked[0].first, two);
  EXPECT_THAT(dispatcher.asked[0].second.network_ids(), ::testing::ElementsAre(id.ToString()));
}

TEST_F(DiagnosisBrokerTest, BadRequestsSayTheFieldAndAskNobody) {
  v1::DiagnoseNetworksRequest no_network;
  no_network.add_network_refs("nowhere");
  EXPECT_THAT(Diagnose(no_network), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(std::string(Diagnose(no_network).status().message()),
              AllOf(HasSubstr("network_refs[0]"), HasSubstr("nowhere")));
  v1::DiagnoseNetworksRequest no_node;
  no_node.add_node_refs("nobody");
  EXPECT_THAT(std::string(Diagnose(no_node).status().message()), HasSubstr("node_refs[0]"));
  for (const int64_t seconds : {int64_t{0}, int64_t{5}, int64_t{61}, int64_t{-5}}) {
    v1::DiagnoseNetworksRequest timeout;
    timeout.mutable_timeout()->set_seconds(seconds);
    EXPECT_THAT(Diagnose(timeout), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(dispatcher.asked, IsEmpty());
  EXPECT_EQ(broker.diagnoses(), 0u);
}

TEST_F(DiagnosisBrokerTest, NamesNodesInMessagesAndTrustsNothingElse) {
  ASSERT_OK(Diagnose());
  v1::NetworkFinding finding = Finding(StrCat(two.ToString(), " is\nsilent"));
  finding.set_peer_node_id(two.ToString());
  finding.set_node_id(two.ToString());  // a lie
  finding.set_network_id("no id");
  v1::NetworkFinding nothing = Finding("no severity");
  nothing.clear_severity();
  v1::NetworkFinding unknown = Finding("of a newer agent");
  unknown.set_check(static_cast<v1::NetworkFinding::Check>(99));
  Answer(one, {finding, nothing, unknown});
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_EQ(sink.messages[0].message(), "n2 is\\nsilent");
  EXPECT_EQ(sink.messages[0].node_id(), one.ToString());
  EXPECT_EQ(sink.messages[0].peer_node_id(), two.ToString());
  EXPECT_EQ(sink.messages[0].network_id(), "");
}

// S2.
TEST_F(DiagnosisBrokerTest, BelievesOnlyNodesThatWereAskedAndNotTwice) {
  v1::DiagnoseNetworksRequest request;
  request.add_node_refs("n1");
  ASSERT_OK(Diagnose(request));
  Answer(two, {Finding("forged")});
  v1::NetworkDiagnosis other;
  other.set_diagnosis_id("another");
  *other.add_findings() = Finding("of nobody");
  dispatcher.on_diagnosis(one, std::move(other));
  EXPECT_THAT(sink.messages, IsEmpty());
  EXPECT_FALSE(sink.closed.has_value());
  Answer(one, {});
  EXPECT_TRUE(sink.closed.has_value());
}

// F24.
TEST_F(DiagnosisBrokerTest, ANodeThatFindsWithoutEndIsCutShort) {
  sink.room = 100'000;
  ASSERT_OK(Diagnose());
  for (int i = 0; i < 30; ++i) {
    Answer(one, std::vector<v1::NetworkFinding>(100, Finding("again")), /*last=*/false);
  }
  ASSERT_THAT(sink.messages, SizeIs(DiagnosisBroker::kMostFindingsPerNode));
  EXPECT_THAT(sink.messages.back().message(), HasSubstr("more than is handed on"));
  Answer(two, {Finding("of the other")});
  EXPECT_EQ(sink.messages.back().message(), "of the other");
}

// F24.
TEST_F(DiagnosisBrokerTest, OfWhatANodeSaysOnlyWhatIsKnownIsHandedOnAndNotAtAnyLength) {
  ASSERT_OK(Diagnose());
  v1::NetworkFinding finding = Finding(std::string(1 << 20, 'x'));
  finding.GetReflection()->MutableUnknownFields(&finding)->AddLengthDelimited(
      99, std::string(1 << 20, 'y'));
  finding.mutable_round_trip()->set_nanos(5);
  Answer(one, {finding});
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_LT(sink.messages[0].ByteSizeLong(), 2'000u);
  EXPECT_EQ(sink.messages[0].round_trip().nanos(), 5);
}

// F24. Fewer than may wait, and too long all the same.
TEST_F(DiagnosisBrokerTest, AReaderThatStandsIsCutOffByHowMuchWaitsToo) {
  const std::string longest(1'000, '\x01');  // which is shown as four bytes
  for (int i = 0; i < 8; ++i) {
    dispatcher.fences[AddNode(StrCat("more", i), v1::NodeStatus::STATE_READY)] = 1;
  }
  sink.room = 0;
  ASSERT_OK(Diagnose());
  size_t sent = 0;
  for (const auto& [node, fence] : std::map(dispatcher.fences)) {
    Answer(node, std::vector<v1::NetworkFinding>(900, Finding(longest)), /*last=*/false);
    sent += 900;
    if (sink.closed) break;
  }
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_THAT(*sink.closed, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LT(sent, DiagnosisBroker::kMostWaiting);
}

TEST_F(DiagnosisBrokerTest, WaitsForAReaderThatIsSlowAndCutsOffOneThatStands) {
  sink.room = 1;
  auto id = Diagnose();
  ASSERT_OK(id);
  Answer(one, {Finding("a"), Finding("b")});
  Answer(two, {});
  EXPECT_FALSE(sink.closed.has_value()) << "b is still to be read";
  sink.room = 10;
  broker.OnDrained(*id);
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_OK(*sink.closed);

  FakeSink<v1::NetworkFinding> stands;
  stands.room = 0;
  ASSERT_OK(broker.Diagnose({}, stands));
  Answer(one, {Finding("a")});
  Answer(two, {});
  loop.Advance(absl::Minutes(2));
  ASSERT_TRUE(stands.closed.has_value());
  EXPECT_THAT(*stands.closed, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(broker.diagnoses(), 0u);
}

TEST_F(DiagnosisBrokerTest, BoundsHowManyAreUnderWayAndForgetsWhoGoes) {
  std::vector<FakeSink<v1::NetworkFinding>> sinks(DiagnosisBroker::kMostAtOnce);
  std::vector<DiagnosisBroker::DiagnosisId> ids;
  for (auto& each : sinks) {
    auto id = broker.Diagnose({}, each);
    ASSERT_OK(id);
    ids.push_back(*id);
  }
  EXPECT_THAT(Diagnose(), StatusIs(absl::StatusCode::kResourceExhausted));
  broker.Cancel(ids[0]);
  EXPECT_OK(Diagnose());
  Answer(one, {Finding("a")});
  EXPECT_THAT(sinks[0].messages, IsEmpty());
}

}  // namespace
}  // namespace swarm::manager
