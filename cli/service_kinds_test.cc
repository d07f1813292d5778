// Whole commands on services of every kind: their progress, rollbacks, history, lists.
#include <fstream>

#include "cli/fake_daemons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kRunning = v1::TaskStatus::STATE_RUNNING;
constexpr auto kPreparing = v1::TaskStatus::STATE_PREPARING;
constexpr auto kComplete = v1::TaskStatus::STATE_COMPLETE;
constexpr auto kFailed = v1::TaskStatus::STATE_FAILED;
using Update = v1::UpdateStatus;

class ServiceKindsTest : public ::testing::Test {
 protected:
  const v1::Service& Find(const std::string& name) { return *cluster_.Find(name); }

  void SetUpdate(Update::State state, const std::string& message = "", int64_t begun = 5) {
    cluster_.Change("web", [&](v1::Service& web) {
      web.mutable_update_status()->set_state(state);
      web.mutable_update_status()->set_message(message);
      web.mutable_update_status()->mutable_started_at()->set_seconds(begun);
    });
  }

  // The run of the job's revision.
  void SetRun(const std::string& name, uint32_t number, v1::JobRun::State state, uint64_t completed,
              const std::string& message = "") {
    cluster_.Change(name, [&](v1::Service& job) {
      v1::JobRun* run = nullptr;
      for (v1::JobRun& old : *job.mutable_runs()) {
        if (old.run() == number) run = &old;
      }
      if (run == nullptr) run = job.add_runs();
      run->set_run(number);
      run->set_state(state);
      run->set_revision_id(job.revision_id());
      run->set_completions(job.spec().replicated_job().total_completions());
      run->set_completed(completed);
      run->set_message(message);
    });
  }

  v1::Service& AddJob(uint64_t completions) {
    v1::ServiceSpec spec;
    spec.set_name("job");
    spec.mutable_replicated_job()->set_total_completions(completions);
    spec.mutable_task()->mutable_container()->set_image("busybox");
    return cluster_.Put("job-id", spec);
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

// -------------------------------------------------------------------------------------- global

TEST_F(ServiceKindsTest, AGlobalServiceIsThereWhenEveryNodesTaskRuns) {
  cluster_.AddNode("blue", v1::NodeStatus::STATE_READY);
  cluster_.AddNode("red", v1::NodeStatus::STATE_READY);
  console_.is_terminal = true;
  cluster_.script = {
      [this] {
        cluster_.PutNodeTask("t1", Find("agent"), "blue-id", kRunning);
        cluster_.PutNodeTask("t2", Find("agent"), "red-id", kPreparing);
      },
      [this] { cluster_.PutNodeTask("t2", Find("agent"), "red-id", kRunning); },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--mode=global", "--name=agent", "busybox"}), 0);
  EXPECT_TRUE(cluster_.script.empty());
  EXPECT_THAT(console_.out,
              AllOf(HasSubstr("overall progress: 1 out of 2 tasks\n"), HasSubstr("blue: running  "),
                    HasSubstr("red : preparing"), EndsWith("verify: Service agent converged\n")));
}

TEST_F(ServiceKindsTest, ATaskThatKeepsFailingOnANodeNamesTheNode) {
  cluster_.AddNode("blue", v1::NodeStatus::STATE_READY);
  for (int i = 0; i < 3; ++i) {
    cluster_.script.push_back([this, i] {
      cluster_.PutNodeTask(StrCat("t", i), Find("agent"), "blue-id", kFailed, "no device");
    });
  }
  EXPECT_EQ(world_.Run({"service", "create", "--mode=global", "--name=agent", "busybox"}), 1);
  EXPECT_EQ(console_.err,
            "error: service agent did not converge: agent.blue: no device (3 attempts failed)\n");
}

TEST_F(ServiceKindsTest, AGlobalServiceThatNoNodeSuitsIsNotWaitedForForEver) {
  EXPECT_EQ(world_.Run({"service", "create", "--mode=global", "--name=agent", "busybox"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("no node suits it yet: it gets a task on each that will\n"));
}

TEST_F(ServiceKindsTest, ANodeThatIsDrainedMeanwhileIsNoLongerCounted) {
  cluster_.script = {
      [this] {
        cluster_.PutNodeTask("t1", Find("agent"), "blue-id", kRunning);
        cluster_.PutNodeTask("t2", Find("agent"), "red-id", kPreparing);
      },
      [this] {
        cluster_.PutNodeTask("t2", Find("agent"), "red-id", v1::TaskStatus::STATE_SHUTDOWN);
      },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--mode=global", "--name=agent", "busybox"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("overall progress: 1 out of 1 tasks\n"));
}

// ---------------------------------------------------------------------------------------- jobs

TEST_F(ServiceKindsTest, AJobIsWaitedForUntilItsRunIsComplete) {
  cluster_.script = {
      [this] { SetRun("job", 1, v1::JobRun::STATE_RUNNING, 0); },
      [this] { cluster_.PutRunTask("t1", Find("job"), 1, 1, kComplete); },
      [this] { SetRun("job", 1, v1::JobRun::STATE_RUNNING, 3); },
      [this] { SetRun("job", 1, v1::JobRun::STATE_COMPLETE, 5); },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--mode=replicated-job", "--replicas=5", "--name=job",
                        "busybox"}),
            0);
  EXPECT_EQ(console_.out,
            "job-id\n"
            "job progress: 0 out of 5 complete\n"
            "job progress: 1 out of 5 complete\n"
            "job progress: 3 out of 5 complete\n"
            "job progress: 5 out of 5 complete\n"
            "job complete\n");
  // Nothing is left that could become unstable.
  EXPECT_EQ(world_.clock.MonotonicNow(), absl::ZeroDuration());
}

TEST_F(ServiceKindsTest, AJobThatFailsFailsTheCommandWithItsReason) {
  cluster_.script = {
      [this] { SetRun("job", 1, v1::JobRun::STATE_RUNNING, 0); },
      [this] {
        cluster_.PutRunTask("t1", Find("job"), 1, 1, kFailed, "task: non-zero exit (3)");
        SetRun("job", 1, v1::JobRun::STATE_FAILED, 2);
      },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--mode=replicated-job", "--replicas=5", "--name=job",
                        "busybox"}),
            1);
  EXPECT_EQ(console_.err,
            "error: service job did not converge: the job failed with 2 out of 5 complete: job.1: "
            "task: non-zero exit (3)\n");
}

TEST_F(ServiceKindsTest, AnUpdateOfAJobWaitsForTheNewRunAndNotTheOldOne) {
  AddJob(1);
  SetRun("job", 1, v1::JobRun::STATE_FAILED, 0, "of long ago");
  cluster_.script = {
      [this] { SetRun("job", 2, v1::JobRun::STATE_RUNNING, 0); },
      [this] { SetRun("job", 2, v1::JobRun::STATE_COMPLETE, 1); },
  };
  EXPECT_EQ(world_.Run({"service", "update", "--image=busybox:2", "job"}), 0);
  EXPECT_THAT(console_.out, EndsWith("job progress: 1 out of 1 complete\njob complete\n"));
}

TEST_F(ServiceKindsTest, AnUpdateThatBeginsNoRunReturnsSoon) {
  AddJob(1);
  SetRun("job", 1, v1::JobRun::STATE_FAILED, 0, "of long ago");
  EXPECT_EQ(world_.Run({"service", "update", "--label-add=a=b", "job"}), 0);
  EXPECT_EQ(world_.clock.MonotonicNow(), absl::Seconds(2));
}

TEST_F(ServiceKindsTest, ACronJobReturnsAtOnceWithItsNextRun) {
  // The clock stands at 2027-01-15T08:00:00Z.
  EXPECT_EQ(world_.Run({"service", "create", "--mode=replicated-job", "--schedule=*/5 * * * *",
                        "--name=job", "busybox"}),
            0);
  EXPECT_EQ(console_.out, "job-id\njob: next run 2027-01-15T08:05:00Z (in 5 minutes)\n");
}

TEST_F(ServiceKindsTest, OnATerminalAJobShowsHowFarItIs) {
  console_.is_terminal = true;
  cluster_.script = {
      [this] {
        SetRun("job", 1, v1::JobRun::STATE_RUNNING, 1);
        cluster_.PutRunTask("t1", Find("job"), 1, 2, kRunning);
        cluster_.PutRunTask("t2", Find("job"), 1, 3, kPreparing);
      },
      [this] { SetRun("job", 1, v1::JobRun::STATE_COMPLETE, 2); },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--mode=replicated-job", "--replicas=2", "--name=job",
                        "busybox"}),
            0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("[=========================>     "),
                                  HasSubstr("active tasks: 2 (1 preparing, 1 running)\n")));
}

// ------------------------------------------------------------------------- updates and rollbacks

TEST_F(ServiceKindsTest, AnUpdateThatIsRolledBackFailsTheCommandWithTheReason) {
  cluster_.PutTask("t1", cluster_.AddService("web", 1), 1, kRunning);
  cluster_.script = {
      [this] { SetUpdate(Update::STATE_UPDATING); },
      [this] { cluster_.PutTask("t2", Find("web"), 1, kFailed, "exit code 1"); },
      [this] { SetUpdate(Update::STATE_ROLLBACK_STARTED, "web.1 failed: exit code 1"); },
      [this] { SetUpdate(Update::STATE_ROLLBACK_COMPLETED, "web.1 failed: exit code 1"); },
  };
  EXPECT_EQ(world_.Run({"service", "update", "--image=busybox:2", "web"}), 1);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("overall progress: rolling back update: "),
                                  HasSubstr("rollback: web.1 failed: exit code 1\n")));
  EXPECT_EQ(console_.err, "error: service rolled back: web.1 failed: exit code 1\n");
}

TEST_F(ServiceKindsTest, WhileAnUpdateIsUnderWayItsFailuresAreForItsRulesToJudge) {
  cluster_.AddService("web", 1);
  cluster_.script = {[this] { SetUpdate(Update::STATE_UPDATING); }};
  for (int i = 0; i < 4; ++i) {
    cluster_.script.push_back(
        [this, i] { cluster_.PutTask(StrCat("t", i), Find("web"), 1, kFailed, "boom"); });
  }
  cluster_.script.push_back([this] { SetUpdate(Update::STATE_PAUSED, "too many failures"); });
  EXPECT_EQ(world_.Run({"service", "update", "--image=busybox:2", "web"}), 1);
  EXPECT_EQ(console_.err,
            "error: service web did not converge: the update is paused: too many failures\n");
}

TEST_F(ServiceKindsTest, ARollbackOfLongAgoSaysNothingAboutAScale) {
  v1::Service& web = cluster_.AddService("web", 1);
  web.mutable_update_status()->set_state(Update::STATE_ROLLBACK_COMPLETED);
  cluster_.PutTask("t1", web, 1, kRunning);
  cluster_.script = {[this] { cluster_.PutTask("t2", Find("web"), 2, kRunning); }};
  EXPECT_EQ(world_.Run({"service", "scale", "web=2"}), 0);
}

TEST_F(ServiceKindsTest, ARollbackThatWasAskedForIsASuccess) {
  cluster_.AddService("web", 1);
  const auto script = [this] {
    return std::deque<std::function<void()>>{
        [this] { SetUpdate(Update::STATE_ROLLBACK_STARTED, "rolled back by a person"); },
        [this] { cluster_.PutTask("t9", Find("web"), 1, kRunning); },
        [this] { SetUpdate(Update::STATE_ROLLBACK_COMPLETED); },
    };
  };
  cluster_.script = script();
  EXPECT_EQ(world_.Run({"service", "rollback", "--to=4", "web"}), 0);
  EXPECT_EQ(cluster_.rollback_request.to_revision(), 4u);
  EXPECT_THAT(console_.out, EndsWith("verify: Service web converged\n"));
  cluster_.tasks.clear();
  cluster_.script = script();
  EXPECT_EQ(world_.Run({"service", "update", "--rollback", "web"}), 0);
  EXPECT_EQ(cluster_.rollback_request.to_revision(), 0u);
  EXPECT_THAT(cluster_.writes, ElementsAre("rollback web", "rollback web"));
}

TEST_F(ServiceKindsTest, ARollbackThatPausesFailsTheCommand) {
  cluster_.AddService("web", 1);
  cluster_.script = {[this] { SetUpdate(Update::STATE_ROLLBACK_PAUSED, "exit code 1"); }};
  EXPECT_EQ(world_.Run({"service", "rollback", "web"}), 1);
  EXPECT_EQ(console_.err,
            "error: service web did not converge: the rollback is paused: exit code 1\n");
}

TEST_F(ServiceKindsTest, ARollbackStandsAlone) {
  cluster_.AddService("web", 1);
  EXPECT_EQ(world_.Run({"service", "update", "--rollback", "--image=x", "web"}), 2);
  EXPECT_EQ(console_.err,
            "error: --image: other flags may not be combined with --rollback; update again after "
            "it\n");
  EXPECT_EQ(world_.Run({"service", "rollback", "--to=0", "web"}), 2);
  EXPECT_EQ(world_.Run({"service", "update", "--rollback", "-d", "web"}), 0);
}

TEST_F(ServiceKindsTest, WhatAServiceWaitsForIsShown) {
  cluster_.script = {
      [this] {
        cluster_.Change("web", [](v1::Service& web) { web.set_waiting_for("db to be healthy"); });
      },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--name=web", "--depends-on=db:healthy",
                        "--timeout=3s", "busybox"}),
            124);
  EXPECT_THAT(console_.out, HasSubstr("waiting for db to be healthy\n"));
  EXPECT_THAT(console_.err, HasSubstr("web: waiting for db to be healthy;"));
}

// ------------------------------------------------------------------------------- other commands

TEST_F(ServiceKindsTest, ScaleRefusesWhatHasNoNumber) {
  v1::ServiceSpec spec;
  spec.set_name("agent");
  spec.mutable_global();
  cluster_.Put("agent-id", spec);
  EXPECT_EQ(world_.Run({"service", "scale", "agent=2"}), 1);
  EXPECT_EQ(console_.err,
            "error: service agent: scale can only be used with replicated or replicated-job "
            "mode\n");
  v1::Service& web = cluster_.AddService("web", 2);
  web.mutable_spec()->mutable_autoscale()->set_min(2);
  web.mutable_spec()->mutable_autoscale()->set_max(9);
  EXPECT_EQ(world_.Run({"service", "scale", "web=3"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("is autoscaled between 2 and 9; change these with"));
  EXPECT_THAT(cluster_.writes, IsEmpty());
  AddJob(1);
  EXPECT_EQ(world_.Run({"service", "scale", "-d", "job=3"}), 0);
  EXPECT_EQ(Find("job").spec().replicated_job().total_completions(), 3u);
}

TEST_F(ServiceKindsTest, HistoryMarksWhatRunsAndWhatARollbackGoesBackTo) {
  v1::Service& web = cluster_.AddService("web", 1);
  web.set_previous_revision_id("r1");
  for (const char* id : {"r2", "r1", "r0"}) {
    v1::Revision& revision = cluster_.revisions.emplace_back();
    revision.set_id(id);
    revision.set_number(static_cast<uint64_t>(id[1] - '0' + 1));
    revision.mutable_task()->mutable_container()->set_image(StrCat("web:", id));
    revision.set_image_digest("sha256:0123456789abcdef");
    revision.mutable_meta()->mutable_created_at()->set_seconds(
        absl::ToUnixSeconds(world_.clock.WallNow()) - 7200);
  }
  web.set_revision_id("r2");
  EXPECT_EQ(world_.Run({"service", "history", "web"}), 0);
  EXPECT_EQ(console_.out,
            "REVISION   CREATED       IMAGE    DIGEST                STATUS\n"
            "3          2 hours ago   web:r2   sha256:0123456789ab   current\n"
            "2          2 hours ago   web:r1   sha256:0123456789ab   previous\n"
            "1          2 hours ago   web:r0   sha256:0123456789ab\n");
  EXPECT_EQ(world_.Run({"service", "history", "web", "--format", "{{.Revision}} {{.Digest}}"}), 0);
  EXPECT_THAT(console_.out, StartsWith("3 sha256:0123456789abcdef\n"));
  EXPECT_EQ(world_.Run({"service", "history", "nope"}), 1);
}

TEST_F(ServiceKindsTest, RebalanceSaysHowMuchMoves) {
  cluster_.AddService("web", 1);
  cluster_.moves = 3;
  EXPECT_EQ(world_.Run({"service", "rebalance", "web"}), 0);
  EXPECT_EQ(console_.out,
            "web rebalances: 3 tasks move to nodes that have fewer; see swarmctl service ps web\n");
  cluster_.moves = 0;
  EXPECT_EQ(world_.Run({"service", "rebalance", "web"}), 0);
  EXPECT_EQ(console_.out, "web is balanced: nothing moves\n");
}

TEST_F(ServiceKindsTest, SwarmUpdateChangesWhatIsGivenAndKeepsTheRest) {
  cluster_.cluster.mutable_spec()->set_task_history_limit(7);
  cluster_.next_write_fails = {absl::AbortedError("stale")};
  EXPECT_EQ(world_.Run({"swarm", "update", "--rebalance=slow", "--rebalance-moves=20"}), 0);
  EXPECT_EQ(cluster_.cluster.spec().rebalance().mode(), v1::RebalancePolicy::MODE_SLOW);
  EXPECT_EQ(cluster_.cluster.spec().rebalance().moves_per_minute(), 20u);
  EXPECT_EQ(cluster_.cluster.spec().task_history_limit(), 7u);
  EXPECT_EQ(world_.Run({"info"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Rebalance:         slow, 20 moves a minute\n"));
  EXPECT_EQ(world_.Run({"swarm", "update", "--rebalance=off", "--task-history-limit=2"}), 0);
  EXPECT_EQ(cluster_.cluster.spec().rebalance().mode(), v1::RebalancePolicy::MODE_OFF);
  EXPECT_EQ(cluster_.cluster.spec().task_history_limit(), 2u);
  EXPECT_EQ(world_.Run({"swarm", "update", "--rebalance=fast"}), 2);
  EXPECT_EQ(world_.Run({"swarm", "update", "--rebalance-moves=2"}), 2);
  EXPECT_EQ(console_.err,
            "error: --rebalance-moves: nothing moves by itself; add --rebalance slow\n");
}

TEST_F(ServiceKindsTest, ListsTellModesRunsAndWhatComesNext) {
  v1::ServiceSpec spec;
  spec.set_name("agent");
  spec.mutable_global();
  spec.mutable_task()->mutable_container()->set_image("busybox");
  cluster_.Put("agent-id", spec);
  AddJob(5);
  SetRun("job", 1, v1::JobRun::STATE_RUNNING, 3);
  v1::Service& job = cluster_.services.at("job-id");
  job.mutable_status()->set_running_tasks(1);
  job.mutable_status()->set_desired_tasks(1);
  spec.set_name("report");
  spec.mutable_replicated_job();
  spec.mutable_schedule()->set_expression("@hourly");
  v1::Service& report = cluster_.Put("report-id", spec);
  report.mutable_next_run_at()->set_seconds(absl::ToUnixSeconds(world_.clock.WallNow()) + 180);
  v1::Service& web = cluster_.AddService("web", 3);
  web.mutable_spec()->mutable_autoscale()->set_min(2);
  web.mutable_spec()->mutable_autoscale()->set_max(9);
  EXPECT_EQ(world_.Run({"service", "ls"}), 0);
  EXPECT_EQ(console_.out,
            "ID          NAME     MODE             REPLICAS                      IMAGE     PORTS\n"
            "agent-id    agent    global           0/0                           busybox\n"
            "job-id      job      replicated job   1/1 (3/5 completed)           busybox\n"
            "report-id   report   replicated job   0/0 (next run in 3 minutes)   busybox\n"
            "web-id      web      replicated       0/3 (autoscaled 2-9)          busybox\n");
  EXPECT_EQ(world_.Run({"service", "ls", "-q", "-f", "mode=replicated-job"}), 0);
  EXPECT_EQ(console_.out, "job-id\nreport-id\n");
  EXPECT_EQ(world_.Run({"service", "ls", "-f", "mode=odd"}), 2);
}

TEST_F(ServiceKindsTest, PsNamesNodesRunsAndHealth) {
  v1::ServiceSpec spec;
  spec.set_name("agent");
  spec.mutable_global();
  const v1::Service& agent = cluster_.Put("agent-id", spec);
  v1::Task& task = cluster_.PutNodeTask("t1", agent, "blue-id", kRunning);
  task.mutable_status()->mutable_health()->set_state(v1::Health::STATE_HEALTHY);
  EXPECT_EQ(world_.Run({"service", "ps", "agent"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("agent.blue-id"),
                                  HasSubstr("Running less than a second ago (healthy)")));
  const v1::Service& job = AddJob(1);
  cluster_.PutRunTask("j1", job, 1, 1, kComplete);
  cluster_.PutRunTask("j2", job, 2, 1, kRunning);
  EXPECT_EQ(world_.Run({"service", "ps", "job"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("\nj2   job.1 (run 2)   busybox"));
  EXPECT_THAT(console_.out, HasSubstr("\nj1   job.1 (run 1)   busybox"));
  EXPECT_EQ(world_.Run({"service", "ps", "--format", "{{.Name}} {{.Run}}", "job"}), 0);
  EXPECT_EQ(console_.out, "job.1 2\njob.1 1\n");
}

TEST_F(ServiceKindsTest, InspectHasDockersNamesForModesAndRules) {
  EXPECT_EQ(world_.Run({"service", "create", "-d", "--name=web", "--update-order=start-first",
                        "--health-tcp=:80", "--placement-pref=spread=node.labels.a",
                        "--generic-resource=gpu=1", "busybox"}),
            0);
  EXPECT_EQ(world_.Run({"service", "inspect", "web", "--format",
                        "{{json .Spec.UpdateConfig}} {{json "
                        ".Spec.TaskTemplate.ContainerSpec.Healthcheck.Test}} {{json "
                        ".Spec.TaskTemplate.Placement}} {{json "
                        ".Spec.TaskTemplate.Resources.Reservations}}"}),
            0);
  EXPECT_EQ(console_.out,
            R"({"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,)"
            R"("MaxFailureRatio":0.0,"Order":"start-first"} ["TCP",":80"] )"
            R"({"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.a"}}]} )"
            R"({"GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":1}}]})"
            "\n");
  AddJob(5);
  SetRun("job", 2, v1::JobRun::STATE_COMPLETE, 5);
  EXPECT_EQ(world_.Run({"service", "inspect", "job", "--format",
                        "{{json .Spec.Mode}} {{.JobStatus.JobIteration.Index}}"}),
            0);
  EXPECT_EQ(console_.out, "{\"ReplicatedJob\":{\"MaxConcurrent\":1,\"TotalCompletions\":5}} 2\n");
}

TEST_F(ServiceKindsTest, AStackIsCreatedInTheOrderInWhichItsServicesWaitForEachOther) {
  const testing::TempFolder folder;
  const std::string path = folder.Write("stack.yaml",
                                        "services:\n"
                                        "  web: {image: busybox, depends_on: [db]}\n"
                                        "  agent: {image: busybox, deploy: {mode: global}}\n"
                                        "  db: {image: busybox}\n");
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "s"}), 0);
  EXPECT_THAT(cluster_.writes, ElementsAre("create network s_default", "create s_db",
                                           "create s_web", "create s_agent"));
  EXPECT_EQ(Find("s_web").spec().depends_on(0).service(), "s_db");
}

TEST_F(ServiceKindsTest, ManyNodesAreASummary) {
  console_.is_terminal = true;
  cluster_.script = {[this] {
    for (int i = 0; i < 25; ++i) {
      cluster_.PutNodeTask(StrCat("t", i), Find("agent"), StrCat("node", i),
                           i < 20 ? kRunning : kPreparing);
    }
  }};
  EXPECT_EQ(
      world_.Run({"service", "create", "--mode=global", "--name=agent", "--timeout=1s", "busybox"}),
      124);
  EXPECT_THAT(console_.out,
              AllOf(HasSubstr("20 out of 25 tasks (5 preparing)\n"), Not(HasSubstr("node3: "))));
}

TEST_F(ServiceKindsTest, EventsTellWhatHappenedInWords) {
  cluster_.AddService("web", 1);
  cluster_.script = {
      [this] { SetUpdate(Update::STATE_UPDATING); },
      [this] { SetUpdate(Update::STATE_PAUSED, "web.1: exit code 1"); },
  };
  EXPECT_EQ(world_.Run({"events"}), 0);
  EXPECT_THAT(console_.out,
              AllOf(HasSubstr("service update web-id (name=web, updatestate.new=updating)\n"),
                    HasSubstr("web: update paused: web.1: exit code 1\n")));
}

TEST_F(ServiceKindsTest, HelpAndCompletionKnowTheNewWords) {
  EXPECT_EQ(world_.Run({"service", "--help"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("rollback"), HasSubstr("history"),
                                  HasSubstr("rebalance"), HasSubstr("attach")));
  EXPECT_EQ(world_.Run({"service", "create", "--help"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("--health-http URL"), HasSubstr("--autoscale RULES")));
  EXPECT_EQ(world_.Run({"__complete", "service", "update", "--"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("--update-order"), HasSubstr("--depends-on-add")));
}

}  // namespace
}  // namespace swarm::cli
