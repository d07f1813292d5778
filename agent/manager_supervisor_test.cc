// With a shell script in the place of swarm-manager.
#include "agent/manager_supervisor.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/event_loop.h"
#include "common/file_system.h"
#include "common/random.h"
#include "common/unique_fd.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

class ManagerSupervisorTest : public ::testing::Test {
 protected:
  ManagerSupervisorTest() {
    char name[] = "/tmp/supervisor_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    options_.binary = dir_ + "/manager.sh";
    options_.state_dir = dir_ + "/state";
    options_.run_dir = dir_ + "/run";
    options_.record = dir_ + "/record";
    options_.user = ::getpwuid(::geteuid())->pw_name;
    options_.boot_id = "b1";
    Make();
  }
  ~ManagerSupervisorTest() override {
    if (supervisor_ != nullptr) Stop();
    OnLoop([this] { supervisor_.reset(); });
    loop_->Stop();
    thread_.join();
    (void)RemoveTree(dir_);
  }

  template <typename Work>
  void OnLoop(Work work) {
    std::promise<void> done;
    loop_->Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  void Make() {
    OnLoop([this] { supervisor_ = std::make_unique<ManagerSupervisor>(env_, options_); });
  }
  void Script(const std::string& body) {
    ASSERT_TRUE(WriteFileAtomically(options_.binary, "#!/bin/sh\n" + body + "\n", 0755).ok());
  }
  absl::Status Start(bool initialise) {
    std::promise<absl::Status> done;
    OnLoop([&] {
      supervisor_->Start({"127.0.0.1:1", "127.0.0.1:2", "", ""}, initialise,
                         [&](absl::Status status) { done.set_value(std::move(status)); });
    });
    return done.get_future().get();
  }
  void Stop() {
    std::promise<void> done;
    OnLoop([&] { supervisor_->Stop([&] { done.set_value(); }); });
    done.get_future().wait();
  }
  bool Running() {
    bool running = false;
    OnLoop([&] { running = supervisor_->running(); });
    return running;
  }
  // A zombie has, too.
  static bool HasEnded(pid_t pid) {
    const auto stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096);
    return !stat.ok() || absl::StrContains(*stat, ") Z ");
  }
  pid_t RecordedPid() { return ::atoi(ReadFile(options_.record).value_or("0").c_str()); }

  std::unique_ptr<RunnableLoop> loop_ = MakeAsioLoop();
  std::thread thread_{[this] { loop_->Run(); }};
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{*loop_, *clock_, *random_, *pool_};
  std::string dir_;
  ManagerProcessOptions options_;
  std::unique_ptr<ManagerSupervisor> supervisor_;
};

constexpr char kServes[] =
    "echo \"$*\" > \"$2/arguments\"; echo ready >&3; exec 3>&-; exec sleep 1000";

TEST_F(ManagerSupervisorTest, StartsAManagerAndKnowsWhenItServes) {
  Script(kServes);
  ASSERT_OK(Start(true));
  EXPECT_TRUE(Running());
  const std::string arguments = *ReadFile(options_.state_dir + "/arguments");
  EXPECT_THAT(arguments, HasSubstr("--listen 127.0.0.1:1 --join-listen 127.0.0.1:2"));
  EXPECT_THAT(arguments, HasSubstr("--init"));
  struct stat info;
  ASSERT_EQ(::stat(options_.state_dir.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  Stop();
  EXPECT_FALSE(Running());
}

TEST_F(ManagerSupervisorTest, HandsOnTheManagersOwnWordsAndLeavesNoneRunning) {
  Script("echo 'error: listen at 1.2.3.4:5: Cannot assign requested address' >&3; exit 1");
  EXPECT_THAT(Start(true), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("1.2.3.4:5: Cannot assign")));
  EXPECT_FALSE(Running());
}

TEST_F(ManagerSupervisorTest, SaysWhenTheProgramIsMissing) {
  EXPECT_THAT(Start(true), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("manager.sh: No such file")));
}

TEST_F(ManagerSupervisorTest, RefusesWithoutAUserToRunItAs) {
  options_.user = "no-such-user-here";
  Make();
  EXPECT_THAT(Start(true), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-user-here")));
}

TEST_F(ManagerSupervisorTest, TheManagerOutlivesItAndTheNextOneAdoptsIt) {
  Script(kServes);
  ASSERT_OK(Start(true));
  const pid_t pid = RecordedPid();
  Make();  // the old one is destroyed
  EXPECT_EQ(::kill(pid, 0), 0);
  ASSERT_OK(Start(false));
  EXPECT_EQ(RecordedPid(), pid);
}

TEST_F(ManagerSupervisorTest, ReplacesAManagerThatWasStartedOutOfAnotherBinary) {
  Script(kServes);
  ASSERT_OK(Start(true));
  const pid_t old = RecordedPid();
  Script(kServes);  // another file under the same name
  Make();
  ASSERT_OK(Start(false));
  EXPECT_NE(RecordedPid(), old);
  EXPECT_TRUE(Running());
  EXPECT_TRUE(HasEnded(old));
  // It is the new one now: adopted.
  const pid_t replaced = RecordedPid();
  Make();
  ASSERT_OK(Start(false));
  EXPECT_EQ(RecordedPid(), replaced);
}

TEST_F(ManagerSupervisorTest, ReplacesAManagerThatWasStartedWithOtherFlags) {
  Script(kServes);
  ASSERT_OK(Start(true));
  const pid_t old = RecordedPid();
  options_.heartbeat_period = "2s";
  options_.clock_offset = "-5m";
  Make();
  ASSERT_OK(Start(false));
  EXPECT_NE(RecordedPid(), old);
  EXPECT_THAT(*ReadFile(options_.state_dir + "/arguments"),
              HasSubstr("--heartbeat-period 2s --clock-offset -5m"));
  EXPECT_TRUE(HasEnded(old));
}

TEST_F(ManagerSupervisorTest, StopsWhileItReplacesAManager) {
  Script(kServes);
  ASSERT_OK(Start(true));
  const pid_t old = RecordedPid();
  options_.heartbeat_period = "2s";
  Make();
  std::promise<void> done;
  OnLoop([&] {
    supervisor_->Start({"127.0.0.1:1", "127.0.0.1:2", "", ""}, false, [](absl::Status) {});
    supervisor_->Stop([&] { done.set_value(); });
  });
  done.get_future().wait();
  EXPECT_FALSE(Running());
  EXPECT_TRUE(HasEnded(old));
}

// Without a record there is only the manager's own word for it.
class ManagerPidFileTest : public ManagerSupervisorTest {
 protected:
  ManagerPidFileTest() {
    options_.binary = dir_ + "/swarm-manager";
    EXPECT_TRUE(MakeDirectories(options_.run_dir, 0755).ok());
    EXPECT_TRUE(MakeDirectories(options_.state_dir, 0755).ok());
    EXPECT_EQ(::system(("cp /bin/dash " + options_.binary).c_str()), 0);
    Make();
  }
  ~ManagerPidFileTest() override {
    for (const pid_t pid : made_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  // A process of that program and user that names our state folder and waits.
  pid_t Run(const std::string& program, uid_t uid) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::dup2(ends[0], 0);
      if (uid == 0 || ::setresuid(uid, uid, uid) == 0) {
        ::execl(program.c_str(), "swarm-manager", "-c", "read x", "sh", options_.state_dir.c_str(),
                nullptr);
      }
      ::_exit(1);
    }
    ends_.emplace_back(ends[1]);
    ::close(ends[0]);
    made_.push_back(pid);
    // Until exec is over: the file behind it is the program's a moment before its arguments are.
    const std::string exe = absl::StrCat("/proc/", pid, "/exe");
    const std::string cmdline = absl::StrCat("/proc/", pid, "/cmdline");
    std::error_code error;  // in the middle of exec the link may not be read
    while (!HasEnded(pid) && (std::filesystem::read_symlink(exe, error) != program ||
                              ReadFile(cmdline, 64 << 10).value_or("").find(options_.state_dir) ==
                                  std::string::npos)) {
    }
    return pid;
  }
  void SayPid(pid_t pid) {
    ASSERT_TRUE(
        WriteFileAtomically(options_.run_dir + "/manager.pid", absl::StrCat(pid, "\n"), 0644).ok());
  }
  bool Adopted(pid_t pid) {
    SayPid(pid);
    std::promise<void> done;
    OnLoop([&] { supervisor_->AdoptAndStop([&] { done.set_value(); }); });
    done.get_future().wait();
    return HasEnded(pid);
  }

  std::vector<pid_t> made_;
  std::vector<UniqueFd> ends_;
};

TEST_F(ManagerPidFileTest, AManagerIsFoundByIt) {
  EXPECT_TRUE(Adopted(Run(options_.binary, ::geteuid())));
}

TEST_F(ManagerPidFileTest, AManagerWhoseBinaryWasReplacedIsFoundToo) {
  const pid_t pid = Run(options_.binary, ::geteuid());
  ASSERT_EQ(::unlink(options_.binary.c_str()), 0);
  EXPECT_TRUE(Adopted(pid));
}

TEST_F(ManagerPidFileTest, AnotherProgramIsNotTakenForTheManager) {
  const pid_t pid = Run("/usr/bin/dash", ::geteuid());
  EXPECT_FALSE(Adopted(pid));
}

TEST_F(ManagerPidFileTest, AnotherUsersProcessIsNotTakenForTheManager) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chmod(dir_.c_str(), 0755), 0);
  const pid_t pid = Run(options_.binary, ::getpwnam("nobody")->pw_uid);
  EXPECT_FALSE(Adopted(pid));
}

TEST_F(ManagerPidFileTest, AFifoOrALinkInItsPlaceIsNotRead) {
  const pid_t pid = Run(options_.binary, ::geteuid());
  const std::string name = options_.run_dir + "/manager.pid";
  for (const bool fifo : {true, false}) {
    ::unlink(name.c_str());
    const std::string elsewhere = absl::StrCat(dir_, "/elsewhere");
    ASSERT_TRUE(WriteFileAtomically(elsewhere, absl::StrCat(pid, "\n"), 0644).ok());
    ASSERT_EQ(fifo ? ::mkfifo(name.c_str(), 0644) : ::symlink(elsewhere.c_str(), name.c_str()), 0);
    std::promise<void> done;
    OnLoop([&] { supervisor_->AdoptAndStop([&] { done.set_value(); }); });
    done.get_future().wait();
    EXPECT_FALSE(HasEnded(pid)) << fifo;
  }
}

TEST_F(ManagerSupervisorTest, DoesNotAdoptWhatAnotherBootRecorded) {
  Script(kServes);
  ASSERT_OK(Start(true));
  const pid_t pid = RecordedPid();
  options_.boot_id = "b2";
  Make();
  ASSERT_OK(Start(false));
  EXPECT_NE(RecordedPid(), pid);
  ::kill(pid, SIGKILL);
}

TEST_F(ManagerSupervisorTest, StartsItAgainWhenItDies) {
  Script(kServes);
  ASSERT_OK(Start(true));
  const pid_t pid = RecordedPid();
  ::kill(pid, SIGKILL);
  // The record changes hands; the test's own time limit ends what never happens.
  while (RecordedPid() == pid || RecordedPid() == 0) {
    OnLoop([&] { EXPECT_TRUE(supervisor_->wanted()) << "also while none runs"; });
  }
  EXPECT_TRUE(Running());
}

}  // namespace
}  // namespace swarm::agent
