#include "agent/worker.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_task_database.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::Disk;
using ::swarm::testing::FakeExecutor;
using ::swarm::testing::FakeTaskDatabase;
using ::swarm::testing::IsOk;
using ::swarm::testing::SimLoop;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr TaskState kReady = v1::TaskStatus::STATE_READY;
constexpr TaskState kRunning = v1::TaskStatus::STATE_RUNNING;
constexpr TaskState kShutdown = v1::TaskStatus::STATE_SHUTDOWN;
constexpr TaskState kRemove = v1::TaskStatus::STATE_REMOVE;

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() { StartAgent(); }

  void StartAgent(const std::string& boot_id = "boot-1") {
    database_ = std::make_unique<FakeTaskDatabase>(loop_, disk_);
    worker_ = std::make_unique<Worker>(env_, executor_, *database_);
    worker_->OnReport(
        [this](const v1::TaskReport& report) { reports_[report.task_id()] = report.status(); });
    absl::Status ready = absl::UnknownError("not ready");
    worker_->Start(boot_id, [&](absl::Status status) { ready = status; });
    loop_.RunUntilIdle();
    ASSERT_OK(ready);
  }
  void KillAgent() {
    worker_.reset();
    database_.reset();
    executor_.AgentDied();
  }

  v1::Assignment Complete(std::vector<std::pair<std::string, TaskState>> tasks) {
    v1::Assignment assignment;
    assignment.set_kind(v1::Assignment::KIND_COMPLETE);
    *assignment.add_revisions() = MakeRevision("r1");
    for (const auto& [id, desired] : tasks) AddTask(assignment, id, desired);
    return assignment;
  }
  v1::Revision MakeRevision(const std::string& id) {
    v1::Revision revision;
    revision.set_id(id);
    revision.set_service_id("s1");
    revision.set_image_digest("sha256:abc");
    revision.mutable_task()->mutable_container()->mutable_stop_grace_period()->set_seconds(3);
    return revision;
  }
  void AddTask(v1::Assignment& assignment, const std::string& id, TaskState desired) {
    v1::TaskAssignment* task = assignment.add_tasks();
    task->set_task_id(id);
    task->set_revision_id("r1");
    task->set_slot(1);
    task->set_desired_state(desired);
  }
  void Want(const std::string& id, TaskState desired) {
    v1::Assignment assignment;
    assignment.set_kind(v1::Assignment::KIND_INCREMENT);
    AddTask(assignment, id, desired);
    ASSERT_OK(worker_->Apply(assignment));
  }
  void Settle() { loop_.Advance(absl::Milliseconds(100)); }
  void RunOne(const std::string& id) {
    ASSERT_OK(worker_->Apply(Complete({{id, kRunning}})));
    Settle();
    ASSERT_EQ(reports_[id].state(), kRunning);
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(7);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  FakeExecutor executor_{loop_};
  Disk disk_;
  std::unique_ptr<FakeTaskDatabase> database_;
  std::unique_ptr<Worker> worker_;
  std::map<std::string, v1::TaskStatus> reports_;
};

TEST_F(WorkerTest, RunsWhatIsAssignedAndRecordsItFirst) {
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}})));
  executor_.start_result = [this](const std::string& id) {
    EXPECT_EQ(disk_.tasks.at(id).status.state(), v1::TaskStatus::STATE_STARTING);
    EXPECT_TRUE(disk_.revisions.contains("r1"));
    return absl::OkStatus();
  };
  Settle();
  EXPECT_EQ(reports_["t1"].state(), kRunning);
  EXPECT_GT(reports_["t1"].container().pid(), 0);
  EXPECT_EQ(disk_.tasks.at("t1").status.state(), kRunning);
}

TEST_F(WorkerTest, RunsAtMostSoManyVerbsAtATimeAndBatchesItsWrites) {
  std::vector<std::pair<std::string, TaskState>> tasks;
  for (int i = 0; i < 100; ++i) tasks.emplace_back(absl::StrCat("t", i), kRunning);
  executor_.verb_time = absl::Milliseconds(10);
  executor_.hold_pulls = true;
  ASSERT_OK(worker_->Apply(Complete(tasks)));
  Settle();
  executor_.ReleasePulls();
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(worker_->containers_running(), 100u);
  EXPECT_LT(disk_.writes, 100);
}

TEST_F(WorkerTest, StopsWithTheGraceOfTheSpecThenKills) {
  executor_.obeys_stop = false;
  RunOne("t1");
  Want("t1", kShutdown);
  loop_.Advance(absl::Seconds(2.9));
  EXPECT_EQ(executor_.Count("stop t1"), 1u);
  EXPECT_EQ(executor_.Count("kill t1"), 0u);
  loop_.Advance(absl::Seconds(0.2));
  EXPECT_EQ(executor_.Count("kill t1"), 1u);
  EXPECT_EQ(reports_["t1"].state(), kShutdown);
  EXPECT_TRUE(executor_.containers().contains("t1")) << "its logs are still wanted";
}

TEST_F(WorkerTest, ForgetsATaskOnceNothingOfItIsLeft) {
  RunOne("t1");
  Want("t1", kRemove);
  Settle();
  EXPECT_EQ(reports_["t1"].state(), kRemove);
  EXPECT_TRUE(disk_.tasks.contains("t1")) << "until the manager drops it";
  ASSERT_OK(worker_->Apply(Complete({})));
  Settle();
  EXPECT_THAT(disk_.tasks, IsEmpty());
  EXPECT_THAT(executor_.containers(), IsEmpty());
  EXPECT_THAT(worker_->Reports(), IsEmpty());
}

TEST_F(WorkerTest, DropsRevisionsWithTheirLastTask) {
  RunOne("t1");
  v1::Assignment assignment;
  assignment.set_kind(v1::Assignment::KIND_INCREMENT);
  assignment.add_removed_tasks("t1");
  assignment.add_removed_revisions("r1");
  ASSERT_OK(worker_->Apply(assignment));
  EXPECT_TRUE(disk_.revisions.contains("r1")) << "the container is still being stopped";
  Settle();
  EXPECT_THAT(disk_.revisions, IsEmpty());
}

TEST_F(WorkerTest, RemovesWhatACompleteAssignmentDoesNotName) {
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}, {"t2", kRunning}})));
  Settle();
  ASSERT_OK(worker_->Apply(Complete({{"t2", kRunning}})));
  Settle();
  EXPECT_FALSE(executor_.containers().contains("t1"));
  EXPECT_TRUE(executor_.containers().at("t2").running);
  EXPECT_EQ(executor_.Count("start t2"), 1u);
}

TEST_F(WorkerTest, RefusesATaskWhoseRevisionItNeverGot) {
  v1::Assignment assignment;
  assignment.set_kind(v1::Assignment::KIND_INCREMENT);
  AddTask(assignment, "t1", kRunning);
  EXPECT_THAT(worker_->Apply(assignment),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("revision r1")));
}

TEST_F(WorkerTest, AnswersRemoveForATaskItNeverHad) {
  v1::Assignment assignment;
  assignment.set_kind(v1::Assignment::KIND_INCREMENT);
  AddTask(assignment, "t9", kRemove);
  ASSERT_OK(worker_->Apply(assignment));
  Settle();
  EXPECT_EQ(reports_["t9"].state(), kRemove);
}

TEST_F(WorkerTest, ShowsWhyAPullWaitsAndTriesAgain) {
  bool down = true;
  executor_.pull_result = [&](const TaskSpecOnNode&) {
    return down ? absl::UnavailableError("registry r: connection refused") : absl::OkStatus();
  };
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}})));
  Settle();
  EXPECT_EQ(reports_["t1"].state(), v1::TaskStatus::STATE_PREPARING);
  EXPECT_EQ(reports_["t1"].error(), "registry r: connection refused");
  down = false;
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(reports_["t1"].state(), kRunning);
  EXPECT_EQ(reports_["t1"].error(), "");
}

TEST_F(WorkerTest, PullsAgainAtOnceWhenAnImageWasLoaded) {
  absl::Status result = absl::UnavailableError("registry r: connection refused");
  executor_.pull_result = [&](const TaskSpecOnNode&) { return result; };
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}})));
  Settle();
  result = absl::OkStatus();
  worker_->RetryPulls();
  Settle();
  EXPECT_EQ(reports_["t1"].state(), kRunning);
}

TEST_F(WorkerTest, EndsAHangingPullWhenTheTaskIsNotWantedAnyMore) {
  executor_.hold_pulls = true;
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}})));
  Settle();
  Want("t1", kShutdown);
  Settle();
  EXPECT_EQ(reports_["t1"].state(), kShutdown);
}

TEST_F(WorkerTest, WaitsForTheRecordAndSaysWhyWhenTheDiskIsFull) {
  disk_.write_result = absl::ResourceExhaustedError("disk full");
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}})));
  loop_.Advance(absl::Seconds(3));
  EXPECT_EQ(executor_.Count("prepare t1"), 0u);
  EXPECT_THAT(reports_["t1"].error(), HasSubstr("disk full"));
  disk_.write_result = absl::OkStatus();
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(reports_["t1"].state(), kRunning);
  EXPECT_EQ(reports_["t1"].error(), "");
}

TEST_F(WorkerTest, F7AdoptsRunningContainersWithTheSamePidAndReportsExitsOfMeanwhile) {
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}, {"t2", kRunning}})));
  Settle();
  const int64_t pid = reports_["t1"].container().pid();
  KillAgent();
  executor_.Exit("t2", {5, false, ""});
  reports_.clear();
  StartAgent();
  Settle();
  EXPECT_EQ(reports_["t1"].state(), kRunning);
  EXPECT_EQ(reports_["t1"].container().pid(), pid);
  EXPECT_EQ(reports_["t2"].state(), v1::TaskStatus::STATE_FAILED);
  EXPECT_EQ(reports_["t2"].container().exit_code(), 5);
  EXPECT_EQ(executor_.Count("start t1"), 1u);
  // And it still hears how the adopted one ends.
  executor_.Exit("t1", {0, false, ""});
  Settle();
  EXPECT_EQ(reports_["t1"].state(), v1::TaskStatus::STATE_COMPLETE);
}

TEST_F(WorkerTest, F7GoesOnFromWhereverTheAgentDied) {
  for (int ms = 0; ms < 12; ++ms) {
    const std::string id = absl::StrCat("t", ms);
    ASSERT_OK(worker_->Apply(Complete({{id, kRunning}})));
    loop_.Advance(absl::Milliseconds(ms) / 2);
    KillAgent();
    StartAgent();
    ASSERT_OK(worker_->Apply(Complete({{id, kRunning}})));
    Settle();
    ASSERT_EQ(reports_[id].state(), kRunning) << "killed after " << ms << " half ms";
    ASSERT_EQ(executor_.containers().size(), 1u);
  }
}

TEST_F(WorkerTest, F9AdoptsNothingAfterAReboot) {
  RunOne("t1");
  KillAgent();
  executor_.PowerCut();
  StartAgent("boot-2");
  Settle();
  EXPECT_EQ(reports_["t1"].state(), v1::TaskStatus::STATE_FAILED);
  EXPECT_EQ(reports_["t1"].error(), "node rebooted");
  EXPECT_EQ(disk_.contents.boot_id, "boot-2");
}

TEST_F(WorkerTest, F9EvenWhatSeemsToRunIsNotAdoptedAfterAReboot) {
  RunOne("t1");
  KillAgent();
  StartAgent("boot-2");
  Settle();
  EXPECT_EQ(reports_["t1"].error(), "node rebooted");
  EXPECT_FALSE(executor_.containers().at("t1").running);
}

TEST_F(WorkerTest, F15RemovesContainersThatNoRecordKnows) {
  RunOne("t1");
  KillAgent();
  FakeExecutor::Container stray;
  stray.running = true;
  executor_.Plant("stray", stray);
  StartAgent();
  Settle();
  EXPECT_FALSE(executor_.containers().contains("stray"));
  EXPECT_TRUE(executor_.containers().at("t1").running);
  EXPECT_FALSE(disk_.tasks.contains("stray"));
}

TEST_F(WorkerTest, F15LooksForStraysEveryFiveMinutesAndRemovesNothingElse) {
  RunOne("t1");
  FakeExecutor::Container stray;
  stray.running = true;
  executor_.Plant("stray", stray);
  loop_.Advance(absl::Minutes(4));
  EXPECT_TRUE(executor_.containers().contains("stray"));
  loop_.Advance(absl::Minutes(1));
  Settle();
  EXPECT_FALSE(executor_.containers().contains("stray"));
  EXPECT_TRUE(executor_.containers().at("t1").running);
  EXPECT_FALSE(disk_.tasks.contains("stray"));
  EXPECT_EQ(worker_->Reports().size(), 1u);
  executor_.Plant("again", stray);
  loop_.Advance(absl::Minutes(5));
  Settle();
  EXPECT_FALSE(executor_.containers().contains("again"));
}

TEST_F(WorkerTest, F15NeverTakesWhatIsPreparedOrRemovedWhileItLooksForAStray) {
  executor_.list_time = absl::Seconds(1);
  RunOne("old");
  executor_.Plant("new", {});  // its Prepare has made the folder and has not answered
  loop_.Advance(absl::Minutes(5) - absl::Milliseconds(100));
  ASSERT_EQ(executor_.Count("list"), 1u);
  ASSERT_OK(worker_->Apply(Complete({{"new", kRunning}})));
  loop_.Advance(absl::Milliseconds(500));
  ASSERT_FALSE(executor_.containers().contains("old"));
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(executor_.Count("remove old"), 1u);
  EXPECT_EQ(executor_.Count("remove new"), 0u);
  EXPECT_EQ(reports_["new"].state(), kRunning);
}

TEST_F(WorkerTest, F18RebuildsALostDatabaseFromWhatRunsAndTheNextCompleteAssignment) {
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}, {"t2", kRunning}, {"t3", kRunning}})));
  Settle();
  const int64_t pid = reports_["t1"].container().pid();
  KillAgent();
  executor_.Exit("t3", {9, false, ""});
  disk_ = {};
  disk_.contents.rebuilt = true;
  reports_.clear();
  StartAgent();
  loop_.Advance(absl::Minutes(1));
  EXPECT_TRUE(executor_.containers().at("t2").running) << "nobody said yet what is wanted";
  EXPECT_EQ(reports_["t3"].container().exit_code(), 9);
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}, {"t3", kRunning}})));
  Settle();
  EXPECT_EQ(reports_["t1"].container().pid(), pid);
  EXPECT_EQ(executor_.Count("start t1"), 1u);
  EXPECT_FALSE(executor_.containers().contains("t2"));
  EXPECT_TRUE(disk_.tasks.contains("t1"));
}

TEST_F(WorkerTest, F18AContainerWithoutARevisionStillUsesItsImage) {
  FakeExecutor::Container container;
  container.running = true;
  container.image_digest = "sha256:old";
  executor_.Plant("t9", container);
  KillAgent();
  disk_ = {};
  disk_.contents.rebuilt = true;
  StartAgent();
  EXPECT_THAT(worker_->ImagesInUse(), ElementsAre("sha256:old"));
  ASSERT_OK(worker_->Apply(Complete({})));
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(worker_->ImagesInUse(), IsEmpty());
}

TEST_F(WorkerTest, ARemovalThatTheAgentDidNotFinishIsFinishedByTheNext) {
  executor_.obeys_stop = false;
  RunOne("t1");
  ASSERT_OK(worker_->Apply(Complete({})));
  loop_.Advance(absl::Milliseconds(50));
  KillAgent();
  StartAgent();
  loop_.Advance(absl::Seconds(4));
  EXPECT_THAT(executor_.containers(), IsEmpty());
  EXPECT_THAT(disk_.tasks, IsEmpty());
}

TEST_F(WorkerTest, F10StopsEverythingWithAReasonWhenItIsFencedOff) {
  RunOne("t1");
  worker_->StopAll("fenced off");
  Settle();
  EXPECT_EQ(reports_["t1"].state(), kShutdown);
  EXPECT_EQ(reports_["t1"].error(), "fenced off");
  EXPECT_EQ(worker_->containers_running(), 0u);
}

TEST_F(WorkerTest, LeavesNothingBehindWhenTheNodeLeavesTheCluster) {
  ASSERT_OK(worker_->Apply(Complete({{"t1", kRunning}, {"t2", kReady}})));
  Settle();
  bool done = false;
  worker_->RemoveAll([&] { done = true; });
  loop_.Advance(absl::Seconds(1));
  EXPECT_TRUE(done);
  EXPECT_THAT(executor_.containers(), IsEmpty());
  EXPECT_THAT(disk_.tasks, IsEmpty());
  EXPECT_THAT(disk_.revisions, IsEmpty());
}

TEST_F(WorkerTest, RemoveAllIsDoneAtOnceWhenThereIsNothing) {
  Settle();
  bool done = false;
  worker_->RemoveAll([&] { done = true; });
  Settle();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace swarm::agent
