// Jobs and cron jobs, through the orchestrator, in virtual time.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/proto_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/job_runs.h"
#include "manager/orchestrator/orchestrator_test_world.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using v1::JobRun;

class JobKeeperTest : public OrchestratorTest {
 protected:
  using SpecChange = StoreWorld::SpecChange;

  Ref<Service> Record(Id job) { return world_.view().GetService(job); }
  std::vector<JobRun> Runs(Id job) {
    const auto& runs = Record(job)->runs();
    return {runs.begin(), runs.end()};
  }
  JobRun LastRun(Id job) { return Runs(job).empty() ? JobRun() : Runs(job).back(); }
  std::vector<JobRun::State> States(Id job) {
    std::vector<JobRun::State> states;
    for (const JobRun& run : Runs(job)) states.push_back(run.state());
    return states;
  }
  std::vector<Task> TasksOfRun(Id job, uint32_t run) {
    std::vector<Task> tasks = world_.TasksOf(job);
    std::erase_if(tasks, [&](const Task& task) { return RunOf(task.slot) != run; });
    return tasks;
  }
  // Those that run, will run or wait to.
  std::vector<Task> InFlight(Id job) {
    std::vector<Task> tasks = world_.TasksOf(job);
    std::erase_if(tasks, [](const Task& task) { return !IsRunnable(task); });
    return tasks;
  }
  std::set<uint32_t> NumbersInFlight(Id job) {
    std::set<uint32_t> numbers;
    for (const Task& task : InFlight(job)) numbers.insert(NumberOf(task.slot));
    return numbers;
  }
  size_t Completed(Id job, uint32_t run) {
    const std::vector<Task> tasks = TasksOfRun(job, run);
    return std::count_if(tasks.begin(), tasks.end(),
                         [](const Task& task) { return task.state == TaskState::kComplete; });
  }
  void FinishOne(Id job) {
    world_.Report(InFlight(job).front().id, TaskState::kComplete);
    world_.Settle();
  }
  void FinishAll(Id job) {
    for (const Task& task : InFlight(job)) world_.Report(task.id, TaskState::kComplete);
    world_.Settle();
  }
  void FailAll(Id job) {
    for (const Task& task : InFlight(job)) world_.Report(task.id, TaskState::kFailed, "exit 1");
    world_.Settle();
  }
  Id AddGlobalJob(const SpecChange& change = nullptr) {
    return world_.AddService("everywhere", 0, [&](v1::ServiceSpec& spec) {
      spec.mutable_global_job();
      if (change != nullptr) change(spec);
    });
  }
  static SpecChange Attempts(uint64_t max) {
    return Restart(v1::RestartPolicy::CONDITION_ANY, max);
  }

  // ---- cron. Time begins on 2023-11-14 at 22:13:20 UTC.
  Id AddCron(const std::string& expression, const SpecChange& change = nullptr) {
    return world_.AddJob("nightly", 1, 1, [&](v1::ServiceSpec& spec) {
      spec.mutable_schedule()->set_expression(expression);
      if (change != nullptr) change(spec);
    });
  }
  static SpecChange Concurrency(v1::CronSchedule::Concurrency concurrency) {
    return [=](v1::ServiceSpec& spec) { spec.mutable_schedule()->set_concurrency(concurrency); };
  }
  static std::string TimeOf(const google::protobuf::Timestamp& time) {
    return absl::FormatTime("%H:%M:%S", swarm::FromProto(time), absl::UTCTimeZone());
  }
  std::vector<std::string> StartTimes(Id job) {
    std::vector<std::string> times;
    for (const JobRun& run : Runs(job)) {
      if (run.run() > 0) times.push_back(TimeOf(run.started_at()));
    }
    return times;
  }
  size_t CountRestartHistories(Id job) {
    size_t count = 0;
    for (uint32_t run = 1; run <= Record(job)->last_run(); ++run) {
      world_.view().EachRevisionOfService(job, [&](const Ref<Revision>& revision) {
        const Id id = Id::ParseOrZero(revision->revision().id());
        count += world_.view().GetRestartHistory(job, id, MakeSlot(run, 1)).has_value();
        return true;
      });
    }
    return count;
  }
};

// --------------------------------------------------------------------------- replicated jobs

TEST_F(JobKeeperTest, RunsEachSlotToItsEndAndKeepsTheTasksAsTheRecord) {
  const Id job = world_.AddJob("job", 5, 2);
  world_.Settle();
  const JobRun run = LastRun(job);
  EXPECT_EQ(run.run(), 1u);
  EXPECT_EQ(run.state(), JobRun::STATE_COMPLETE);
  EXPECT_EQ(run.completions(), 5u);
  EXPECT_EQ(run.completed(), 5u);
  EXPECT_EQ(run.revision_id(), Record(job)->revision_id());
  EXPECT_TRUE(run.has_started_at() && run.has_ended_at() && !run.has_scheduled_at());
  std::vector<uint32_t> numbers;
  for (const Task& task : world_.TasksOf(job)) {
    EXPECT_EQ(task.desired, TaskState::kComplete);
    EXPECT_EQ(task.state, TaskState::kComplete);
    EXPECT_EQ(RunOf(task.slot), 1u);
    numbers.push_back(NumberOf(task.slot));
  }
  EXPECT_THAT(numbers, ElementsAre(1, 2, 3, 4, 5));
  world_.Pass(absl::Minutes(5));
  EXPECT_THAT(world_.TasksOf(job), SizeIs(5));  // complete is over, whatever the condition
  EXPECT_THAT(Runs(job), SizeIs(1));
}

TEST_F(JobKeeperTest, RunsSoManyAtOnceAsMaxConcurrentSays) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 4, 2);
  world_.Settle();
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(1, 2));
  FinishOne(job);
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(2, 3));
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_RUNNING);
  EXPECT_EQ(LastRun(job).completed(), 1u);
  FinishAll(job);
  FinishOne(job);
  EXPECT_THAT(InFlight(job), IsEmpty());
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
}

TEST_F(JobKeeperTest, AThousandCompletionsFiftyAtOnceAreNeverMoreAndExactlyAThousand) {
  size_t running = 0;
  size_t most = 0;
  size_t completed = 0;
  auto watch = world_.store().Watch(WatchSpeed::kApplied, [&](const ChangeSet& set) {
    for (const Change& change : set.changes) {
      const auto before = change.Before<Task>();
      const auto after = change.After<Task>();
      running += after != nullptr && IsRunnable(*after);
      running -= before != nullptr && IsRunnable(*before);
      completed += after != nullptr && after->state == TaskState::kComplete &&
                   before->state != TaskState::kComplete;
    }
    most = std::max(most, running);
  });
  const Id job = world_.AddJob("job", 1'000, 50);
  world_.Settle();
  EXPECT_EQ(most, 50u);
  EXPECT_EQ(completed, 1'000u);
  EXPECT_EQ(Completed(job, 1), 1'000u);
  EXPECT_EQ(LastRun(job).completed(), 1'000u);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
}

TEST_F(JobKeeperTest, RestartsAFailedSlotAfterTheDelayInItsPlace) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 3, 1);
  world_.Settle();
  FailAll(job);
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(1));  // waits, and nobody takes its place
  EXPECT_EQ(InFlight(job).front().desired, TaskState::kReady);
  world_.Pass(absl::Seconds(6));
  EXPECT_EQ(InFlight(job).front().desired, TaskState::kComplete);
  EXPECT_EQ(InFlight(job).front().state, TaskState::kRunning);
  world_.HoldJobs(false);
  world_.Settle();
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
}

TEST_F(JobKeeperTest, ASlotWhoseAttemptsAreUsedUpIsDeadAndTheRunFailedOnceTheRestIsDone) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 3, 1, Attempts(2));
  world_.Settle();
  for (int i = 0; i < 3; ++i) {
    FailAll(job);
    world_.Pass(absl::Seconds(6));
  }
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(2));  // 1 is dead after a run and two restarts
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_RUNNING);
  EXPECT_THAT(LastRun(job).message(), AllOf(HasSubstr("1 of 3 failed"), HasSubstr("exit 1")));
  FinishOne(job);
  FinishOne(job);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_FAILED);
  EXPECT_EQ(LastRun(job).completed(), 2u);
  world_.Pass(absl::Minutes(5));
  EXPECT_THAT(InFlight(job), IsEmpty());
  EXPECT_THAT(TasksOfRun(job, 1), SizeIs(5));
}

TEST_F(JobKeeperTest, ConditionNoneRestartsNothing) {
  world_.BreakImage("app:1");
  const Id job = world_.AddJob("job", 2, 2, Restart(v1::RestartPolicy::CONDITION_NONE));
  world_.Pass(absl::Minutes(1));
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_FAILED);
  EXPECT_THAT(world_.TasksOf(job), SizeIs(2));
}

TEST_F(JobKeeperTest, AnUpdateStopsTheRunRemovesItsTasksAndBeginsAnother) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 3, 2);
  world_.Settle();
  FinishOne(job);
  world_.SetImage(job, "app:2");
  world_.Settle();
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_STOPPED, JobRun::STATE_RUNNING));
  EXPECT_EQ(Runs(job)[0].completed(), 1u);
  EXPECT_EQ(Runs(job)[0].message(), "replaced by run 2");
  EXPECT_THAT(TasksOfRun(job, 1), IsEmpty());
  EXPECT_THAT(TasksOfRun(job, 2), SizeIs(2));
  for (const Task& task : world_.TasksOf(job)) EXPECT_EQ(StoreWorld::ImageOf(task), "app:2");
  EXPECT_FALSE(Record(job)->has_update_status());  // no rollout
}

TEST_F(JobKeeperTest, AnUpdateOfAJobThatHadEndedLeavesItsRecordAndRemovesItsTasks) {
  const Id job = world_.AddJob("job", 3, 2);
  world_.Settle();
  world_.SetImage(job, "app:2");
  world_.Settle();
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_COMPLETE, JobRun::STATE_COMPLETE));
  EXPECT_THAT(TasksOfRun(job, 1), IsEmpty());
  EXPECT_THAT(TasksOfRun(job, 2), SizeIs(3));
}

TEST_F(JobKeeperTest, ChangesOfTheNumbersCountInTheRunThatIsThere) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 4, 1);
  world_.Settle();
  const auto set = [&](uint64_t total, uint64_t at_once) {
    world_.ChangeService(job, [=](v1::ServiceSpec& spec) {
      spec.mutable_replicated_job()->set_total_completions(total);
      spec.mutable_replicated_job()->set_max_concurrent(at_once);
    });
    world_.Settle();
  };
  set(4, 3);
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(1, 2, 3));
  set(2, 3);  // what has begun is finished
  FinishAll(job);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  EXPECT_EQ(LastRun(job).completions(), 3u);
  set(5, 3);
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(4, 5));
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_RUNNING);
  EXPECT_FALSE(LastRun(job).has_ended_at());
  FinishAll(job);
  EXPECT_EQ(LastRun(job).completed(), 5u);
  EXPECT_THAT(Runs(job), SizeIs(1));
}

TEST_F(JobKeeperTest, KeepsTheTenNewestRunsOfAJobWithoutASchedule) {
  const Id job = world_.AddJob("job", 2, 2);
  for (int i = 2; i <= 15; ++i) {
    world_.Settle();
    world_.SetImage(job, "app:" + std::to_string(i));
  }
  world_.Settle();
  EXPECT_THAT(Runs(job), SizeIs(kKeptRuns));
  EXPECT_EQ(LastRun(job).run(), 15u);
  EXPECT_THAT(world_.TasksOf(job), SizeIs(2));
}

TEST_F(JobKeeperTest, GoesOnAfterARestartOfTheManagerAndRunsNothingTwice) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 6, 2);
  world_.Settle();
  FinishAll(job);
  FinishOne(job);
  std::set<Id> before;
  for (const Task& task : world_.TasksOf(job)) before.insert(task.id);
  RestartManager();
  world_.Settle();
  std::set<Id> after;
  for (const Task& task : world_.TasksOf(job)) after.insert(task.id);
  EXPECT_EQ(after, before);
  EXPECT_EQ(LastRun(job).completed(), 3u);
  world_.HoldJobs(false);
  world_.Settle();
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  EXPECT_THAT(world_.TasksOf(job), SizeIs(6));
}

TEST_F(JobKeeperTest, CountsWhatEndedWhileTheManagerWasDown) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 3, 2);
  world_.Settle();
  orchestrator_.reset();
  for (const Task& task : InFlight(job)) world_.Report(task.id, TaskState::kComplete);
  RestartManager();
  world_.Settle();
  EXPECT_EQ(LastRun(job).completed(), 2u);
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(3));
}

TEST_F(JobKeeperTest, AttemptsAreNotForgottenByARestartOfTheManager) {
  world_.BreakImage("app:1");
  const Id job = world_.AddJob("job", 1, 1, Attempts(2));
  for (int i = 0; i < 5; ++i) {
    world_.Pass(absl::Seconds(3));
    RestartManager();
  }
  world_.Pass(absl::Minutes(1));
  EXPECT_THAT(world_.TasksOf(job), SizeIs(3));
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_FAILED);
}

TEST_F(JobKeeperTest, ARestartOfTheManagerRightAfterAnUpdateStillRemovesTheOldTasks) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 3, 3);
  world_.Settle();
  world_.SetImage(job, "app:2");
  world_.loop().RunUntilIdle();  // decided, but no node did it
  RestartManager();
  world_.Settle();
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_STOPPED, JobRun::STATE_RUNNING));
  EXPECT_THAT(TasksOfRun(job, 1), IsEmpty());
  EXPECT_THAT(TasksOfRun(job, 2), SizeIs(3));
}

TEST_F(JobKeeperTest, MovesTasksOffADrainedNodeWithoutCountingAnAttempt) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 3, 3, Attempts(1));
  world_.Settle();
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.Settle();
  world_.SetAvailability(nodes_[1], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.Settle();
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(1, 2, 3));
  for (const Task& task : InFlight(job)) EXPECT_EQ(task.node_id, nodes_[2]);
  FailAll(job);  // the one attempt is still there
  world_.Pass(absl::Seconds(6));
  EXPECT_THAT(NumbersInFlight(job), ElementsAre(1, 2, 3));
}

TEST_F(JobKeeperTest, WhatFinishedOnANodeThatCameBackCounts) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 3, 3);
  world_.Settle();
  Task lost;
  for (const Task& task : InFlight(job)) lost = task.node_id == nodes_[0] ? task : lost;
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  EXPECT_THAT(NumbersInFlight(job), SizeIs(3));
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_READY);
  world_.Report(lost.id, TaskState::kComplete);
  world_.Settle();
  EXPECT_EQ(LastRun(job).completed(), 1u);
  EXPECT_FALSE(NumbersInFlight(job).contains(NumberOf(lost.slot)));
  RestartManager();
  world_.Settle();
  EXPECT_EQ(LastRun(job).completed(), 1u);
  FinishAll(job);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
}

TEST_F(JobKeeperTest, RunsAgainWhatWasOnARemovedNodeAndKeepsWhatWasComplete) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 6, 3);
  world_.Settle();
  FinishAll(job);
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  world_.RemoveNode(nodes_[0]);
  world_.Settle();
  RestartManager();
  world_.Settle();
  EXPECT_EQ(LastRun(job).completed(), 3u);
  FinishAll(job);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  EXPECT_EQ(Completed(job, 1), 6u);
}

TEST_F(JobKeeperTest, RemovesAJobWithAllThatBelongsToIt) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 6, 3);
  world_.Settle();
  FinishAll(job);
  world_.RemoveService(job);
  world_.Settle();
  EXPECT_EQ(Record(job), nullptr);
  EXPECT_THAT(world_.TasksOf(job), IsEmpty());
}

TEST_F(JobKeeperTest, ALargeJobIsBegunAndRemovedOverManyTurns) {
  const uint64_t count = Orchestrator::kTasksPerUpdate * 2 + 10;
  for (Id node : nodes_) world_.SetAvailability(node, v1::NodeSpec::AVAILABILITY_PAUSE);
  const Id job = world_.AddJob("job", count, count);
  world_.loop().RunUntilIdle();
  EXPECT_THAT(TasksOfRun(job, 1), SizeIs(count));
  world_.SetImage(job, "app:2");
  world_.loop().RunUntilIdle();
  EXPECT_THAT(TasksOfRun(job, 1), IsEmpty());
  EXPECT_THAT(TasksOfRun(job, 2), SizeIs(count));
}

// ------------------------------------------------------------------------------- global jobs

TEST_F(JobKeeperTest, AGlobalJobCompletesOneTaskOnEachNode) {
  const Id job = AddGlobalJob();
  world_.Settle();
  std::set<Id> on;
  for (const Task& task : world_.TasksOf(job)) {
    EXPECT_EQ(task.wanted_node, task.node_id);
    EXPECT_EQ(task.state, TaskState::kComplete);
    on.insert(task.node_id);
  }
  EXPECT_EQ(on, std::set<Id>(nodes_.begin(), nodes_.end()));
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  EXPECT_EQ(LastRun(job).completions(), 3u);
}

TEST_F(JobKeeperTest, ANewNodeGetsItsTaskOfAGlobalJobThatWasComplete) {
  const Id job = AddGlobalJob();
  world_.Settle();
  world_.HoldJobs(true);
  const Id node = world_.AddNode("d");
  world_.Settle();
  EXPECT_THAT(InFlight(job), SizeIs(1));
  EXPECT_EQ(InFlight(job).front().node_id, node);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_RUNNING);
  FinishAll(job);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  EXPECT_EQ(LastRun(job).completed(), 4u);
  EXPECT_THAT(Runs(job), SizeIs(1));
}

TEST_F(JobKeeperTest, AGlobalJobEnforcesMaxAttemptsOnEachNode) {
  world_.BreakImage("app:1");
  const Id job = AddGlobalJob(Attempts(2));
  world_.Pass(absl::Minutes(5), absl::Seconds(1));
  EXPECT_THAT(world_.TasksOf(job), SizeIs(9));  // a run and two restarts on each
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_FAILED);
  EXPECT_THAT(LastRun(job).message(), HasSubstr("3 of 3 failed"));
}

TEST_F(JobKeeperTest, AGlobalJobGoesWhereItsConstraintsAllow) {
  world_.ChangeNode(nodes_[1],
                    [](Node& node) { (*node.mutable_spec()->mutable_labels())["disk"] = "ssd"; });
  const Id job = AddGlobalJob([](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.labels.disk==ssd");
  });
  world_.Settle();
  ASSERT_THAT(world_.TasksOf(job), SizeIs(1));
  EXPECT_EQ(world_.TasksOf(job)[0].node_id, nodes_[1]);
  world_.ChangeNode(nodes_[2],
                    [](Node& node) { (*node.mutable_spec()->mutable_labels())["disk"] = "ssd"; });
  world_.Settle();
  EXPECT_EQ(LastRun(job).completed(), 2u);
}

TEST_F(JobKeeperTest, AGlobalJobThatNoNodeFitsRunsAndSaysSo) {
  const Id job = AddGlobalJob([](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.labels.disk==ssd");
  });
  world_.Settle();
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_RUNNING);
  EXPECT_EQ(LastRun(job).message(), "no node is eligible yet");
}

TEST_F(JobKeeperTest, AGlobalJobLeavesADrainedNodeAndReturnsToIt) {
  world_.HoldJobs(true);
  const Id job = AddGlobalJob();
  world_.Settle();
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.Settle();
  EXPECT_THAT(world_.TasksOf(job), SizeIs(2));
  FinishAll(job);
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  world_.SetAvailability(nodes_[1], v1::NodeSpec::AVAILABILITY_DRAIN);  // where it is complete
  world_.SetAvailability(nodes_[0], v1::NodeSpec::AVAILABILITY_ACTIVE);
  world_.Settle();
  ASSERT_THAT(InFlight(job), SizeIs(1));
  EXPECT_EQ(InFlight(job)[0].node_id, nodes_[0]);
  EXPECT_EQ(LastRun(job).completed(), 2u);
}

TEST_F(JobKeeperTest, AGlobalJobWaitsForANodeThatIsDownUntilItIsRemoved) {
  world_.HoldJobs(true);
  const Id job = AddGlobalJob();
  world_.Settle();
  world_.SetNodeState(nodes_[0], v1::NodeStatus::STATE_DOWN);
  world_.Settle();
  for (const Task& task : InFlight(job)) {
    if (task.node_id != nodes_[0]) world_.Report(task.id, TaskState::kComplete);
  }
  world_.Settle();
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_RUNNING);
  world_.RemoveNode(nodes_[0]);
  world_.Settle();
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  EXPECT_EQ(LastRun(job).completed(), 2u);
}

TEST_F(JobKeeperTest, AGlobalJobGoesOnAfterARestartOfTheManager) {
  world_.HoldJobs(true);
  const Id job = AddGlobalJob();
  world_.Settle();
  FinishOne(job);
  const std::string before = Record(job)->SerializeAsString();
  RestartManager();
  world_.Settle();
  EXPECT_EQ(Record(job)->SerializeAsString(), before);
  EXPECT_THAT(world_.TasksOf(job), SizeIs(3));
  FinishAll(job);
  RestartManager();
  world_.Settle();
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_COMPLETE);
  EXPECT_THAT(world_.TasksOf(job), SizeIs(3));
}

// --------------------------------------------------------------------------------- cron jobs

TEST_F(JobKeeperTest, ACronJobRunsNothingAtItsCreationAndThenAtEachTimeOfItsSchedule) {
  const Id job = AddCron("*/5 * * * *");
  world_.Settle();
  EXPECT_THAT(Runs(job), IsEmpty());
  EXPECT_THAT(world_.TasksOf(job), IsEmpty());
  world_.Pass(absl::Minutes(13), absl::Seconds(10));
  EXPECT_THAT(StartTimes(job), ElementsAre("22:15:00", "22:20:00", "22:25:00"));
  EXPECT_THAT(States(job), Each(JobRun::STATE_COMPLETE));
  EXPECT_EQ(TimeOf(LastRun(job).scheduled_at()), "22:25:00");
  EXPECT_THAT(world_.TasksOf(job), SizeIs(3));
}

TEST_F(JobKeeperTest, TheNextRunIsKnownFromTheRecord) {
  const Id job = AddCron("30 23 * * *", [](v1::ServiceSpec& spec) {
    spec.mutable_schedule()->set_time_zone("Europe/Berlin");
  });
  EXPECT_EQ(TimeOf(swarm::ToProto(*NextRun(*Record(job)))), "22:30:00");
  world_.Pass(absl::Minutes(20), absl::Seconds(10));
  EXPECT_THAT(StartTimes(job), ElementsAre("22:30:00"));
  EXPECT_EQ(*NextRun(*Record(job)) - world_.loop().WallNow(), absl::Hours(24) - absl::Seconds(200));
  EXPECT_EQ(NextRun(*Record(world_.AddJob("job", 1, 1))), std::nullopt);
}

TEST_F(JobKeeperTest, ForbidSkipsARunWhileTheOneBeforeIsNotOverAndSaysSo) {
  world_.HoldJobs(true);
  const Id job = AddCron("*/5 * * * *");
  world_.Pass(absl::Minutes(8), absl::Seconds(10));
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_RUNNING, JobRun::STATE_SKIPPED));
  EXPECT_EQ(LastRun(job).message(), "run 1 is not over");
  EXPECT_EQ(TimeOf(LastRun(job).scheduled_at()), "22:20:00");
  EXPECT_EQ(LastRun(job).run(), 0u);
  FinishAll(job);
  world_.Pass(absl::Minutes(5), absl::Seconds(10));
  EXPECT_THAT(States(job),
              ElementsAre(JobRun::STATE_COMPLETE, JobRun::STATE_SKIPPED, JobRun::STATE_RUNNING));
  EXPECT_EQ(LastRun(job).run(), 2u);
}

TEST_F(JobKeeperTest, ARunThatEndsAtTheTimeOfTheNextIsNotInItsWay) {
  world_.HoldJobs(true);
  const Id job = AddCron("*/5 * * * *");
  world_.Pass(absl::Seconds(399), absl::Seconds(7));
  EXPECT_EQ(TimeOf(swarm::ToProto(world_.loop().WallNow())), "22:19:59");
  world_.Report(InFlight(job).front().id, TaskState::kComplete);
  world_.loop().Advance(absl::Seconds(1));
  world_.Settle();
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_COMPLETE, JobRun::STATE_RUNNING));
}

TEST_F(JobKeeperTest, ReplaceStopsTheRunBeforeAndRemovesItsTasks) {
  world_.HoldJobs(true);
  const Id job = AddCron("*/5 * * * *", Concurrency(v1::CronSchedule::CONCURRENCY_REPLACE));
  world_.Pass(absl::Minutes(8), absl::Seconds(10));
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_STOPPED, JobRun::STATE_RUNNING));
  EXPECT_THAT(TasksOfRun(job, 1), IsEmpty());
  EXPECT_THAT(TasksOfRun(job, 2), SizeIs(1));
}

TEST_F(JobKeeperTest, AllowRunsBesideTheRunBefore) {
  world_.HoldJobs(true);
  const Id job = AddCron("*/5 * * * *", Concurrency(v1::CronSchedule::CONCURRENCY_ALLOW));
  world_.Pass(absl::Minutes(13), absl::Seconds(10));
  EXPECT_THAT(States(job),
              ElementsAre(JobRun::STATE_RUNNING, JobRun::STATE_RUNNING, JobRun::STATE_RUNNING));
  EXPECT_THAT(InFlight(job), SizeIs(3));
  RestartManager();
  world_.Settle();
  FinishAll(job);
  EXPECT_THAT(States(job), Each(JobRun::STATE_COMPLETE));
}

TEST_F(JobKeeperTest, AllowStopsAtAHundredRunsThatAreNotOver) {
  world_.HoldJobs(true);
  const Id job = AddCron("* * * * *", Concurrency(v1::CronSchedule::CONCURRENCY_ALLOW));
  world_.Pass(absl::Minutes(kMostAlive + 3), absl::Seconds(30));
  EXPECT_THAT(InFlight(job), SizeIs(kMostAlive));
  EXPECT_EQ(LastRun(job).state(), JobRun::STATE_SKIPPED);
  EXPECT_EQ(LastRun(job).message(), "100 runs before it are not over");
}

TEST_F(JobKeeperTest, RunsTheLatestMissedTimeWithinTheDeadlineAndSaysWhatWasMissed) {
  const Id job = AddCron("*/5 * * * *");
  world_.Settle();
  orchestrator_.reset();
  world_.loop().Advance(absl::Seconds(100 + 600 + 60));  // 22:26:00
  RestartManager();
  world_.Settle();
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_MISSED, JobRun::STATE_COMPLETE));
  EXPECT_EQ(Runs(job)[0].message(), "missed 2 runs since 2023-11-14T22:15:00+00:00");
  EXPECT_EQ(TimeOf(LastRun(job).scheduled_at()), "22:25:00");
  EXPECT_EQ(TimeOf(LastRun(job).started_at()), "22:26:00");
}

TEST_F(JobKeeperTest, RunsNothingWhenEvenTheLatestMissedTimeIsTooLongAgo) {
  const Id job = AddCron("*/5 * * * *", [](v1::ServiceSpec& spec) {
    spec.mutable_schedule()->mutable_starting_deadline()->set_seconds(30);
  });
  world_.Settle();
  orchestrator_.reset();
  world_.loop().Advance(absl::Seconds(100 + 600 + 60));
  RestartManager();
  world_.Settle();
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_MISSED));
  EXPECT_EQ(LastRun(job).message(), "missed 3 runs since 2023-11-14T22:15:00+00:00");
  EXPECT_EQ(Record(job)->last_run(), 0u);
  world_.Pass(absl::Minutes(5), absl::Seconds(10));
  EXPECT_THAT(StartTimes(job), ElementsAre("22:30:00"));
}

TEST_F(JobKeeperTest, SeesAClockThatJumpsForwardWithinHalfAMinute) {
  const Id job = AddCron("0 * * * *");  // in three quarters of an hour
  world_.Pass(absl::Minutes(1), absl::Seconds(10));
  world_.loop().ShiftWallClock(absl::Seconds(45 * 60 + 50));  // 23:00:10
  world_.Pass(absl::Seconds(30), absl::Seconds(10));
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_COMPLETE));
  EXPECT_EQ(TimeOf(LastRun(job).scheduled_at()), "23:00:00");
}

TEST_F(JobKeeperTest, ADayThatIsJumpedOverIsOneRecord) {
  const Id job = AddCron("* * * * *");
  world_.Settle();
  world_.loop().ShiftWallClock(absl::Hours(24));
  world_.Pass(absl::Seconds(30), absl::Seconds(10));
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_MISSED, JobRun::STATE_COMPLETE));
  EXPECT_EQ(Runs(job)[0].message(), "missed 1439 runs since 2023-11-14T22:14:00+00:00");
}

TEST_F(JobKeeperTest, AClockThatIsSetBackRepeatsNoRun) {
  const Id job = AddCron("*/5 * * * *");
  world_.Pass(absl::Minutes(8), absl::Seconds(10));
  EXPECT_THAT(StartTimes(job), ElementsAre("22:15:00", "22:20:00"));
  world_.loop().ShiftWallClock(-absl::Minutes(10));  // 22:11:20
  world_.Pass(absl::Minutes(15), absl::Seconds(10));
  EXPECT_THAT(StartTimes(job), ElementsAre("22:15:00", "22:20:00", "22:25:00"));
  EXPECT_EQ(Record(job)->last_run(), 3u);
}

TEST_F(JobKeeperTest, AClockThatHadBeenWrongByDaysDoesNotSilenceTheSchedule) {
  const Id job = AddCron("*/5 * * * *");
  world_.loop().ShiftWallClock(absl::Hours(72));
  world_.Pass(absl::Minutes(8), absl::Seconds(10));
  const uint32_t before = Record(job)->last_run();
  world_.loop().ShiftWallClock(-absl::Hours(72));
  world_.Pass(absl::Minutes(10), absl::Seconds(10));
  EXPECT_EQ(Record(job)->last_run(), before + 2);
}

TEST_F(JobKeeperTest, ACrashAtTheTimeOfARunNeitherDoublesNorLosesIt) {
  const Id job = AddCron("*/5 * * * *");
  world_.Settle();
  orchestrator_.reset();
  world_.loop().Advance(absl::Seconds(100));  // due, and nobody there
  RestartManager();
  world_.loop().RunUntilIdle();  // begun, and no node knows
  EXPECT_EQ(Record(job)->last_run(), 1u);
  EXPECT_THAT(InFlight(job), SizeIs(1));
  RestartManager();
  world_.Settle();
  RestartManager();
  world_.Pass(absl::Minutes(1), absl::Seconds(10));
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_COMPLETE));
  EXPECT_THAT(world_.TasksOf(job), SizeIs(1));
}

TEST_F(JobKeeperTest, AChangedScheduleCountsFromItsChange) {
  const Id job = AddCron("0 12 * * *");
  world_.Pass(absl::Minutes(8), absl::Seconds(10));  // 22:21:20
  world_.ChangeService(
      job, [](v1::ServiceSpec& spec) { spec.mutable_schedule()->set_expression("*/5 * * * *"); });
  EXPECT_EQ(TimeOf(swarm::ToProto(*NextRun(*Record(job)))), "22:25:00");
  RestartManager();  // before anybody looked at it
  world_.Settle();
  EXPECT_THAT(Runs(job), IsEmpty());
  world_.Pass(absl::Minutes(5), absl::Seconds(10));
  EXPECT_THAT(StartTimes(job), ElementsAre("22:25:00"));
  world_.ChangeService(job, [](v1::ServiceSpec& spec) {
    spec.mutable_schedule()->set_expression("22 * * * *");
    spec.mutable_schedule()->set_time_zone("Asia/Tokyo");
  });
  world_.Pass(absl::Minutes(5), absl::Seconds(10));
  EXPECT_THAT(Runs(job), SizeIs(1));  // 22:22 was before
}

TEST_F(JobKeeperTest, AnUpdateOfACronJobIsForTheNextRun) {
  world_.HoldJobs(true);
  const Id job = AddCron("*/5 * * * *");
  world_.Pass(absl::Minutes(2), absl::Seconds(10));
  world_.SetImage(job, "app:2");
  world_.Settle();
  FailAll(job);
  world_.Pass(absl::Seconds(6));  // restarted: still of its run's revision
  ASSERT_THAT(InFlight(job), SizeIs(1));
  EXPECT_EQ(StoreWorld::ImageOf(InFlight(job)[0]), "app:1");
  world_.SetAvailability(InFlight(job)[0].node_id, v1::NodeSpec::AVAILABILITY_DRAIN);
  world_.Settle();
  EXPECT_EQ(StoreWorld::ImageOf(InFlight(job)[0]), "app:1");
  FinishAll(job);
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_COMPLETE));
  world_.Pass(absl::Minutes(5), absl::Seconds(10));
  EXPECT_EQ(StoreWorld::ImageOf(InFlight(job)[0]), "app:2");
  EXPECT_THAT(
      TasksOfRun(job, 1),
      Each(::testing::Field(&Task::desired, AnyOf(TaskState::kComplete, TaskState::kShutdown))));
}

TEST_F(JobKeeperTest, ARunIsJudgedByTheConstraintsOfItsOwnRevision) {
  world_.HoldJobs(true);
  const Id job = AddCron("*/5 * * * *");
  world_.Pass(absl::Minutes(2), absl::Seconds(10));
  const Task before = InFlight(job).front();
  world_.ChangeService(job, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.labels.disk==ssd");
  });
  world_.ChangeNode(before.node_id,
                    [](Node& node) { (*node.mutable_spec()->mutable_labels())["zone"] = "a"; });
  world_.Settle();
  ASSERT_THAT(InFlight(job), SizeIs(1));
  EXPECT_EQ(InFlight(job).front().id, before.id);
}

TEST_F(JobKeeperTest, F22TheHistoryOfACronJobIsBounded) {
  const Id job = AddCron("* * * * *", [](v1::ServiceSpec& spec) {
    spec.mutable_schedule()->set_history(3);
    spec.mutable_task()->mutable_restart()->set_max_attempts(1);
    spec.mutable_task()->mutable_restart()->mutable_delay()->set_seconds(1);
  });
  world_.BreakImage("app:1");
  world_.Pass(absl::Minutes(30), absl::Seconds(10));
  EXPECT_EQ(Record(job)->last_run(), 30u);
  EXPECT_THAT(States(job),
              ElementsAre(JobRun::STATE_FAILED, JobRun::STATE_FAILED, JobRun::STATE_FAILED));
  EXPECT_THAT(world_.TasksOf(job), SizeIs(6));  // a run and a restart each
  EXPECT_EQ(CountRestartHistories(job), 3u);
}

TEST_F(JobKeeperTest, F22TheHistoryOfSkippedRunsIsBoundedAndPushesOutNoOther) {
  const Id job = AddCron("* * * * *");
  world_.Pass(absl::Minutes(3), absl::Seconds(10));
  world_.HoldJobs(true);
  world_.Pass(absl::Minutes(20), absl::Seconds(10));
  EXPECT_THAT(Runs(job), SizeIs(3 + 1 + kDefaultCronHistory));
  EXPECT_THAT(InFlight(job), SizeIs(1));
  world_.HoldJobs(false);
  world_.Pass(absl::Minutes(20), absl::Seconds(10));
  EXPECT_THAT(world_.TasksOf(job), SizeIs(kDefaultCronHistory));
}

TEST_F(JobKeeperTest, RemovesARunOfManyTasksAfterARestartInTheMiddleOfIt) {
  const Id job = AddCron("* * * * *", [](v1::ServiceSpec& spec) {
    spec.mutable_replicated_job()->set_total_completions(4);
    spec.mutable_schedule()->set_history(1);
  });
  world_.Pass(absl::Minutes(2), absl::Seconds(10));
  world_.loop().RunUntilIdle();
  RestartManager();
  world_.Pass(absl::Minutes(1), absl::Seconds(10));
  EXPECT_THAT(Runs(job), SizeIs(1));
  EXPECT_THAT(world_.TasksOf(job), SizeIs(4));
}

TEST_F(JobKeeperTest, AJobThatGetsASchedulePlaysItsRunToTheEnd) {
  world_.HoldJobs(true);
  const Id job = world_.AddJob("job", 2, 2);
  world_.Settle();
  world_.ChangeService(
      job, [](v1::ServiceSpec& spec) { spec.mutable_schedule()->set_expression("*/5 * * * *"); });
  world_.Settle();
  EXPECT_THAT(InFlight(job), SizeIs(2));
  FinishAll(job);
  EXPECT_THAT(States(job), ElementsAre(JobRun::STATE_COMPLETE));
  world_.Pass(absl::Minutes(3), absl::Seconds(10));
  EXPECT_EQ(Record(job)->last_run(), 2u);
}

}  // namespace
}  // namespace swarm::manager
