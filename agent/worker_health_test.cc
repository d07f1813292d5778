// Tasks with a health check, from STARTING on; what the manager gives a task besides.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/worker.h"
#include "common/proto_time.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_prober.h"
#include "tests/support/fake_task_database.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::Disk;
using ::swarm::testing::FakeExecutor;
using ::swarm::testing::FakeProber;
using ::swarm::testing::FakeTaskDatabase;
using ::swarm::testing::SimLoop;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

constexpr TaskState kStarting = v1::TaskStatus::STATE_STARTING;
constexpr TaskState kRunning = v1::TaskStatus::STATE_RUNNING;
constexpr TaskState kShutdown = v1::TaskStatus::STATE_SHUTDOWN;
constexpr TaskState kFailed = v1::TaskStatus::STATE_FAILED;

class WorkerHealthTest : public ::testing::Test {
 protected:
  WorkerHealthTest() {
    v1::HealthCheck check;
    check.add_test("TCP");
    check.add_test(":80");
    *check.mutable_interval() = ToProto(absl::Seconds(10));
    check.set_retries(2);
    executor_.health_check = std::make_shared<const v1::HealthCheck>(check);
    StartAgent();
  }

  void StartAgent() {
    database_ = std::make_unique<FakeTaskDatabase>(loop_, disk_);
    WorkerOptions options;
    options.prober = &prober_;
    worker_ = std::make_unique<Worker>(env_, executor_, *database_, options);
    worker_->OnReport([this](const v1::TaskReport& report) {
      reports_.push_back(report.status());
      last_ = report.status();
    });
    absl::Status ready = absl::UnknownError("not ready");
    worker_->Start("boot-1", [&](absl::Status status) { ready = status; });
    loop_.RunUntilIdle();
    ASSERT_OK(ready);
  }
  void RestartAgent() {
    worker_.reset();
    database_.reset();
    executor_.AgentDied();
    prober_.AgentDied();
    StartAgent();
  }
  v1::TaskAssignment* AddTask(v1::Assignment& assignment, TaskState desired) {
    v1::TaskAssignment* task = assignment.add_tasks();
    task->set_task_id("t");
    task->set_revision_id("r");
    task->set_slot(1);
    task->set_desired_state(desired);
    return task;
  }
  v1::Assignment Complete(TaskState desired = kRunning) {
    v1::Assignment assignment;
    assignment.set_kind(v1::Assignment::KIND_COMPLETE);
    v1::Revision* revision = assignment.add_revisions();
    revision->set_id("r");
    revision->set_image_digest("sha256:abc");
    AddTask(assignment, desired);
    return assignment;
  }
  void Begin() {
    ASSERT_OK(worker_->Apply(Complete()));
    loop_.Advance(absl::Milliseconds(100));
  }
  void Wait(int seconds) { loop_.Advance(absl::Seconds(seconds)); }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(7);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  FakeExecutor executor_{loop_};
  FakeProber prober_{loop_};
  Disk disk_;
  std::unique_ptr<FakeTaskDatabase> database_;
  std::unique_ptr<Worker> worker_;
  std::vector<v1::TaskStatus> reports_;
  v1::TaskStatus last_;
};

TEST_F(WorkerHealthTest, IsStartingUntilItsFirstSuccess) {
  Begin();
  EXPECT_EQ(last_.state(), kStarting);
  EXPECT_EQ(last_.health().state(), v1::Health::STATE_STARTING);
  EXPECT_GT(last_.container().pid(), 0);
  Wait(9);
  EXPECT_EQ(last_.state(), kStarting);
  Wait(2);
  EXPECT_EQ(last_.state(), kRunning);
  EXPECT_EQ(last_.health().state(), v1::Health::STATE_HEALTHY);
  EXPECT_GT(last_.container().pid(), 0);
  const size_t told = reports_.size();
  Wait(100);
  EXPECT_EQ(reports_.size(), told) << "successes are no news";
}

TEST_F(WorkerHealthTest, AnUnhealthyTaskIsStoppedAndHasFailed) {
  Begin();
  Wait(11);
  prober_.results["t"] = {1, "connection refused"};
  Wait(11);
  EXPECT_EQ(last_.state(), kRunning);
  EXPECT_EQ(last_.health().failing_streak(), 1u);
  EXPECT_EQ(last_.health().log(1).output(), "connection refused");
  Wait(11);
  EXPECT_THAT(executor_.calls(), Contains("stop t"));
  EXPECT_EQ(last_.state(), kFailed);
  EXPECT_EQ(last_.error(), "unhealthy: connection refused");
  EXPECT_EQ(last_.container().exit_code(), 143);
  EXPECT_EQ(last_.health().state(), v1::Health::STATE_UNHEALTHY);
  const size_t probes = prober_.calls().size();
  Wait(100);
  EXPECT_EQ(prober_.calls().size(), probes);
  // In between it says what is going on.
  bool said = false;
  for (const v1::TaskStatus& status : reports_) said |= status.message() == "unhealthy: stopping";
  EXPECT_TRUE(said);
}

TEST_F(WorkerHealthTest, OneThatIgnoresTheStopIsKilledAfterItsGrace) {
  executor_.obeys_stop = false;
  prober_.results["t"] = {1, "no"};
  Begin();
  Wait(25);
  EXPECT_EQ(last_.state(), kStarting);
  EXPECT_THAT(executor_.calls(), Not(Contains("kill t")));
  Wait(10);
  EXPECT_THAT(executor_.calls(), Contains("kill t"));
  EXPECT_EQ(last_.state(), kFailed);
  EXPECT_EQ(last_.error(), "unhealthy: no");
}

TEST_F(WorkerHealthTest, OneThatExitsWhileStartingFailsAsUsual) {
  Begin();
  executor_.Exit("t", {3, false, ""});
  Wait(1);
  EXPECT_EQ(last_.state(), kFailed);
  EXPECT_EQ(last_.error(), "task: non-zero exit (3)");
  Wait(60);
  EXPECT_EQ(prober_.calls().size(), 0u);
}

TEST_F(WorkerHealthTest, AStopInterruptsTheProbe) {
  prober_.times["t"] = absl::Minutes(10);
  Begin();
  Wait(11);
  v1::Assignment stop;
  stop.set_kind(v1::Assignment::KIND_INCREMENT);
  AddTask(stop, kShutdown);
  ASSERT_OK(worker_->Apply(stop));
  Wait(1);
  EXPECT_THAT(prober_.interrupted(), ElementsAre("t"));
  EXPECT_EQ(last_.state(), kShutdown);
}

TEST_F(WorkerHealthTest, WithoutAHealthCheckItRunsAtOnce) {
  executor_.health_check = nullptr;
  Begin();
  EXPECT_EQ(last_.state(), kRunning);
  EXPECT_FALSE(last_.has_health());
}

TEST_F(WorkerHealthTest, ARunningTaskStaysSoOverAnAgentsDeathUntilProvenUnhealthy) {
  Begin();
  Wait(11);
  ASSERT_EQ(last_.state(), kRunning);
  reports_.clear();
  RestartAgent();
  ASSERT_OK(worker_->Apply(Complete()));
  Wait(1);
  for (const v1::TaskStatus& status : reports_) EXPECT_EQ(status.state(), kRunning);
  EXPECT_EQ(last_.health().state(), v1::Health::STATE_HEALTHY);
  EXPECT_EQ(last_.health().log_size(), 1) << "with what was known of it";
  prober_.results["t"] = {1, "refused"};
  Wait(25);
  EXPECT_EQ(last_.state(), kFailed);
}

TEST_F(WorkerHealthTest, AStartingTaskGoesOnStartingOverAnAgentsDeath) {
  Begin();
  Wait(5);
  RestartAgent();
  ASSERT_OK(worker_->Apply(Complete()));
  Wait(5);
  EXPECT_EQ(last_.state(), kStarting);
  Wait(6);
  EXPECT_EQ(last_.state(), kRunning);
}

TEST_F(WorkerHealthTest, AnAgentThatDiesWhileItStopsAnUnhealthyTaskIsFollowedByOneThatGoesOn) {
  executor_.obeys_stop = false;
  Begin();
  Wait(11);
  prober_.results["t"] = {1, "refused"};
  Wait(21);
  ASSERT_EQ(last_.health().state(), v1::Health::STATE_UNHEALTHY);
  ASSERT_EQ(last_.state(), kRunning);
  RestartAgent();
  ASSERT_OK(worker_->Apply(Complete()));
  Wait(11);
  EXPECT_EQ(last_.state(), kFailed);
  EXPECT_EQ(last_.error(), "unhealthy: refused");
}

TEST_F(WorkerHealthTest, KeepsWhatATaskWasGivenOfTheNodesResources) {
  v1::Assignment assignment = Complete(v1::TaskStatus::STATE_READY);
  v1::GenericResource* gpu = assignment.mutable_tasks(0)->add_generic_resources();
  gpu->set_kind("gpu");
  gpu->add_ids("GPU-1");
  ASSERT_OK(worker_->Apply(assignment));
  Wait(1);
  ASSERT_EQ(executor_.prepared["t"].generic_resources.size(), 1u);
  EXPECT_EQ(executor_.prepared["t"].generic_resources[0].ids(0), "GPU-1");
  executor_.prepared.clear();
  RestartAgent();  // what was prepared and not started is prepared anew, before any session
  Wait(1);
  ASSERT_EQ(executor_.prepared["t"].generic_resources.size(), 1u);
  EXPECT_EQ(executor_.prepared["t"].generic_resources[0].ids(0), "GPU-1");
}

TEST_F(WorkerHealthTest, ReportsTheUsageOfThoseThatRunAndAreAskedFor) {
  v1::Assignment assignment = Complete();
  assignment.mutable_tasks(0)->mutable_usage()->add_metrics()->set_name("lag");
  ASSERT_OK(worker_->Apply(assignment));
  EXPECT_TRUE(worker_->UsageWatches().empty());
  Wait(1);
  EXPECT_EQ(worker_->UsageWatches().at("t").metrics(0).name(), "lag");
  ASSERT_OK(worker_->Apply(Complete()));
  EXPECT_TRUE(worker_->UsageWatches().empty()) << "no longer asked for";
}

}  // namespace
}  // namespace swarm::agent
