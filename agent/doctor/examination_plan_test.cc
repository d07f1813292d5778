#include "agent/doctor/examination_plan.h"

#include "agent/doctor/doctor_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ExaminationPlanTest : public ::testing::Test, public DoctorTestWorld {
 protected:
  ExaminationPlan Plan() { return PlanExamination(place, *random_); }
  // "web.1-id>10.0.1.6", a full-size packet with "!".
  static std::vector<std::string> Echoes(const ExaminationPlan& plan, Check check) {
    std::vector<std::string> texts;
    for (const PlannedEcho& echo : plan.echoes) {
      if (echo.check != check) continue;
      texts.push_back(absl::StrCat(echo.from_task, ">", echo.probe.to.ToString(),
                                   echo.probe.full_size ? "!" : ""));
    }
    return texts;
  }

  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
};

TEST_F(ExaminationPlanTest, AsksForTasksOfOtherNodesFromInsideOfThoseHere) {
  const ExaminationPlan plan = Plan();
  EXPECT_THAT(Echoes(plan, Check::kPeer), ElementsAre(">192.168.1.3", ">192.168.1.3!"));
  EXPECT_THAT(Echoes(plan, Check::kOverlay),
              ElementsAre("web.1-id>10.0.1.6", "web.1-id>10.0.1.6!", "web.1-id>10.0.1.7"));
  EXPECT_THAT(Echoes(plan, Check::kVirtualAddress), ElementsAre("web.1-id>10.0.1.2"));
  EXPECT_EQ(plan.echoes.back().probe.space, "/run/netns/web.1-id");
  EXPECT_EQ(plan.echoes.back().probe.from, Ip("10.0.1.5"));
}

TEST_F(ExaminationPlanTest, AsksForNamesAndKnowsTheAnswers) {
  const ExaminationPlan plan = Plan();
  ASSERT_THAT(plan.questions, SizeIs(2));
  EXPECT_EQ(plan.questions[0].probe.question.name, "web.front");
  EXPECT_THAT(plan.questions[0].wanted, ElementsAre(Ip("10.0.1.2")));
  EXPECT_EQ(plan.questions[1].probe.question.name, "tasks.web.front");
  EXPECT_THAT(plan.questions[1].wanted,
              ElementsAre(Ip("10.0.1.5"), Ip("10.0.1.6"), Ip("10.0.1.7")));
}

TEST_F(ExaminationPlanTest, OnlyWhatServesIsAskedForAndAsks) {
  state.tasks.at({"front-id", "web.2-id"}).serving = false;
  EXPECT_THAT(Echoes(Plan(), Check::kOverlay),
              ElementsAre("web.1-id>10.0.1.7", "web.1-id>10.0.1.7!"));
  state.tasks.at({"front-id", "web.1-id"}).serving = false;
  const ExaminationPlan plan = Plan();
  EXPECT_THAT(Echoes(plan, Check::kOverlay), IsEmpty());
  EXPECT_THAT(plan.questions, IsEmpty());
}

TEST_F(ExaminationPlanTest, ThreePairsForAnotherNodeAreEnoughAndTakeTurns) {
  AddTask("front", "db.1", "db", "here", "10.0.1.20");
  for (int i = 4; i < 100; ++i) {
    AddTask("front", absl::StrCat("web.", i), "web", "there",
            absl::StrCat("10.0.1.", 100 + i).c_str());
  }
  const std::vector<std::string> echoes = Echoes(Plan(), Check::kOverlay);
  // And the two here among themselves.
  EXPECT_THAT(echoes, SizeIs(3 + 1 + 2));
  EXPECT_THAT(echoes, ::testing::Contains(::testing::StartsWith("db.1-id>")));
  EXPECT_THAT(echoes, ::testing::Contains("db.1-id>10.0.1.5"));
  EXPECT_THAT(echoes, ::testing::Contains("web.1-id>10.0.1.20"));
}

TEST_F(ExaminationPlanTest, TasksOfOneNodeThatAMacvlanModeKeepsApartAreNotAskedForEachOther) {
  Network& wire = AddNetwork("wire", "10.0.3.0/24", "10.0.3.1", 0);
  wire.driver = NetworkDriver::kMacvlan;
  AddTask("wire", "db.1", "db", "here", "10.0.3.5");
  AddTask("wire", "db.2", "db", "here", "10.0.3.6");
  place.network_ids = {"wire-id"};
  for (const MacvlanMode apart :
       {MacvlanMode::kPrivate, MacvlanMode::kVepa, MacvlanMode::kPassthru}) {
    wire.macvlan_mode = apart;
    EXPECT_THAT(Echoes(Plan(), Check::kOverlay), IsEmpty());
  }
  wire.macvlan_mode = MacvlanMode::kBridge;
  EXPECT_THAT(Echoes(Plan(), Check::kOverlay), ElementsAre("db.1-id>10.0.3.6", "db.2-id>10.0.3.5"));
}

TEST_F(ExaminationPlanTest, OfOtherNetworksThanThoseAskedForNothingIsLookedAt) {
  AddNetwork("back", "10.0.2.0/24", "10.0.2.1", 4098);
  AddTask("back", "db.1", "db", "here", "10.0.2.5");
  AddService("back", "db", nullptr);
  EXPECT_THAT(Plan().questions, SizeIs(4));
  place.network_ids = {"back-id"};
  const ExaminationPlan plan = Plan();
  EXPECT_THAT(Echoes(plan, Check::kPeer), IsEmpty());
  ASSERT_THAT(plan.questions, SizeIs(2));
  // Without a virtual address the name stands for the tasks.
  EXPECT_EQ(plan.questions[0].probe.question.name, "db.back");
  EXPECT_THAT(plan.questions[0].wanted, ElementsAre(Ip("10.0.2.5")));
}

TEST_F(ExaminationPlanTest, PublishedPortsAreTriedOncePerTaskAndTasksOfTheIngressNetworkAreNot) {
  AddTask("ingress", "web.1", "web", "here", "10.0.0.5");
  AddTask("ingress", "web.2", "web", "there", "10.0.0.6");
  const IngressPort tcp{.published = 8080, .target = 80, .service_id = "web-id"};
  const IngressPort udp{.protocol = PortProtocol::kUdp, .published = 53, .service_id = "web-id"};
  const IngressPort idle{.published = 81, .target = 80, .service_id = "idle-id"};
  for (const IngressPort& port : {tcp, udp, idle}) state.ingress_ports[port.key()] = port;
  const HostPort host{.published = 9090, .target = 80, .task_id = "web.1-id"};
  state.host_ports[host.key()] = host;
  const ExaminationPlan plan = Plan();
  std::vector<std::string> tried;
  for (const PlannedConnection& connection : plan.connections) {
    tried.push_back(absl::StrCat(connection.probe.to.ToString(), ":", connection.probe.port, " x",
                                 connection.probe.attempts));
  }
  EXPECT_THAT(tried, UnorderedElementsAre("127.0.0.1:8080 x2", "127.0.0.1:9090 x1"));
  for (const PlannedEcho& echo : plan.echoes) EXPECT_NE(echo.network_id, "ingress-id");
}

TEST_F(ExaminationPlanTest, EveryContainerAsksItsResolverOnce) {
  for (int i = 1; i < 6; ++i) {
    AddTask("front", absl::StrCat("db.", i), "db", "here", absl::StrCat("10.0.1.", 20 + i).c_str());
  }
  std::set<std::string> askers;
  for (const PlannedQuestion& question : Plan().questions) askers.insert(question.from_task);
  EXPECT_THAT(askers, SizeIs(6));
}

TEST_F(ExaminationPlanTest, BoundsHoldAndWhatTheyCutOffIsCounted) {
  for (int i = 0; i < 250; ++i) {
    AddTask("front", absl::StrCat("many.", i), "many", "here", absl::StrCat("10.0.1.", i).c_str());
  }
  for (int i = 0; i < 1'000; ++i) {
    AddService("front", absl::StrCat("s", i), nullptr);
  }
  const ExaminationPlan plan = Plan();
  std::set<std::string> askers;
  for (const PlannedQuestion& question : plan.questions) askers.insert(question.from_task);
  EXPECT_LE(askers.size(), ExaminationPlan::kMostAskers);
  EXPECT_THAT(plan.questions, SizeIs(ExaminationPlan::kMostQuestions));
  EXPECT_GT(plan.left_out, 0u);
}

}  // namespace
}  // namespace swarm::agent
