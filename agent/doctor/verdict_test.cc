#include "agent/doctor/verdict.h"

#include <map>

#include "agent/doctor/doctor_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Severity = Finding::Severity;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class VerdictTest : public ::testing::Test, public DoctorTestWorld {
 protected:
  // All answer but those to `lost`; full-size ones to `lost_full` do not either.
  std::map<Check, Finding> Judge(const std::set<std::string>& lost,
                                 const std::set<std::string>& lost_full = {},
                                 const std::string& refusal = "") {
    const ExaminationPlan plan = PlanExamination(place, *random_);
    std::vector<EchoResult> results;
    for (const PlannedEcho& echo : plan.echoes) {
      EchoResult& result = results.emplace_back();
      const std::string to = echo.probe.to.ToString();
      result.sent = 3;
      result.size = echo.probe.full_size ? 1450 : 36;
      result.round_trip = absl::Milliseconds(2);
      const bool is_lost = lost.contains(to) || (echo.probe.full_size && lost_full.contains(to));
      result.received = is_lost ? 0 : 3;
      if (is_lost) result.refusal = refusal;
    }
    std::map<Check, Finding> by_check;
    for (const Finding& finding : JudgeEchoes(place, plan.echoes, results)) {
      by_check[finding.check] = finding;
    }
    return by_check;
  }

  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
};

TEST_F(VerdictTest, WhatAnswersIsOkAndSaysHowFast) {
  auto found = Judge({});
  ASSERT_THAT(found, SizeIs(3));
  for (const auto& [check, finding] : found) EXPECT_EQ(finding.severity, Severity::kOk);
  EXPECT_EQ(found[Check::kOverlay].message, "2 tasks on there answer through network front");
  EXPECT_EQ(found[Check::kOverlay].round_trip, absl::Milliseconds(2));
  EXPECT_EQ(found[Check::kPeer].message, "there answers at its address 192.168.1.3");
}

TEST_F(VerdictTest, TasksThatAreLostWhileTheirNodeAnswersPointToVxlan) {
  const Finding finding = Judge({"10.0.1.6", "10.0.1.7"})[Check::kOverlay];
  EXPECT_EQ(finding.severity, Severity::kBroken);
  EXPECT_EQ(finding.message,
            "web.2 (10.0.1.6), web.3 (10.0.1.7) on there do not answer through network front: 6 of "
            "6 packets are lost, while there's own address 192.168.1.3 answers: is UDP 4789 "
            "(VXLAN) open between the nodes, both ways?");
  EXPECT_EQ(finding.peer_node_id, "there");
  EXPECT_EQ(finding.network_id, "front-id");
  EXPECT_EQ(finding.task_id, "web.2-id");
}

TEST_F(VerdictTest, OneTaskAmongOthersThatIsLostPointsToItsContainer) {
  const Finding finding = Judge({"10.0.1.7"})[Check::kOverlay];
  EXPECT_THAT(finding.message, AllOf(HasSubstr("web.3 (10.0.1.7) on there does not answer"),
                                     HasSubstr("3 of 6 packets"), HasSubstr("others answer")));
}

TEST_F(VerdictTest, ANodeOfWhichNothingAnswersIsCutOff) {
  auto found = Judge({"10.0.1.6", "10.0.1.7", "192.168.1.3"});
  EXPECT_EQ(found[Check::kPeer].severity, Severity::kBroken);
  EXPECT_THAT(found[Check::kPeer].message, HasSubstr("is the network between the nodes down?"));
  EXPECT_THAT(found[Check::kOverlay].message,
              HasSubstr("and neither does there's own address 192.168.1.3"));
}

TEST_F(VerdictTest, ANodeThatOnlyDropsPingsIsAWarning) {
  EXPECT_THAT(Judge({"192.168.1.3"})[Check::kPeer].message, HasSubstr("a firewall drops ICMP"));
  EXPECT_EQ(Judge({"192.168.1.3"})[Check::kPeer].severity, Severity::kWarning);
  // Without tasks there nobody knows.
  state.tasks.clear();
  const Finding finding = Judge({"192.168.1.3"})[Check::kPeer];
  EXPECT_EQ(finding.severity, Severity::kWarning);
  EXPECT_THAT(finding.message, HasSubstr("no tasks to tell"));
}

TEST_F(VerdictTest, FullSizePacketsAloneThatAreLostPointToTheMtu) {
  auto found = Judge({}, {"10.0.1.6", "192.168.1.3"});
  for (const Check check : {Check::kOverlay, Check::kPeer}) {
    EXPECT_EQ(found[check].severity, Severity::kBroken);
    EXPECT_THAT(found[check].message, AllOf(HasSubstr("packets of 1450 bytes to "),
                                            HasSubstr("small ones arrive"), HasSubstr("MTU")));
  }
}

TEST_F(VerdictTest, WhatSomebodySaidInsteadIsRepeated) {
  EXPECT_THAT(Judge({"10.0.1.6", "10.0.1.7"}, {}, "host unreachable")[Check::kOverlay].message,
              HasSubstr("(host unreachable)"));
}

TEST_F(VerdictTest, AVirtualAddressWithoutAnswerNamesItsService) {
  const Finding finding = Judge({"10.0.1.2"})[Check::kVirtualAddress];
  EXPECT_EQ(finding.severity, Severity::kBroken);
  EXPECT_EQ(finding.message,
            "the virtual address 10.0.1.2 of service web in network front does not answer, though "
            "tasks serve: 3 of 3 packets are lost");
}

TEST_F(VerdictTest, ContainersThatCannotBeAskedFromAreWarnings) {
  const ExaminationPlan plan = PlanExamination(place, *random_);
  std::vector<EchoResult> results(plan.echoes.size());
  for (EchoResult& result : results) result.status = absl::NotFoundError("no such namespace");
  for (const Finding& finding : JudgeEchoes(place, plan.echoes, results)) {
    EXPECT_EQ(finding.severity, Severity::kWarning) << finding.message;
    EXPECT_THAT(finding.message, HasSubstr("no such namespace"));
  }
}

TEST_F(VerdictTest, AnswersToNamesAreComparedWithWhatTheManagerSaid) {
  const ExaminationPlan plan = PlanExamination(place, *random_);
  ASSERT_THAT(plan.questions, SizeIs(2));
  std::vector<NameResult> results(2);
  for (size_t i = 0; i < 2; ++i) {
    results[i].answered = true;
    results[i].addresses = plan.questions[i].wanted;
  }
  std::vector<Finding> found = JudgeNames(place, plan.questions, results);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].message, "2 answers are right in 1 task of network front");

  const auto wrong = [&](std::set<IpAddress> addresses, int code = 0) {
    results[0].addresses = std::move(addresses);
    results[0].code = code;
    found = JudgeNames(place, plan.questions, results);
    EXPECT_EQ(found.at(0).severity, Severity::kBroken);
    return found.at(0).message;
  };
  EXPECT_EQ(wrong({Ip("10.0.1.9")}),
            "in web.1 the name web.front gives 10.0.1.9; the manager says 10.0.1.2");
  EXPECT_THAT(wrong({Ip("10.0.1.2"), Ip("10.0.1.9")}), HasSubstr("some are stale"));
  EXPECT_THAT(wrong({}), HasSubstr("gives no address; the manager says 10.0.1.2"));
  EXPECT_THAT(wrong({}, 3), HasSubstr("is said not to be there"));
  EXPECT_THAT(wrong({}, 2), HasSubstr("is refused (DNS code 2)"));
  // More than fits one datagram is not compared.
  results[0].cut = true;
  results[0].code = 0;
  EXPECT_EQ(JudgeNames(place, plan.questions, results).at(0).severity, Severity::kOk);
}

TEST_F(VerdictTest, AResolverThatDoesNotAnswerIsOneFindingForItsContainer) {
  const ExaminationPlan plan = PlanExamination(place, *random_);
  const auto found = JudgeNames(place, plan.questions, std::vector<NameResult>(2));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].severity, Severity::kBroken);
  EXPECT_EQ(found[0].message,
            "in web.1 the resolver 127.0.0.11 does not answer: asked for web.front and 1 other "
            "name, twice; are rules of nftables changed in that container?");
}

TEST_F(VerdictTest, PortsThatRefuseDoNotAnswerOrFailInPartAreToldApart) {
  PlannedConnection port{.service_id = "web-id", .target = 80, .serving = 2};
  port.probe.port = 8080;
  const auto judge = [&](ConnectionResult result) {
    return JudgeConnections(place, {port}, {result}).at(0);
  };
  EXPECT_EQ(judge({.tried = 2, .connected = 2}).severity, Severity::kOk);
  EXPECT_EQ(judge({.tried = 2, .refused = 2}).message,
            "connections to port 8080/tcp are refused, though 2 tasks of web serve: does what runs "
            "there listen on port 80?");
  EXPECT_THAT(judge({.tried = 2, .connected = 1, .unanswered = 1}).message,
              HasSubstr("1 of 2 connections to port 8080/tcp of web get no answer"));
  EXPECT_THAT(judge({.tried = 2, .error = "No route to host"}).message,
              HasSubstr("fail: No route to host"));
}

}  // namespace
}  // namespace swarm::agent
