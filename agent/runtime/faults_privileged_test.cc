// Deaths at bad moments: of the shim, of the agent, of the container, and many at once.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/runtime/runtime_test_world.h"
#include "agent/runtime/shim_process.h"
#include "common/file_system.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;

using Phase = RuntimeContainer::Phase;

class FaultsTest : public RuntimeTestWorld {
 protected:
  nlohmann::json Config(const std::vector<std::string>& command,
                        const v1::TaskSpec& task = v1::TaskSpec()) const {
    return nlohmann::json::parse(ConfigText(command, task));
  }

  // Runs `work` in a process of its own that ends without any cleaning up, as a killed agent does.
  template <typename Work>
  void InAgentThatIsKilled(const Work& work) {
    runtime_.reset();
    const pid_t pid = fork();
    if (pid == 0) {
      auto runtime = OpenRuntime(Options());
      if (runtime.ok()) work(**runtime);
      kill(getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    auto runtime = OpenRuntime(Options());
    ASSERT_OK(runtime);
    runtime_ = *std::move(runtime);
  }

  static void ExpectGone(const RuntimeProcess& process) {
    const auto fd = OpenProcess(process);
    EXPECT_TRUE(!fd.ok() || WaitForEnd(fd->get(), absl::Minutes(1)));
  }
};

TEST_F(FaultsTest, F25AKilledShimTakesItsContainerWithIt) {
  const auto started = PrepareAndStart("c", Config(Shell("sleep 1000 & sleep 1000")));
  ASSERT_OK(started);
  ASSERT_EQ(kill(static_cast<pid_t>(started->shim.pid), SIGKILL), 0);
  const RuntimeContainer ended = Wait("c");
  EXPECT_EQ(ended.phase, Phase::kExited);
  EXPECT_TRUE(ended.exit.supervisor_lost);
  EXPECT_OK(runtime_->Release("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
  EXPECT_TRUE(runtime_->State("c")->exit.supervisor_lost);
  ExpectGone(started->init);
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
}

TEST_F(FaultsTest, F25AShimKilledBeforeTheStartLeavesNothing) {
  ASSERT_OK(Prepare("c", Config({"/bin/sleep", "1000"})));
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  ASSERT_EQ(kill(static_cast<pid_t>(state->shim.pid), SIGKILL), 0);
  ExpectGone(state->init);
  EXPECT_THAT(runtime_->Start("c"), ::testing::Not(::swarm::testing::IsOk()));
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
}

TEST_F(FaultsTest, F7AKilledAgentIsNotNoticedByItsContainers) {
  InAgentThatIsKilled([&](Runtime& runtime) {
    if (runtime
            .Prepare(Spec("run", Config(Shell("while [ ! -e /tmp/stop ]; do echo tick; sleep 0.02; "
                                              "done; exit 9"))))
            .ok()) {
      runtime.Start("run").status().IgnoreError();
    }
    if (runtime.Prepare(Spec("over", Config(Shell("exit 4")))).ok()) {
      runtime.Start("over").status().IgnoreError();
    }
  });
  EXPECT_EQ(Wait("over").exit.exit_code, 4);
  const auto state = runtime_->State("run");
  ASSERT_OK(state);
  EXPECT_EQ(state->phase, Phase::kRunning);
  EXPECT_TRUE(*IsAlive(state->init));
  const auto all = runtime_->List();
  ASSERT_OK(all);
  EXPECT_EQ(all->size(), 2u);
  ASSERT_OK(
      WriteFileAtomically(absl::StrCat("/proc/", state->init.pid, "/root/tmp/stop"), "", 0644));
  EXPECT_EQ(Wait("run").exit.exit_code, 9);
  EXPECT_OK(runtime_->Remove("run"));
  EXPECT_OK(runtime_->Remove("over"));
}

TEST_F(FaultsTest, F15AnAgentKilledBetweenPrepareAndStartLeavesWhatTheNextRemoves) {
  InAgentThatIsKilled([&](Runtime& runtime) {
    runtime.Prepare(Spec("c", Config({"/bin/sleep", "1000"}))).IgnoreError();
  });
  auto all = runtime_->List();
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ((*all)[0].phase, Phase::kCreated);
  ExpectGone((*all)[0].shim);
  ExpectGone((*all)[0].init);
  EXPECT_THAT(runtime_->Start("c"), StatusIs(absl::StatusCode::kFailedPrecondition));
  // A new Prepare of the same id takes its place.
  ASSERT_OK(Prepare("c", Config(Shell("exit 6"))));
  ASSERT_OK(runtime_->Start("c"));
  EXPECT_EQ(Wait("c").exit.exit_code, 6);
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
  EXPECT_TRUE(runtime_->List()->empty());
}

TEST_F(FaultsTest, F15CgroupsWithoutFoldersAreFoundAndRemoved) {
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "1000"})));
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  ASSERT_OK(RemoveTree(absl::StrCat(root_, "/run/c")));
  ASSERT_OK(RemoveTree(absl::StrCat(root_, "/state/c/record")));
  ASSERT_EQ(rename(absl::StrCat(root_, "/state/c").c_str(), absl::StrCat(root_, "/aside").c_str()),
            0);
  const auto all = runtime_->List();
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ((*all)[0].id, "c");
  EXPECT_THAT(*runtime_->ListIds(), ::testing::ElementsAre("c"));
  EXPECT_TRUE((*all)[0].exit.supervisor_lost);
  EXPECT_OK(runtime_->Remove("c"));
  ExpectGone(state->init);
  EXPECT_TRUE(CgroupDirs("c").empty());
}

TEST_F(FaultsTest, F9WhatAnotherBootRecordedIsNotAdopted) {
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "1000"})));
  const auto before = runtime_->State("c");
  ASSERT_OK(before);
  RuntimeOptions options = Options();
  options.boot_id = "boot-2";
  auto later = OpenRuntime(options);
  ASSERT_OK(later);
  const auto state = (*later)->State("c");
  ASSERT_OK(state);
  EXPECT_EQ(state->phase, Phase::kExited);
  EXPECT_TRUE(state->exit.supervisor_lost);
  EXPECT_OK((*later)->Remove("c"));
}

TEST_F(FaultsTest, AnotherOwnersContainersAreLeftAlone) {
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "1000"})));
  RuntimeOptions options = Options();
  options.owner = "other";
  auto other = OpenRuntime(options);
  ASSERT_OK(other);
  EXPECT_TRUE((*other)->List()->empty());
  EXPECT_THAT((*other)->State("c"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT((*other)->Remove("c"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(runtime_->State("c")->phase, Phase::kRunning);
}

// A power cut leaves the name of a file that was never synced, and of its content what it likes.
TEST_F(FaultsTest, F9ATornRecordIsAContainerThatIsLost) {
  for (const std::string& torn : {std::string(), std::string(150, '\0'),
                                  std::string("{\"version\":1,\"id\":\"t"), std::string("[]"),
                                  std::string("\x7f"
                                              "ELF garbage")}) {
    SCOPED_TRACE(torn);
    ASSERT_OK(PrepareAndStart("torn", Config({"/bin/sleep", "1000"})));
    ASSERT_OK(PrepareAndStart("whole", Config({"/bin/sleep", "1000"})));
    const auto state = runtime_->State("torn");
    ASSERT_OK(state);
    ASSERT_OK(WriteFileAtomically(absl::StrCat(root_, "/state/torn/record"), torn, 0600));
    runtime_.reset();
    auto again = OpenRuntime(Options());
    ASSERT_OK(again);
    runtime_ = *std::move(again);
    const auto all = runtime_->List();
    ASSERT_OK(all);
    ASSERT_EQ(all->size(), 2u);
    EXPECT_EQ((*all)[0].id, "torn");
    EXPECT_EQ((*all)[0].phase, Phase::kExited);
    EXPECT_TRUE((*all)[0].exit.supervisor_lost);
    EXPECT_EQ((*all)[1].phase, Phase::kRunning);
    EXPECT_OK(runtime_->Release("torn"));
    EXPECT_OK(runtime_->Remove("torn"));
    ExpectGone(state->init);
    EXPECT_TRUE(CgroupDirs("torn").empty());
    EXPECT_OK(runtime_->Remove("whole"));
    EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/state"))->empty());
  }
}

TEST_F(FaultsTest, F9ATornRecordDoesNotStandInTheWayOfANewContainer) {
  ASSERT_OK(MakeDirectories(absl::StrCat(root_, "/state/c"), 0700));
  ASSERT_OK(WriteFileAtomically(absl::StrCat(root_, "/state/c/record"), "", 0600));
  EXPECT_THAT(Prepare("c", Config({"/bin/true"})), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(runtime_->Remove("c"));
  ASSERT_OK(PrepareAndStart("c", Config(Shell("exit 3"))));
  EXPECT_EQ(Wait("c").exit.exit_code, 3);
}

// For as long as it lives this process can open nothing more.
class NoDescriptorsLeft {
 public:
  NoDescriptorsLeft() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 0;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptorsLeft() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_;
};

TEST_F(FaultsTest, F23WithoutDescriptorsNothingIsSaidOfAContainer) {
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "1000"})));
  ASSERT_OK(Prepare("d", Config(Shell("exit 3"))));
  const auto before = runtime_->State("c");
  ASSERT_OK(before);
  {
    const NoDescriptorsLeft none;
    EXPECT_THAT(runtime_->State("c"), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(runtime_->OpenExitFd("c"), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(runtime_->List(), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(runtime_->Signal("c", SIGTERM), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(runtime_->Release("c"), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(IsAlive(before->init), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(OpenProcess(before->init), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_FALSE(runtime_->Start("d").ok());
  }
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  EXPECT_EQ(state->phase, Phase::kRunning);
  EXPECT_TRUE(*IsAlive(state->init));
  EXPECT_NE(runtime_->State("d")->phase, Phase::kRunning);
}

TEST_F(FaultsTest, F23ADescriptorOrTwoAreNoProofOfDeathEither) {
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "1000"})));
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // Every number of free descriptors that makes some step in the middle fail.
  const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (int more = 0; more < 6; ++more) {
    rlimit few = before;
    few.rlim_cur = static_cast<rlim_t>(lowest + more);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    const auto state = runtime_->State("c");
    const auto fd = runtime_->OpenExitFd("c");
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(!state.ok() || state->phase == Phase::kRunning) << more;
    EXPECT_TRUE(!fd.ok() || !WaitForEnd(fd->get(), absl::ZeroDuration())) << more;
  }
  close(lowest);
  EXPECT_EQ(runtime_->State("c")->phase, Phase::kRunning);
}

TEST_F(FaultsTest, RemoveEndsAlthoughTheShimHangsAndItsStateIsDamaged) {
  runtime_.reset();
  RuntimeOptions options = Options();
  options.end_timeout = absl::Milliseconds(300);
  auto runtime = OpenRuntime(options);
  ASSERT_OK(runtime);
  runtime_ = *std::move(runtime);
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "1000"})));
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  ASSERT_EQ(kill(static_cast<pid_t>(state->shim.pid), SIGSTOP), 0);
  ASSERT_OK(WriteFileAtomically(absl::StrCat(root_, "/run/c/state"), "?", 0600));
  EXPECT_OK(runtime_->Remove("c"));
  ExpectGone(state->shim);
  ExpectGone(state->init);
  EXPECT_TRUE(CgroupDirs("c").empty());
}

TEST_F(FaultsTest, FiftyAtOnceLeaveNothingBehind) {
  constexpr int kContainers = 50;
  constexpr int kThreads = 8;
  const nlohmann::json config = Config(Shell("echo $HOSTNAME; exit 3"));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < kContainers; i += kThreads) {
        const std::string id = absl::StrCat("p", i);
        EXPECT_OK(PrepareAndStart(id, config));
        if (i % 5 == 0) {
          EXPECT_OK(runtime_->Kill(id));
        }
        if (i % 7 != 0) {
          const int code = Wait(id).exit.exit_code;
          EXPECT_TRUE(code == 3 || (i % 5 == 0 && code == 137)) << code;
        }
        EXPECT_OK(runtime_->Remove(id));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(runtime_->List()->empty());
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/state"))->empty());
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/run"))->empty());
  for (int i = 0; i < kContainers; ++i) EXPECT_TRUE(CgroupDirs(absl::StrCat("p", i)).empty());
  // No child of ours is left, not even a dead one.
  int status;
  EXPECT_EQ(waitpid(-1, &status, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST_F(FaultsTest, KillWhilePreparingOrStartingEndsInAnError) {
  for (int i = 0; i < 20; ++i) {
    const std::string id = absl::StrCat("k", i);
    std::thread killer([&] {
      for (int n = 0; n < 200; ++n) runtime_->Kill(id).IgnoreError();
    });
    const auto started = PrepareAndStart(id, Config({"/bin/true"}));
    killer.join();
    if (started.ok()) {
      const int code = Wait(id).exit.exit_code;
      EXPECT_TRUE(code == 0 || code == 137) << code;
    }
    EXPECT_OK(runtime_->Remove(id));
  }
  EXPECT_TRUE(runtime_->List()->empty());
}

}  // namespace
}  // namespace swarm::agent
