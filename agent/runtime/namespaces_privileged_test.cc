// Containers that share namespaces with the node.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/runtime/cgroups.h"
#include "agent/runtime/deadline.h"
#include "agent/runtime/runtime_test_world.h"
#include "common/file_system.h"
#include "common/unique_fd.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class HostNamespacesTest : public RuntimeTestWorld {
 protected:
  v1::ContainerSpec& container() { return *task_.mutable_container(); }
  // A container "c" that says "up" and then lives on.
  void Begin(const std::string& script) {
    ASSERT_OK(PrepareAndStart("c", ConfigText(Shell(script), task_)));
    AwaitLog("c", "up");
  }
  // The numbers on the lines that the container wrote.
  std::vector<pid_t> Pids() const {
    std::vector<pid_t> out;
    const std::string log = LogText("c", 'o');
    for (const absl::string_view line : absl::StrSplit(log, '\n')) {
      int pid = 0;
      if (absl::SimpleAtoi(line, &pid)) out.push_back(pid);
    }
    return out;
  }
  static bool IsThere(pid_t pid) { return kill(pid, 0) == 0; }
  // Not even as one that has ended and was not waited for.
  static bool AwaitGone(pid_t pid) {
    const Deadline deadline(absl::Seconds(20));
    while (IsThere(pid) && !deadline.IsOver()) std::this_thread::yield();
    return !IsThere(pid);
  }
  static std::string Link(const std::string& path) {
    char target[64] = {};
    return readlink(path.c_str(), target, sizeof target - 1) > 0 ? target : "";
  }
  std::string ExecShell(const std::string& script) {
    ExecSpec spec;
    spec.args = Shell(script);
    const auto result = runtime_->Exec("c", spec);
    EXPECT_OK(result);
    return result.ok() ? result->output : "";
  }

  v1::TaskSpec task_;
};

// Two children, one of them in a session of its own without its parent.
constexpr char kWithChildren[] =
    "sleep 1000 & echo $!; sh -c 'sleep 1001 & echo $!'; echo up; exec sleep 1002";

TEST_F(HostNamespacesTest, PidOfTheHostShowsItsProcesses) {
  const std::string script = absl::StrCat("echo $$; test -d /proc/", getpid(), " && echo up");
  EXPECT_THAT(RunShell(script).out, "1\n");
  container().set_host_pid(true);
  const Result result = Run(ConfigText(Shell(script), task_));
  EXPECT_THAT(result.out, HasSubstr("up\n"));
  EXPECT_NE(result.out, "1\nup\n");
}

TEST_F(HostNamespacesTest, KillLeavesNoProcessWithoutAPidNamespace) {
  container().set_host_pid(true);
  Begin(kWithChildren);
  const std::vector<pid_t> children = Pids();
  ASSERT_THAT(children, SizeIs(2));
  for (const pid_t pid : children) EXPECT_TRUE(IsThere(pid));
  ASSERT_OK(runtime_->Kill("c"));
  EXPECT_EQ(Wait("c").exit.exit_code, 128 + SIGKILL);
  for (const pid_t pid : children) EXPECT_FALSE(IsThere(pid));
  EXPECT_OK(runtime_->Release("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
}

TEST_F(HostNamespacesTest, TheRestEndsWithInitAsInAPidNamespace) {
  container().set_host_pid(true);
  Begin(
      "trap 'exit 3' TERM; sleep 1000 & echo $!; sh -c 'sleep 1001 & echo $!'; echo up; "
      "while :; do sleep 0.01; done");
  const std::vector<pid_t> children = Pids();
  ASSERT_THAT(children, SizeIs(2));
  ASSERT_OK(runtime_->Signal("c", SIGTERM));
  EXPECT_EQ(Wait("c").exit.exit_code, 3);
  for (const pid_t pid : children) EXPECT_FALSE(IsThere(pid));
}

TEST_F(HostNamespacesTest, OrphansAreReapedWhileTheContainerRuns) {
  container().set_host_pid(true);
  Begin("sh -c 'sleep 0.05 & echo $!'; echo up; exec sleep 1000");
  ASSERT_THAT(Pids(), SizeIs(1));
  EXPECT_TRUE(AwaitGone(Pids()[0]));
  EXPECT_EQ(runtime_->State("c")->phase, RuntimeContainer::Phase::kRunning);
}

TEST_F(HostNamespacesTest, AnInitOfOursTakesTheOrphans) {
  container().set_host_pid(true);
  container().set_init(true);
  Begin("sh -c 'sleep 1000 & echo $!'; sh -c 'sleep 0.05 & echo $!'; echo up; exec sleep 1000");
  const std::vector<pid_t> orphans = Pids();
  ASSERT_THAT(orphans, SizeIs(2));
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  const auto status = ReadFile(absl::StrCat("/proc/", orphans[0], "/status"));
  ASSERT_OK(status);
  EXPECT_THAT(*status, HasSubstr(absl::StrCat("\nPPid:\t", state->init.pid, "\n")));
  EXPECT_TRUE(AwaitGone(orphans[1]));
  ASSERT_OK(runtime_->Signal("c", SIGTERM));
  EXPECT_EQ(Wait("c").exit.exit_code, 128 + SIGTERM);
  EXPECT_FALSE(IsThere(orphans[0]));
}

TEST_F(HostNamespacesTest, AnInitThatIsKilledTakesItsProgramAlong) {
  container().set_host_pid(true);
  container().set_init(true);
  Begin("echo $$; echo up; exec sleep 1000");
  ASSERT_THAT(Pids(), SizeIs(1));
  ASSERT_OK(runtime_->Signal("c", SIGKILL));
  EXPECT_EQ(Wait("c").exit.exit_code, 128 + SIGKILL);
  EXPECT_FALSE(IsThere(Pids()[0]));
}

TEST_F(HostNamespacesTest, ExecAndStatsWorkAlsoAfterANewAgent) {
  container().set_host_pid(true);
  container().set_host_ipc(true);
  container().set_host_uts(true);
  Begin(kWithChildren);
  runtime_.reset();
  auto again = OpenRuntime(Options());
  ASSERT_OK(again);
  runtime_ = *std::move(again);
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  EXPECT_EQ(state->phase, RuntimeContainer::Phase::kRunning);
  for (const char* kind : {"pid", "ipc", "uts"}) {
    EXPECT_EQ(ExecShell(absl::StrCat("readlink /proc/self/ns/", kind)),
              absl::StrCat(Link(absl::StrCat("/proc/self/ns/", kind)), "\n"));
  }
  EXPECT_EQ(ExecShell("readlink /proc/self/ns/mnt"),
            absl::StrCat(Link(absl::StrCat("/proc/", state->init.pid, "/ns/mnt")), "\n"));
  const auto processes = runtime_->Processes("c");
  ASSERT_OK(processes);
  EXPECT_THAT(*processes, SizeIs(3));
  EXPECT_THAT(*processes, Contains(state->init.pid));
  const auto stats = runtime_->Stats("c");
  ASSERT_OK(stats);
  EXPECT_EQ(stats->pids, 3);
  EXPECT_OK(runtime_->OpenRoot("c"));
  const std::vector<pid_t> children = Pids();
  ASSERT_OK(runtime_->Remove("c"));
  for (const pid_t pid : children) EXPECT_FALSE(IsThere(pid));
}

TEST_F(HostNamespacesTest, WhoseShimIsLostIsEndedWhole) {
  container().set_host_pid(true);
  Begin(kWithChildren);
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  ASSERT_EQ(kill(static_cast<pid_t>(state->shim.pid), SIGKILL), 0);
  EXPECT_TRUE(Wait("c").exit.supervisor_lost);
  for (const pid_t pid : Pids()) EXPECT_TRUE(AwaitGone(pid));
}

// A mount namespace for this thread that has no v2 tree, until the end of its scope.
class WithoutCgroupV2 {
 public:
  WithoutCgroupV2()
      : before_(open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)),
        folder_(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    EXPECT_EQ(unshare(CLONE_NEWNS), 0);
    EXPECT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    const auto mountinfo = ReadFile("/proc/thread-self/mountinfo");
    EXPECT_OK(mountinfo);
    for (const CgroupHierarchy& hierarchy : FindCgroupHierarchies(mountinfo.value_or(""))) {
      if (!hierarchy.v2) continue;
      EXPECT_EQ(umount2(hierarchy.mount_point.c_str(), MNT_DETACH), 0);
    }
  }
  WithoutCgroupV2(const WithoutCgroupV2&) = delete;
  ~WithoutCgroupV2() {
    EXPECT_EQ(setns(before_.get(), CLONE_NEWNS), 0);
    EXPECT_EQ(fchdir(folder_.get()), 0);
  }

 private:
  UniqueFd before_;
  UniqueFd folder_;
};

TEST_F(HostNamespacesTest, TheRestEndsWithInitAlsoWhereOnlyCgroupV1Is) {
  const WithoutCgroupV2 here;
  auto runtime = OpenRuntime(Options());
  if (absl::IsFailedPrecondition(runtime.status())) GTEST_SKIP() << runtime.status();
  ASSERT_OK(runtime);
  runtime_ = *std::move(runtime);
  ASSERT_EQ(runtime_->CgroupMode(), "v1");
  container().set_host_pid(true);
  Begin(
      "trap 'exit 3' TERM; sleep 1000 & echo $!; sh -c 'sleep 1001 & echo $!'; echo up; "
      "while :; do sleep 0.01; done");
  const std::vector<pid_t> children = Pids();
  ASSERT_THAT(children, SizeIs(2));
  const int64_t init = runtime_->State("c")->init.pid;
  std::thread exec([&] { ExecShell("echo $$ > /tmp/pid; exec sleep 1002"); });
  const std::string file = absl::StrCat("/proc/", init, "/root/tmp/pid");
  int in_exec = 0;
  const Deadline begun(absl::Seconds(30));
  while (!absl::SimpleAtoi(ReadFile(file).value_or(""), &in_exec) && !begun.IsOver()) {
    std::this_thread::yield();
  }
  EXPECT_GT(in_exec, 0);
  const Deadline deadline(absl::Seconds(4));  // the shim waits for five when it cannot kill
  ASSERT_OK(runtime_->Signal("c", SIGTERM));
  EXPECT_EQ(Wait("c").exit.exit_code, 3);
  EXPECT_FALSE(deadline.IsOver());
  for (const pid_t pid : children) EXPECT_FALSE(IsThere(pid));
  EXPECT_OK(runtime_->Release("c"));
  exec.join();
  EXPECT_FALSE(IsThere(in_exec));
  EXPECT_OK(runtime_->Remove("c"));
}

TEST_F(HostNamespacesTest, IpcOfTheHostSharesQueuesAndMemory) {
  const key_t key = 0x5a000000 | (getpid() & 0xffffff);
  const int queue = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
  ASSERT_GE(queue, 0);
  const absl::Cleanup no_queue = [&] { msgctl(queue, IPC_RMID, nullptr); };
  const std::string name = absl::StrCat("swarm-test-", getpid());
  const std::string file = absl::StrCat("/dev/shm/", name);
  ASSERT_OK(WriteFileAtomically(file, "shared\n", 0644));
  const absl::Cleanup no_file = [&] { unlink(file.c_str()); };
  const mqd_t posix = mq_open(absl::StrCat("/", name).c_str(), O_CREAT | O_RDWR, 0600, nullptr);
  ASSERT_GE(posix, 0);
  const absl::Cleanup no_posix = [&] {
    mq_close(posix);
    mq_unlink(absl::StrCat("/", name).c_str());
  };
  const std::string script = absl::StrCat("cat /proc/sysvipc/msg; cat ", file,
                                          "; ls /dev/mqueue; grep ' /dev/shm ' /proc/self/mounts");
  const std::string apart = RunShell(script).out;
  EXPECT_THAT(apart, Not(HasSubstr(absl::StrCat(key))));
  EXPECT_THAT(apart, Not(HasSubstr("shared")));
  EXPECT_THAT(apart, Not(HasSubstr(name)));
  container().set_host_ipc(true);
  const std::string together = Run(ConfigText(Shell(script), task_)).out;
  EXPECT_THAT(together, HasSubstr(absl::StrCat(key)));
  EXPECT_THAT(together, HasSubstr("shared\n"));
  EXPECT_THAT(together, HasSubstr(absl::StrCat(name, "\n")));
  EXPECT_THAT(together, HasSubstr("nosuid,nodev,noexec"));
}

TEST_F(HostNamespacesTest, UtsOfTheHostIsItsName) {
  utsname node;
  ASSERT_EQ(uname(&node), 0);
  container().set_host_uts(true);
  EXPECT_EQ(Run(ConfigText(Shell("hostname; cat /etc/hostname"), task_)).out,
            absl::StrCat(node.nodename, "\n", node.nodename, "\n"));
  utsname after;
  ASSERT_EQ(uname(&after), 0);
  EXPECT_STREQ(after.nodename, node.nodename);
}

TEST_F(HostNamespacesTest, ADomainNameOfItsOwnStaysInside) {
  utsname node;
  ASSERT_EQ(uname(&node), 0);
  (*container().mutable_sysctls())["kernel.domainname"] = "inside";
  EXPECT_EQ(Run(ConfigText(Shell("cat /proc/sys/kernel/domainname"), task_)).out, "inside\n");
  utsname after;
  ASSERT_EQ(uname(&after), 0);
  EXPECT_STREQ(after.domainname, node.domainname);
}

}  // namespace
}  // namespace swarm::agent
