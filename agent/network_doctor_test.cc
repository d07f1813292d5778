#include "agent/network_doctor.h"

#include <stdlib.h>

#include <deque>

#include "absl/strings/str_cat.h"
#include "common/file_system.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
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

// Keeps work until it is told to do it.
class HeldPool : public WorkerPool {
 public:
  explicit HeldPool(std::deque<Task0>* held) : held_(held) {}
  absl::Status Submit(Task0 work) override {
    held_->push_back(std::move(work));
    return absl::OkStatus();
  }

 private:
  std::deque<Task0>* held_;
};

// A node in no network, whose looks are made when they are asked for.
class NetworkDoctorQueueTest : public ::testing::Test {
 protected:
  NetworkDoctorQueueTest() {
    OnLoop([&] {
      networks_.Apply(v1::NetworkChanges(), /*complete=*/true, [](const absl::Status&) {});
    });
  }
  void OnLoop(std::function<void()> work) {
    loop_.Post(std::move(work));
    loop_.RunUntilIdle();
  }
  void Ask(const std::string& id, const std::vector<std::string>& networks = {}) {
    v1::DiagnoseNetworks request;
    request.set_diagnosis_id(id);
    for (const std::string& network : networks) request.add_network_ids(network);
    OnLoop([&] { doctor_.Diagnose(request); });
  }
  void LookOnce() {
    Task0 work = std::move(held_.front());
    held_.pop_front();
    work();
    loop_.RunUntilIdle();
  }
  // "id: message" of what was sent since.
  std::vector<std::string> Sent() {
    std::vector<std::string> texts;
    for (const v1::NetworkDiagnosis& piece : std::exchange(sent_, {})) {
      for (const v1::NetworkFinding& finding : piece.findings()) {
        texts.push_back(absl::StrCat(piece.diagnosis_id(), ": ", finding.message()));
      }
    }
    return texts;
  }

  testing::SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  NodeNetworks networks_{env_, {.netns_dir = "/nowhere"}};
  std::deque<Task0> held_;
  std::vector<v1::NetworkDiagnosis> sent_;
  NetworkDoctor doctor_{env_, networks_,
                        [this](v1::NetworkDiagnosis piece) { sent_.push_back(std::move(piece)); },
                        std::make_unique<HeldPool>(&held_)};
};

TEST_F(NetworkDoctorQueueTest, WhoAsksForTheSameWhileItLooksIsAnsweredFromOneMoreLook) {
  Ask("a");
  Ask("b");
  Ask("c", {"front"});
  Ask("d");
  EXPECT_THAT(held_, SizeIs(1)) << "one after the other";
  LookOnce();
  EXPECT_THAT(Sent(), ElementsAre("a: it is in no network"));
  LookOnce();
  EXPECT_THAT(Sent(), ElementsAre("b: it is in no network", "d: it is in no network"));
  LookOnce();
  EXPECT_THAT(Sent(), ElementsAre("c: it is in no network"));
  EXPECT_THAT(held_, IsEmpty());
}

TEST_F(NetworkDoctorQueueTest, WhoComesAfterTooManyIsToldSoAtOnce) {
  Ask("first");
  for (size_t i = 0; i < NetworkDoctor::kMostWaiting; ++i) Ask("one", {absl::StrCat("n", i)});
  Ask("last", {"another"});
  EXPECT_THAT(Sent(), ElementsAre(HasSubstr("last: it is looking already for several others")));
}

TEST_F(NetworkDoctorQueueTest, AfterACancelNobodyIsAnsweredWhoAskedBefore) {
  Ask("under way");
  Ask("waits");
  OnLoop([&] { doctor_.Cancel(); });
  LookOnce();
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_THAT(held_, IsEmpty());
  Ask("later");
  LookOnce();
  EXPECT_THAT(Sent(), ElementsAre("later: it is in no network"));
}

// A look that waits while the node leaves its cluster must not bring back what is taken down.
TEST(RouterHandleTest, WhoOnlyLooksOpensNothing) {
  char name[] = "/tmp/router_handle_test.XXXXXX";
  const std::string dir = ::mkdtemp(name);
  ASSERT_OK(WriteFileAtomically(dir + "/router", "", 0600));
  RouterHandle handle({dir, 4789, 51871});
  EXPECT_TRUE(handle.IsLeftBehind());
  EXPECT_EQ(handle.IfOpen(), nullptr);
  EXPECT_OK(RemoveTree(dir));
}

}  // namespace
}  // namespace swarm::agent
