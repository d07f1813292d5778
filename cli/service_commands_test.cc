// Services are made, changed and watched until they are as they should be.
#include "cli/commands_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kRunning = v1::TaskStatus::STATE_RUNNING;
constexpr auto kPreparing = v1::TaskStatus::STATE_PREPARING;
constexpr auto kComplete = v1::TaskStatus::STATE_COMPLETE;
constexpr auto kFailed = v1::TaskStatus::STATE_FAILED;
constexpr auto kPending = v1::TaskStatus::STATE_PENDING;

class ServiceCommandsTest : public CommandsTest {};

TEST_F(ServiceCommandsTest, CreateWaitsUntilTheServiceRunsAndIsStable) {
  cluster_.script = {
      [this] { cluster_.PutTask("t1", *cluster_.Find("web"), 1, kPreparing); },
      [this] { cluster_.PutTask("t1", *cluster_.Find("web"), 1, kRunning); },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "busybox", "sleep", "--x"}), 0);
  EXPECT_EQ(console_.out,
            "web-id\n"
            "overall progress: 0 out of 1 tasks\n"
            "overall progress: 1 out of 1 tasks\n"
            "verify: Waiting 5 seconds to verify that tasks are stable...\n"
            "verify: Service web converged\n");
  EXPECT_THAT(cluster_.Find("web")->spec().task().container().args(), ElementsAre("sleep", "--x"));
  EXPECT_EQ(world_.clock.MonotonicNow(), absl::Seconds(5));
}

TEST_F(ServiceCommandsTest, DetachReturnsAtOnceWithTheId) {
  EXPECT_EQ(world_.Run({"service", "create", "-d", "--name=web", "busybox"}), 0);
  EXPECT_EQ(console_.out, "web-id\n");
}

TEST_F(ServiceCommandsTest, ATaskThatKeepsFailingFailsTheCommandWithItsError) {
  for (int i = 0; i < 3; ++i) {
    cluster_.script.push_back([this, i] {
      cluster_.PutTask(StrCat("t", i), *cluster_.Find("web"), 1, kFailed,
                       "task: non-zero exit (3)");
    });
  }
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "busybox"}), 1);
  EXPECT_EQ(console_.err,
            "error: service web did not converge: web.1: task: non-zero exit (3) (3 attempts "
            "failed)\n");
}

TEST_F(ServiceCommandsTest, ATaskThatKeepsEndingByItselfFailsTheCommandToo) {
  for (int i = 0; i < 3; ++i) {
    cluster_.script.push_back(
        [this, i] { cluster_.PutTask(StrCat("t", i), *cluster_.Find("web"), 1, kComplete); });
  }
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "busybox", "true"}), 1);
  EXPECT_EQ(console_.err,
            "error: service web did not converge: web.1: the task has ended (complete) 3 times\n");
  EXPECT_THAT(console_.out, HasSubstr("\nweb.1: the task has ended (complete)\n"));
}

TEST_F(ServiceCommandsTest, EndsAddUpInAClusterThatKeepsNoHistory) {
  for (int i = 0; i < 3; ++i) {
    const std::string id = StrCat("t", i);
    cluster_.script.push_back(
        [this, id] { cluster_.PutTask(id, *cluster_.Find("web"), 1, kFailed, "exit"); });
    cluster_.script.push_back([this, id] { cluster_.ForgetTask(id); });
  }
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "busybox"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("web.1: exit (3 attempts failed)"));
}

TEST_F(ServiceCommandsTest, ATaskThatIsNotStartedAgainFailsTheCommand) {
  cluster_.script = {
      [this] {
        cluster_.PutTask("t1", *cluster_.Find("web"), 1, kFailed, "exec /app: no such file");
      },
  };
  EXPECT_EQ(
      world_.Run({"service", "create", "--name", "web", "--restart-condition=none", "busybox"}), 1);
  EXPECT_EQ(console_.err,
            "error: service web did not converge: web.1: exec /app: no such file, and its restart "
            "policy starts no other\n");
}

TEST_F(ServiceCommandsTest, ATaskThatDiesWhileTheServiceIsVerifiedStartsTheWaitAnew) {
  cluster_.script = {
      [this] { cluster_.PutTask("t1", *cluster_.Find("web"), 1, kRunning); },
      [this] {
        world_.clock.Advance(absl::Seconds(2));
        cluster_.PutTask("t1", *cluster_.Find("web"), 1, kFailed, "exit");
      },
      [this] { cluster_.PutTask("t2", *cluster_.Find("web"), 1, kRunning); },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "busybox"}), 0);
  EXPECT_EQ(world_.clock.MonotonicNow(), absl::Seconds(7));
}

TEST_F(ServiceCommandsTest, AManagerThatRestartsMeanwhileIsNoError) {
  cluster_.script = {
      [this] { cluster_.watch_breaks = true; },
      [this] { cluster_.PutTask("t1", *cluster_.Find("web"), 1, kRunning); },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "busybox"}), 0);
  cluster_.script = {[this] { cluster_.watch_breaks = true; }};
  const std::string path = WriteFile("s.yaml", "services: {a: {image: busybox}}\n");
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "s"}), 0);
  EXPECT_EQ(world_.Run({"stack", "rm", "s"}), 0);
}

TEST_F(ServiceCommandsTest, TimeoutNamesWhatHindersWithExitCode124) {
  cluster_.script = {[this] {
    cluster_.PutTask("t1", *cluster_.Find("web"), 1, kPending,
                     "no suitable node (insufficient resources on 1 node)");
  }};
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "--timeout", "3s", "busybox"}), 124);
  EXPECT_EQ(console_.err,
            "error: timed out while waiting for web: web.1: no suitable node (insufficient "
            "resources on 1 node); the work goes on in the background\n");
}

TEST_F(ServiceCommandsTest, APausedUpdateFailsTheCommand) {
  v1::Service& web = cluster_.AddService("web", 1);
  cluster_.PutTask("t1", web, 1, kRunning);
  cluster_.script = {[this] {
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_UPDATE);
    *event.mutable_service() = *cluster_.Find("web");
    event.mutable_service()->mutable_update_status()->set_state(v1::UpdateStatus::STATE_PAUSED);
    event.mutable_service()->mutable_update_status()->set_message("task t2 failed");
    cluster_.Publish(event);
  }};
  web.mutable_update_status()->set_state(v1::UpdateStatus::STATE_UPDATING);
  EXPECT_EQ(world_.Run({"service", "update", "--image", "busybox:2", "web"}), 1);
  EXPECT_EQ(console_.err,
            "error: service web did not converge: the update is paused: task t2 failed\n");
}

TEST_F(ServiceCommandsTest, UpdateWaitsForTasksOfTheNewRevision) {
  v1::Service& web = cluster_.AddService("web", 1);
  cluster_.PutTask("t1", web, 1, kRunning);
  web.mutable_update_status()->set_state(v1::UpdateStatus::STATE_UPDATING);
  cluster_.script = {
      [this] { cluster_.PutTask("t1", *cluster_.Find("web"), 1, v1::TaskStatus::STATE_SHUTDOWN); },
      [this] { cluster_.PutTask("t2", *cluster_.Find("web"), 1, kRunning); },
      [this] {
        v1::WatchEvent event;
        event.set_action(v1::WatchEvent::ACTION_UPDATE);
        *event.mutable_service() = *cluster_.Find("web");
        event.mutable_service()->mutable_update_status()->set_state(
            v1::UpdateStatus::STATE_COMPLETED);
        cluster_.Publish(event);
      }};
  EXPECT_EQ(world_.Run({"service", "update", "--image=busybox:2", "web"}), 0);
  EXPECT_TRUE(cluster_.script.empty());
  EXPECT_THAT(console_.out, EndsWith("verify: Service web converged\n"));
}

TEST_F(ServiceCommandsTest, AnUpdateThatWasOvertakenIsDoneAgainOnTheNewVersion) {
  cluster_.AddService("web", 1);
  cluster_.next_write_fails = {absl::AbortedError("stale"), absl::AbortedError("stale")};
  EXPECT_EQ(world_.Run({"service", "update", "-d", "--env-add", "A=1", "web"}), 0);
  EXPECT_THAT(cluster_.writes, ElementsAre("update web"));
}

TEST_F(ServiceCommandsTest, AnImageThatIsNamedIsResolvedAnewUnlessTheServiceSaysNot) {
  cluster_.AddService("web", 1);
  EXPECT_EQ(world_.Run({"service", "update", "-d", "--image", "busybox", "web"}), 0);
  EXPECT_TRUE(cluster_.update_request.resolve_image());
  EXPECT_EQ(world_.Run({"service", "update", "-d", "--env-add", "A=1", "web"}), 0);
  EXPECT_FALSE(cluster_.update_request.resolve_image());
  EXPECT_EQ(world_.Run({"service", "update", "-d", "--image=busybox", "--no-resolve-image", "web"}),
            0);
  EXPECT_FALSE(cluster_.update_request.resolve_image());
}

TEST_F(ServiceCommandsTest, NodeInspectShowsWhatTheNodesKernelCanDo) {
  cluster_.AddNode("blue", v1::NodeStatus::STATE_READY);
  cluster_.nodes[0].mutable_description()->add_features("wireguard");
  EXPECT_EQ(
      world_.Run({"node", "inspect", "--format", "{{json .Description.Engine.Features}}", "blue"}),
      0);
  EXPECT_EQ(console_.out, "[\"wireguard\"]\n");
  console_.out.clear();
  EXPECT_EQ(world_.Run({"node", "inspect", "--pretty", "blue"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("\nFeatures:           wireguard\n"));
}

TEST_F(ServiceCommandsTest, ANodeUpdateThatWasOvertakenIsDoneAgainOnTheVersionItRead) {
  cluster_.AddNode("blue", v1::NodeStatus::STATE_READY);
  cluster_.next_write_fails = {absl::AbortedError("stale")};
  EXPECT_EQ(world_.Run({"node", "update", "--availability", "drain", "blue"}), 0);
  EXPECT_EQ(cluster_.nodes[0].spec().availability(), v1::NodeSpec::AVAILABILITY_DRAIN);
}

TEST_F(ServiceCommandsTest, ScaleChangesOnlyTheNumberAndWaits) {
  v1::Service& web = cluster_.AddService("web", 1);
  cluster_.PutTask("t1", web, 1, kRunning);
  cluster_.script = {[this] { cluster_.PutTask("t2", *cluster_.Find("web"), 2, kRunning); }};
  EXPECT_EQ(world_.Run({"service", "scale", "web=2"}), 0);
  EXPECT_THAT(console_.out, StartsWith("web scaled to 2\noverall progress: 1 out of 2 tasks\n"));
  EXPECT_EQ(world_.Run({"service", "scale", "web"}), 2);
  EXPECT_EQ(console_.err, "error: service scale web: must be SERVICE=REPLICAS\n");
}

TEST_F(ServiceCommandsTest, ScaleGoesOnAfterAServiceThatIsNotThere) {
  v1::Service& web = cluster_.AddService("web", 2);
  cluster_.PutTask("t1", web, 1, kRunning);
  EXPECT_EQ(world_.Run({"service", "scale", "nope=2", "web=1"}), 1);
  EXPECT_THAT(console_.out, AllOf(StartsWith("web scaled to 1\n"), EndsWith("web converged\n")));
  EXPECT_EQ(console_.err, "error: service \"nope\" not found\n");
}

TEST_F(ServiceCommandsTest, InterruptLeavesTheWorkGoingOn) {
  cluster_.script = {[this] { world_.interrupt.Trigger(); }};
  // The fake watch knows no interrupt: what the real one does is tested with gRPC.
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "-q", "--timeout", "1s", "busybox"}),
            124);
}

TEST_F(ServiceCommandsTest, OnATerminalBarsAreDrawnInPlace) {
  console_.is_terminal = true;
  cluster_.script = {
      [this] { cluster_.PutTask("t1", *cluster_.Find("web"), 1, kPreparing); },
      [this] { cluster_.PutTask("t1", *cluster_.Find("web"), 1, kRunning); },
  };
  EXPECT_EQ(world_.Run({"service", "create", "--name", "web", "busybox"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("\x1b[2A\x1b[2Koverall progress: 0 out of 1 tasks\n"),
                                  HasSubstr("1/1: preparing ["), HasSubstr("1/1: running   [")));
}

}  // namespace
}  // namespace swarm::cli
