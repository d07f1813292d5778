// The pure decisions of the orchestrator, values in and out.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/node_keeper.h"
#include "manager/orchestrator/node_loss_gate.h"
#include "manager/orchestrator/recent_runs.h"
#include "manager/orchestrator/restart_policy.h"
#include "manager/orchestrator/revision_rules.h"
#include "manager/orchestrator/slots.h"
#include "manager/orchestrator/update_status.h"

namespace swarm::manager {
namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr EndedRun kQuickCrash{TaskState::kFailed, absl::ZeroDuration()};
constexpr EndedRun kLateCrash{TaskState::kFailed, absl::InfiniteDuration()};

// ----------------------------------------------------------------------------------- restarts

TEST(RestartPolicyTest, DefaultsToAnyConditionAndFiveSeconds) {
  const RestartDecision decision =
      DecideRestart({}, {TaskState::kComplete, absl::ZeroDuration()}, {}, 0);
  EXPECT_TRUE(decision.restart);
  EXPECT_EQ(decision.delay, absl::Seconds(5));
}

TEST(RestartPolicyTest, ADelayOfZeroIsZero) {
  v1::RestartPolicy policy;
  policy.mutable_delay();
  EXPECT_EQ(DecideRestart(policy, kLateCrash, {}, 0).delay, absl::ZeroDuration());
}

TEST(RestartPolicyTest, F16AddsACappedBackoffFromTheFourthQuickFailureOn) {
  v1::RestartPolicy policy;
  policy.mutable_delay();
  RestartHistory history;
  std::vector<int64_t> delays;
  for (int i = 0; i < 12; ++i) {
    RestartDecision decision = DecideRestart(policy, kQuickCrash, history, i);
    ASSERT_TRUE(decision.restart);
    EXPECT_TRUE(decision.history_changed);
    delays.push_back(absl::ToInt64Seconds(decision.delay));
    history = decision.history;
  }
  EXPECT_THAT(delays, ElementsAre(0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60));
  const RestartDecision late = DecideRestart(policy, kLateCrash, history, 99);
  EXPECT_EQ(late.delay, absl::ZeroDuration());
  EXPECT_EQ(late.history.quick_failures(), 0u);
}

TEST(RestartPolicyTest, ABackoffOfVeryManyFailuresIsStillTheLongest) {
  RestartHistory history;
  history.set_quick_failures(4'000'000'000);
  EXPECT_EQ(RestartDelay({}, history), kDefaultRestartDelay + kLongestBackoff);
}

TEST(RestartPolicyTest, CountsAttemptsForEverWithoutAWindow) {
  v1::RestartPolicy policy;
  policy.set_max_attempts(2);
  RestartHistory history;
  for (int i = 0; i < 2; ++i) {
    const RestartDecision decision = DecideRestart(policy, kLateCrash, history, i * 10'000'000);
    ASSERT_TRUE(decision.restart);
    history = decision.history;
  }
  EXPECT_FALSE(DecideRestart(policy, kLateCrash, history, 1'000'000'000).restart);
}

TEST(RestartPolicyTest, ForgetsAttemptsOutsideTheWindowEvenWhenTheClockWasSetBack) {
  v1::RestartPolicy policy;
  policy.set_max_attempts(1);
  policy.mutable_window()->set_seconds(60);
  const RestartHistory history = DecideRestart(policy, kLateCrash, {}, 100'000).history;
  EXPECT_FALSE(DecideRestart(policy, kLateCrash, history, 130'000).restart);
  EXPECT_FALSE(DecideRestart(policy, kLateCrash, history, 1'000).restart);
  EXPECT_TRUE(DecideRestart(policy, kLateCrash, history, 161'000).restart);
}

TEST(RestartPolicyTest, KeepsNoRecordWhereNothingNeedsOne) {
  EXPECT_FALSE(DecideRestart({}, kLateCrash, {}, 0).history_changed);
}

// -------------------------------------------------------------------------------------- slots

class SlotsTest : public ::testing::Test {
 protected:
  void Add(uint32_t slot, uint64_t node, TaskState state, TaskState desired = TaskState::kRunning) {
    Task task;
    task.id = Id{1, ++last_id_};
    task.slot = slot;
    task.node_id = Id{0, node};
    task.state = state;
    task.desired = desired;
    task.created_unix_ms = static_cast<int64_t>(last_id_);
    CountTask(std::make_shared<const Task>(task), census_);
  }
  Census census_;
  uint64_t last_id_ = 0;
};

TEST_F(SlotsTest, CreatesTheLowestNumbersThatAreFree) {
  Add(2, 1, TaskState::kRunning);
  Add(5, 1, TaskState::kRunning);
  EXPECT_THAT(PlanScale(census_, 5).create, ElementsAre(1, 3, 4));
}

TEST_F(SlotsTest, ASlotWhoseTasksAreAllToBeRemovedIsFree) {
  Add(1, 1, TaskState::kRunning, TaskState::kRemove);
  EXPECT_THAT(PlanScale(census_, 1).create, ElementsAre(1));
}

TEST_F(SlotsTest, AFinishedSlotStillCounts) {
  Add(1, 1, TaskState::kComplete, TaskState::kShutdown);
  EXPECT_THAT(PlanScale(census_, 1).create, IsEmpty());
}

TEST_F(SlotsTest, RemovesUnassignedThenFromTheFullestNodeTheNonRunningFirst) {
  Add(1, 1, TaskState::kRunning);
  Add(2, 1, TaskState::kStarting);
  Add(3, 1, TaskState::kRunning);
  Add(4, 2, TaskState::kRunning);
  Add(5, 0, TaskState::kPending);
  EXPECT_THAT(PlanScale(census_, 4).remove, ElementsAre(5));
  EXPECT_THAT(PlanScale(census_, 3).remove, ElementsAre(5, 2));
  EXPECT_THAT(PlanScale(census_, 2).remove, ElementsAre(5, 2, 3));
  EXPECT_THAT(PlanScale(census_, 0).remove, UnorderedElementsAre(1, 2, 3, 4, 5));
}

TEST_F(SlotsTest, ASlotThatIsBeingChangedOverCountsByItsTaskThatRuns) {
  Add(1, 1, TaskState::kRunning);
  Add(1, 0, TaskState::kPending);  // its successor has no node yet
  Add(2, 2, TaskState::kStarting);
  Add(3, 3, TaskState::kFailed);  // and one whose successor is about to be placed
  Add(3, 0, TaskState::kPending);
  Add(4, 4, TaskState::kRunning);
  Add(4, 1, TaskState::kStarting, TaskState::kReady);  // counts on node 4
  EXPECT_THAT(PlanScale(census_, 3).remove, ElementsAre(3));
  EXPECT_THAT(PlanScale(census_, 2).remove, ElementsAre(3, 2));
  EXPECT_THAT(PlanScale(census_, 1).remove, ElementsAre(3, 2, 4));
}

// ---------------------------------------------------------------------------------- revisions

Revision MakeRevision(const std::string& id) {
  Revision revision;
  revision.mutable_revision()->set_id(id);
  revision.mutable_revision()->set_image_digest("sha256:1");
  revision.mutable_revision()->mutable_task()->mutable_container()->set_image("app");
  return revision;
}

TEST(RevisionRulesTest, PlacementLabelsAndNameDoNotMakeADifference) {
  Revision a = MakeRevision("a");
  Revision b = MakeRevision("b");
  b.mutable_revision()->mutable_task()->mutable_placement()->add_constraints("node.role==worker");
  b.mutable_revision()->set_service_name("other");
  (*b.mutable_revision()->mutable_service_labels())["x"] = "y";
  EXPECT_TRUE(RunsTheSame(a, b));
}

TEST(RevisionRulesTest, AForcedUpdateAndANewDigestDo) {
  Revision forced = MakeRevision("b");
  forced.mutable_revision()->mutable_task()->set_force_update(1);
  EXPECT_FALSE(RunsTheSame(MakeRevision("a"), forced));
  Revision moved = MakeRevision("c");
  moved.mutable_revision()->set_image_digest("sha256:2");
  EXPECT_FALSE(RunsTheSame(MakeRevision("a"), moved));
}

// -------------------------------------------------------------------------------------- nodes

TEST(NodeLossGateTest, F13ClosesWhenMoreThanHalfOfFourAreLostWithinTheWindow) {
  NodeLossGate gate;
  const absl::Duration window = absl::Seconds(15);
  gate.OnDown(Id{0, 1}, absl::Seconds(0), window, 4);
  gate.OnDown(Id{0, 2}, absl::Seconds(5), window, 4);
  EXPECT_FALSE(gate.closed());
  gate.OnDown(Id{0, 3}, absl::Seconds(10), window, 4);
  EXPECT_TRUE(gate.closed());
  gate.OnNotDown(Id{0, 1}, 4);
  EXPECT_FALSE(gate.closed());
}

TEST(NodeLossGateTest, StaysOpenForSmallClustersAndSlowLosses) {
  NodeLossGate small;
  for (uint64_t i = 1; i <= 3; ++i) small.OnDown(Id{0, i}, {}, absl::Seconds(15), 3);
  EXPECT_FALSE(small.closed());
  NodeLossGate slow;
  for (int i = 1; i <= 4; ++i) {
    slow.OnDown(Id{0, static_cast<uint64_t>(i)}, absl::Minutes(i), absl::Seconds(15), 4);
  }
  EXPECT_FALSE(slow.closed());
}

TEST(NodeLossGateTest, CountsANodeOnceHoweverOftenItIsSaid) {
  NodeLossGate gate;
  for (int i = 0; i < 5; ++i) gate.OnDown(Id{0, 1}, absl::Seconds(i), absl::Seconds(15), 4);
  EXPECT_FALSE(gate.closed());
  EXPECT_EQ(gate.down(), 1u);
}

// ------------------------------------------------------------------------------------ misfits

// A node with tasks that each asked for one GPU, the oldest first.
class MisfitsTest : public ::testing::Test {
 protected:
  MisfitsTest() {
    node_.set_id("n");
    node_.mutable_description()->set_hostname("a");
    node_.mutable_description()->mutable_resources()->set_nano_cpus(4'000'000'000);
    auto revision = std::make_shared<Revision>();
    v1::GenericResource* asked = revision->mutable_revision()
                                     ->mutable_task()
                                     ->mutable_resources()
                                     ->mutable_reservations()
                                     ->add_generic();
    asked->set_kind("gpu");
    asked->set_count(1);
    revision_ = revision;
  }
  void Offer(int64_t count, const std::vector<std::string>& ids = {}) {
    v1::Resources& resources = *node_.mutable_description()->mutable_resources();
    resources.clear_generic();
    v1::GenericResource& gpus = *resources.add_generic();
    gpus.set_kind("gpu");
    gpus.set_count(count);
    gpus.mutable_ids()->Assign(ids.begin(), ids.end());
  }
  // Holding `id`, or one of a number when that is empty.
  void AddTask(const std::string& id = "") {
    auto extras = std::make_shared<TaskExtras>();
    v1::GenericResource& given = extras->generic.emplace_back();
    given.set_kind("gpu");
    given.set_count(1);
    if (!id.empty()) given.add_ids(id);
    Task task;
    task.id = Id{0, tasks_.size() + 1};
    task.created_unix_ms = static_cast<int64_t>(tasks_.size());
    task.state = TaskState::kRunning;
    task.revision = revision_;
    task.extras = extras;
    tasks_.push_back(std::make_shared<const Task>(std::move(task)));
  }
  std::vector<std::pair<uint64_t, std::string>> Misfits() {
    std::vector<std::pair<uint64_t, std::string>> found;
    const auto no_rules = [](const Task&) -> const PlacementRules* { return nullptr; };
    for (const Misfit& misfit : FindMisfits(node_, tasks_, no_rules)) {
      found.emplace_back(misfit.task->id.low, misfit.reason);
    }
    return found;
  }

  Node node_;
  std::shared_ptr<const Revision> revision_;
  std::vector<Ref<Task>> tasks_;
};

TEST_F(MisfitsTest, ANodeThatLosesFourGpusOfFourTasksLosesAllFourAtOnce) {
  for (int i = 0; i < 4; ++i) AddTask();
  Offer(4);
  EXPECT_THAT(Misfits(), IsEmpty());
  node_.mutable_description()->mutable_resources()->clear_generic();
  const std::string reason = "node a has not enough resources left (gpu)";
  EXPECT_THAT(Misfits(),
              ElementsAre(Pair(1, reason), Pair(2, reason), Pair(3, reason), Pair(4, reason)));
}

TEST_F(MisfitsTest, WhenAFewAreLeftTheOldestKeepThem) {
  for (int i = 0; i < 4; ++i) AddTask();
  Offer(1);
  EXPECT_THAT(Misfits(), ElementsAre(Pair(2, _), Pair(3, _), Pair(4, _)));
}

TEST_F(MisfitsTest, ATaskWhoseGpuVanishedLeavesThoughThereAreOthers) {
  AddTask("GPU-1");
  AddTask("GPU-2");
  Offer(0, {"GPU-2", "GPU-3", "GPU-4"});
  EXPECT_THAT(Misfits(), ElementsAre(Pair(1, "node a does not have gpu GPU-1 any more")));
}

TEST_F(MisfitsTest, NamesThatBecameANumberAreGone) {
  AddTask("GPU-1");
  Offer(4);
  EXPECT_THAT(Misfits(), ElementsAre(Pair(1, "node a does not have gpu GPU-1 any more")));
}

TEST_F(MisfitsTest, OfTwoThatHoldOneGpuTheNewerLeaves) {
  AddTask("GPU-1");
  AddTask("GPU-1");
  Offer(0, {"GPU-1", "GPU-2"});
  EXPECT_THAT(Misfits(), ElementsAre(Pair(2, "node a has not enough resources left (gpu)")));
}

TEST_F(MisfitsTest, ATaskThatHasEndedHoldsNothing) {
  AddTask("GPU-1");
  Task ended = *tasks_[0];
  ended.state = TaskState::kFailed;
  tasks_[0] = std::make_shared<const Task>(ended);
  Offer(0, {"GPU-2"});
  EXPECT_THAT(Misfits(), IsEmpty());
}

TEST(RecentRunsTest, KnowsShortRunsLongRunsAndThoseThatNeverRan) {
  RecentRuns runs;
  runs.OnRunning(Id{0, 1}, absl::Seconds(0));
  runs.OnRunning(Id{0, 2}, absl::Seconds(20));
  runs.OnEnded(Id{0, 1}, true, absl::Seconds(21));
  runs.OnEnded(Id{0, 2}, true, absl::Seconds(23));
  runs.OnEnded(Id{0, 3}, false, absl::Seconds(23));
  EXPECT_EQ(runs.TakeLived(Id{0, 1}), absl::InfiniteDuration());
  EXPECT_EQ(runs.TakeLived(Id{0, 2}), absl::Seconds(3));
  EXPECT_EQ(runs.TakeLived(Id{0, 3}), absl::ZeroDuration());
  EXPECT_EQ(runs.TakeLived(Id{0, 3}), std::nullopt);
}

TEST(UpdateStatusTest, AStatusOfAnEarlierRevisionIsNone) {
  Service service;
  service.set_revision_id("r1");
  service = WithUpdate(service, v1::UpdateStatus::STATE_PAUSED, "why", absl::UnixEpoch());
  EXPECT_EQ(CurrentUpdate(service), v1::UpdateStatus::STATE_PAUSED);
  service.set_revision_id("r2");
  EXPECT_EQ(CurrentUpdate(service), v1::UpdateStatus::STATE_UNSPECIFIED);
  service = WithUpdate(service, v1::UpdateStatus::STATE_UPDATING, "", absl::FromUnixSeconds(9));
  EXPECT_EQ(service.update_status().started_at().seconds(), 9);
  EXPECT_FALSE(service.update_status().has_completed_at());
}

}  // namespace
}  // namespace swarm::manager
