// One more program in a container that runs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "agent/runtime/runtime.h"
#include "agent/runtime/runtime_test_world.h"
#include "agent/runtime/shim_process.h"
#include "agent/shim/protocol.h"
#include "common/file_system.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class ExecTest : public RuntimeTestWorld {
 protected:
  // A container "c" that waits; `task` says how it is.
  void Begin(const v1::TaskSpec& task = v1::TaskSpec()) {
    ASSERT_OK(PrepareAndStart("c", ConfigText(Shell("echo up; exec sleep 1000"), task)));
    AwaitLog("c", "up");
  }
  ExecResult Exec(ExecSpec spec) {
    const auto result = runtime_->Exec("c", spec);
    EXPECT_OK(result);
    return result.ok() ? *result : ExecResult{};
  }
  ExecResult ExecShell(const std::string& script) {
    ExecSpec spec;
    spec.args = Shell(script);
    return Exec(spec);
  }
  // Every process of the container but its init. Dead ones that init does not reap (`sleep` reaps
  // nobody) are none.
  size_t Others() const {
    const auto state = runtime_->State("c");
    char own[64] = {};
    size_t count = 0;
    if (!state.ok() ||
        readlink(absl::StrCat("/proc/", state->init.pid, "/ns/pid").c_str(), own, sizeof own) <= 0)
      return 0;
    const auto names = ListDirectory("/proc");
    for (const std::string& name : names.ok() ? *names : std::vector<std::string>{}) {
      char ns[64] = {};
      if (name[0] < '0' || name[0] > '9') continue;
      if (readlink(absl::StrCat("/proc/", name, "/ns/pid").c_str(), ns, sizeof ns) <= 0) continue;
      const auto stat = ReadFile(absl::StrCat("/proc/", name, "/stat"));
      const bool dead = !stat.ok() || absl::StrContains(*stat, ") Z");
      count += std::string(ns) == own && name != absl::StrCat(state->init.pid) && !dead;
    }
    return count;
  }
  void ExpectNoCgroupLeft() const {
    for (const std::string& dir : CgroupDirs("c")) {
      const auto names = ListDirectory(dir);
      ASSERT_OK(names);
      for (const std::string& name : *names) EXPECT_THAT(name, Not(HasSubstr("exec-"))) << dir;
    }
  }
};

TEST_F(ExecTest, TellsOutputAndExitCode) {
  Begin();
  ExecResult result = ExecShell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.output, "out\nerr\n");
  EXPECT_EQ(result.error, "");
  EXPECT_FALSE(result.truncated || result.timed_out || result.interrupted);
  EXPECT_EQ(ExecShell("kill -9 $$").exit_code, 137);
  ExpectNoCgroupLeft();
}

TEST_F(ExecTest, KeepsSoMuchOfTheOutputAndReadsTheRest) {
  Begin();
  ExecSpec spec;
  spec.args = Shell("yes | head -c 5000000; echo end >&2");
  spec.max_output = 1000;
  const ExecResult result = Exec(spec);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.output.size(), 1000u);
  EXPECT_TRUE(result.truncated);
}

TEST_F(ExecTest, LivesInTheNamespacesAndCgroupsOfTheContainer) {
  Begin();
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  const std::string init = absl::StrCat("/proc/", state->init.pid);
  for (const char* kind : {"mnt", "pid", "ipc", "net", "uts", "cgroup"}) {
    char theirs[64] = {};
    ASSERT_GT(readlink(absl::StrCat(init, "/ns/", kind).c_str(), theirs, sizeof theirs - 1), 0);
    EXPECT_EQ(ExecShell(absl::StrCat("readlink /proc/self/ns/", kind)).output,
              absl::StrCat(theirs, "\n"));
  }
  // As seen from inside: the container's own cgroups are the root, and everything is at or below.
  const std::string cgroups = ExecShell("cat /proc/self/cgroup").output;
  for (const absl::string_view line : absl::StrSplit(cgroups, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    ASSERT_EQ(parts.size(), 3u);
    EXPECT_FALSE(absl::StrContains(parts[2], "..")) << line;
  }
  // As seen from the host: below the container's, in every hierarchy that it uses.
  std::thread looker([&] {
    const std::string mine = absl::StrCat("/", parent_, "/c");
    std::string seen;
    while (seen.empty()) {
      const auto names = ListDirectory("/proc");
      ASSERT_OK(names);
      for (const std::string& name : *names) {
        const auto line = ReadFile(absl::StrCat("/proc/", name, "/cmdline"));
        if (!line.ok() || !absl::StrContains(*line, "4242.25")) continue;
        const auto text = ReadFile(absl::StrCat("/proc/", name, "/cgroup"));
        if (text.ok() && absl::StrContains(*text, mine)) seen = *text;
      }
    }
    const std::string init_text = *ReadFile(init + "/cgroup");
    const std::vector<std::string> lines = absl::StrSplit(seen, '\n');
    const std::vector<std::string> init_lines = absl::StrSplit(init_text, '\n');
    ASSERT_EQ(lines.size(), init_lines.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      const bool in_it = absl::EndsWith(init_lines[i], mine);
      EXPECT_EQ(absl::StrContains(lines[i], mine), in_it) << lines[i];
    }
    ExecShell("kill $(cat /tmp/pid)");
  });
  EXPECT_EQ(ExecShell("echo $$ > /tmp/pid; exec sleep 4242.25").exit_code, 143);
  looker.join();
}

TEST_F(ExecTest, SeesOnlyTheProcessesOfTheContainer) {
  Begin();
  const std::string processes =
      ExecShell("ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline").output;
  // init, the shell, ls, grep.
  EXPECT_THAT(processes,
              ::testing::AnyOf(::testing::StartsWith("4\n"), ::testing::StartsWith("3\n")));
  EXPECT_THAT(processes, HasSubstr("sleep"));
}

TEST_F(ExecTest, IsTheContainersUserWithItsRightsAndFilter) {
  v1::TaskSpec task;
  task.mutable_container()->set_user("ann");
  task.mutable_container()->add_env("COLOR=blue");
  task.mutable_container()->set_dir("/data");
  Begin(task);
  const std::string who =
      "id; pwd; echo $COLOR $HOME; umask; grep -E 'Cap|NoNew|Seccomp:' "
      "/proc/self/status; grep -E 'Cap|NoNew|Seccomp:' /proc/1/status";
  const std::string out = ExecShell(who).output;
  EXPECT_THAT(out, ::testing::StartsWith(
                       "uid=1000(ann) gid=1000(ann) groups=44(video),50(staff),1000(ann)\n/data\n"
                       "blue /home/ann\n0022\n"));
  // The same lines twice: what init has.
  const std::vector<std::string> lines = absl::StrSplit(out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 4u + 14u);
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(lines[4 + i], lines[11 + i]);
  EXPECT_THAT(out, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(out, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(out, HasSubstr("Seccomp:\t2"));
}

TEST_F(ExecTest, TakesAnotherUserFolderAndVariables) {
  Begin();
  ExecSpec spec;
  spec.args = Shell("id -u; pwd; echo $A $B $HOME; cat /proc/self/oom_score_adj");
  spec.user = "ann:staff";
  spec.cwd = "/tmp";
  spec.env = {"A=1", "B=2", "A=3"};
  EXPECT_EQ(Exec(spec).output, "1000\n/tmp\n3 2 /home/ann\n0\n");
  spec.args = Shell("grep CapEff /proc/self/status; kill -9 1 || echo no");
  EXPECT_THAT(Exec(spec).output, HasSubstr("CapEff:\t0000000000000000"));
}

TEST_F(ExecTest, SaysInWordsWhyAProgramDidNotRun) {
  WriteLayerFile("/bin/plain", "text", 0644);
  WriteLayerFile("/bin/noloader", "#!/no/such/interpreter\n", 0755);
  Begin();
  const auto run = [&](const std::string& program, const std::string& user = "",
                       const std::string& cwd = "") {
    ExecSpec spec;
    spec.args = {program};
    spec.user = user;
    spec.cwd = cwd;
    return Exec(spec);
  };
  EXPECT_EQ(run("curl").exit_code, 127);
  EXPECT_EQ(run("curl").error, "exec \"curl\": executable file not found in $PATH");
  EXPECT_EQ(run("/app").exit_code, 127);
  EXPECT_EQ(run("/app").error, "exec /app: no such file or directory");
  EXPECT_EQ(run("/bin/plain").exit_code, 126);
  EXPECT_EQ(run("/bin/plain").error, "exec /bin/plain: permission denied");
  EXPECT_EQ(run("/bin/noloader").exit_code, 127);
  EXPECT_EQ(run("/bin/true", "nobody-here").exit_code, 126);
  EXPECT_EQ(run("/bin/true", "nobody-here").error,
            "unable to find user nobody-here: no matching entries in passwd file");
  EXPECT_EQ(run("/bin/true", "", "/nowhere").exit_code, 126);
  EXPECT_THAT(run("/bin/true", "", "/nowhere").error, HasSubstr("/nowhere"));
  ExecSpec none;
  EXPECT_THAT(runtime_->Exec("c", none), StatusIs(absl::StatusCode::kInvalidArgument));
  none.args = {"/bin/true"};
  none.cwd = "relative";
  EXPECT_THAT(runtime_->Exec("c", none), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(runtime_->Exec("none", none), StatusIs(absl::StatusCode::kNotFound));
  ExpectNoCgroupLeft();
}

TEST_F(ExecTest, AWorkingFolderThatLeadsOutLeadsToTheContainersRoot) {
  // CVE-2024-21626: neither through links nor through a descriptor of ours.
  std::filesystem::create_symlink("../../../../../..", absl::StrCat(layer_, "/data/up"));
  Begin();
  ExecSpec spec;
  spec.args = Shell("pwd -P; ls /bin/busybox");
  spec.cwd = "/data/up";
  EXPECT_EQ(Exec(spec).output, "/\n/bin/busybox\n");
  for (int fd = 3; fd < 12; ++fd) {
    spec.cwd = absl::StrCat("/proc/self/fd/", fd);
    EXPECT_EQ(Exec(spec).exit_code, 126) << fd;
  }
}

TEST_F(ExecTest, InheritsNoDescriptorOfTheHost) {
  Begin();
  const UniqueFd leak(open("/proc/self/status", O_RDONLY));  // not close-on-exec
  ASSERT_TRUE(leak.valid());
  // 0, 1, 2 and the folder that ls itself reads.
  EXPECT_EQ(ExecShell("ls /proc/self/fd | tr '\\n' ' '").output, "0 1 2 3 ");
  EXPECT_EQ(ExecShell("readlink /proc/self/fd/0").output, "/dev/null\n");
  EXPECT_THAT(ExecShell("readlink /proc/self/fd/1").output, HasSubstr("pipe:"));
}

TEST_F(ExecTest, KillsWhatTakesTooLongAndNothingElse) {
  Begin();
  ExecSpec spec;
  // A whole tree, part of it in a session of its own, that ignores SIGTERM.
  spec.args = Shell("trap '' TERM; echo begun; sleep 1000 & (sleep 1000 & sleep 1000); wait");
  spec.timeout = absl::Seconds(1);
  const ExecResult result = Exec(spec);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.exit_code, 137);
  EXPECT_EQ(result.output, "begun\n");
  EXPECT_EQ(Others(), 0u);
  ExpectNoCgroupLeft();
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  EXPECT_EQ(state->phase, RuntimeContainer::Phase::kRunning);
}

TEST_F(ExecTest, WhatItLeavesBehindEndsWithIt) {
  Begin();
  const absl::Time begin = absl::Now();
  const ExecResult result = ExecShell("sleep 1000 & echo started");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.output, "started\n");
  EXPECT_EQ(Others(), 0u);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(60));
  ExpectNoCgroupLeft();
}

TEST_F(ExecTest, CanBeInterrupted) {
  Begin();
  const UniqueFd interrupt(eventfd(0, EFD_CLOEXEC));
  ExecSpec spec;
  spec.args = Shell("touch /tmp/begun; sleep 1000");
  spec.interrupt = interrupt.get();
  std::thread interrupter([&] {
    while (ExecShell("test -e /tmp/begun").exit_code != 0) {
    }
    ASSERT_EQ(eventfd_write(interrupt.get(), 1), 0);
  });
  const ExecResult result = Exec(spec);
  interrupter.join();
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(Others(), 0u);
}

TEST_F(ExecTest, EndsWithTheContainer) {
  Begin();
  ExecSpec spec;
  spec.args = Shell("touch /tmp/begun; sleep 1000");
  std::thread killer([&] {
    while (ExecShell("test -e /tmp/begun").exit_code != 0) {
    }
    EXPECT_OK(runtime_->Kill("c"));
  });
  const auto result = runtime_->Exec("c", spec);
  killer.join();
  ASSERT_OK(result);
  EXPECT_EQ(result->exit_code, 137);
  Wait("c");
  EXPECT_THAT(runtime_->Exec("c", spec), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
}

// Says its lines one after the other, each once the program has printed what it waits for.
class FakePeer : public ExecPeer {
 public:
  struct Line {
    std::string after;  // in the output so far
    ExecInput input;
    bool goes = false;  // instead: nobody is there any more
  };
  explicit FakePeer(std::vector<Line> lines) : lines_(lines.begin(), lines.end()) {}

  int wake_fd() const override { return wake_.get(); }
  void ClearWake() override {
    eventfd_t count = 0;
    eventfd_read(wake_.get(), &count);
  }
  std::optional<ExecInput> Next() override {
    if (lines_.empty() || lines_.front().goes || !absl::StrContains(out, lines_.front().after)) {
      return std::nullopt;
    }
    ExecInput input = std::move(lines_.front().input);
    lines_.pop_front();
    return input;
  }
  Presence presence() const override {
    const bool goes =
        !lines_.empty() && lines_.front().goes && absl::StrContains(out, lines_.front().after);
    return goes ? Presence::kGone : Presence::kThere;
  }
  bool HasRoom() const override { return true; }
  void Give(bool from_stderr, std::string data) override { (from_stderr ? err : out) += data; }

  std::string out;
  std::string err;

 private:
  std::deque<Line> lines_;
  const UniqueFd wake_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

FakePeer::Line Types(const std::string& after, const std::string& data) {
  return {after, ExecInput{ExecInput::Kind::kData, data}};
}

TEST_F(ExecTest, CarriesInputAndBothOutputsOfACaller) {
  Begin();
  FakePeer peer({Types("", "one\ntwo\n"), {"two", ExecInput{ExecInput::Kind::kEnd}}});
  ExecSpec spec;
  spec.args = Shell("cat; echo err >&2; sleep 1000 >/dev/null 2>&1 & exit 7");
  spec.open_stdin = true;
  const auto result = runtime_->ExecWith("c", spec, peer);
  ASSERT_OK(result);
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(peer.out, "one\ntwo\n");
  EXPECT_EQ(peer.err, "err\n");
  EXPECT_EQ(Others(), 1u) << "what it left behind goes on";
  ExpectNoCgroupLeft();
}

TEST_F(ExecTest, ATerminalIsTheContainersOwn) {
  Begin();
  ExecInput smaller;
  smaller.kind = ExecInput::Kind::kResize;
  smaller.size = {24, 80};
  FakePeer peer({Types("begun", "\x03"), {"told", smaller}, Types("told", "go\n")});
  ExecSpec spec;
  spec.args = Shell(
      "tty; stty size; echo $TERM; trap 'echo told; t=1' INT; echo begun; "
      "until [ \"$t\" ]; do sleep 0.05; done; read x; "
      "stty size; echo $x");
  spec.terminal = TerminalSize{33, 101};
  const auto result = runtime_->ExecWith("c", spec, peer);
  ASSERT_OK(result);
  EXPECT_EQ(result->exit_code, 0);
  EXPECT_THAT(peer.out, HasSubstr("/dev/pts/0\r\n33 101\r\nxterm\r\nbegun\r\n"));
  EXPECT_THAT(peer.out, HasSubstr("24 80\r\ngo\r\n"));
}

// CVE-2025-52565: a container that puts something else where its terminals are made.
TEST_F(ExecTest, TakesNoTerminalButTheKernels) {
  v1::TaskSpec task;
  task.mutable_container()->add_capability_add("SYS_ADMIN");
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(Shell("umount /dev/pts; ln -s /etc /dev/link; rmdir /dev/pts; "
                            "ln -s /tmp /dev/pts; touch /tmp/ptmx; echo up; exec sleep 1000"),
                      task)));
  AwaitLog("c", "up");
  FakePeer peer({});
  ExecSpec spec;
  spec.args = {"/bin/true"};
  spec.terminal = TerminalSize{1, 1};
  const auto result = runtime_->ExecWith("c", spec, peer);
  ASSERT_OK(result);
  EXPECT_EQ(result->exit_code, 126);
  EXPECT_THAT(result->error, HasSubstr("make a terminal in the container"));
}

TEST_F(ExecTest, WhoHasGoneHangsTheProgramUp) {
  Begin();
  FakePeer peer({{"begun", {}, /*goes=*/true}});
  ExecSpec spec;
  spec.args = Shell("echo begun; exec sleep 1000");
  const auto result = runtime_->ExecWith("c", spec, peer);
  ASSERT_OK(result);
  EXPECT_TRUE(result->interrupted);
  EXPECT_EQ(result->exit_code, 128 + SIGHUP);
  EXPECT_EQ(Others(), 0u);
}

TEST_F(ExecTest, AnAttachSeesAndFeedsTheContainerItselfAndLeavesItAsItIs) {
  v1::TaskSpec task;
  task.mutable_container()->set_tty(true);
  ASSERT_OK(PrepareAndStart("c", ConfigText({"/bin/sh"}, task)));
  AttachSpec spec{.input = true};
  FakePeer leaves({Types("", "X=1; echo si''ze; stty size\n"), {"size\r\n", {}, /*goes=*/true}});
  ASSERT_OK(runtime_->AttachWith("c", spec, leaves));
  runtime_.reset();
  auto again = OpenRuntime(Options());
  ASSERT_OK(again);
  runtime_ = *std::move(again);
  spec.size = TerminalSize{33, 101};
  FakePeer peer({Types("", "stty size; echo got $X; exit 4\n")});
  const auto result = runtime_->AttachWith("c", spec, peer);
  ASSERT_OK(result);
  EXPECT_EQ(result->exit_code, 4);
  EXPECT_THAT(peer.out, HasSubstr("33 101\r\ngot 1\r\n"));
}

TEST_F(ExecTest, AContainerThatLetsGoOfItsTerminalIsNotHungUpOn) {
  v1::TaskSpec task;
  task.mutable_container()->set_tty(true);
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(Shell("trap 'exit 9' HUP; exec </dev/null >/dev/null 2>&1; sleep 0.2; "
                            "echo back >/dev/tty || exit 8; exit 4"),
                      task)));
  EXPECT_EQ(Wait("c").exit.exit_code, 4);
}

TEST_F(ExecTest, TheConsoleOfAContainerIsItsTerminal) {
  v1::TaskSpec task;
  task.mutable_container()->set_tty(true);
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(Shell("[ -c /dev/console ] && exec >/dev/null && echo told >/dev/console"),
                      task)));
  EXPECT_EQ(Wait("c").exit.exit_code, 0);
  EXPECT_EQ(LogText("c", 'o'), "told\r\n");
}

// Each round opens the terminal and closes it again, and nobody else in the container holds it.
TEST_F(ExecTest, ATerminalThatIsOpenedAgainIsReadOn) {
  v1::TaskSpec task;
  task.mutable_container()->set_tty(true);
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(
               Shell("exec </dev/null >/dev/null 2>&1; i=0; "
                     "while [ $((i += 1)) -le 20 ]; do echo round $i >/dev/tty; sleep 0.02; done; "
                     "busybox setsid sh -c 'echo new session >/dev/pts/0'; "
                     "read x </dev/tty; seq 1 5000 >/dev/tty; exec echo $x >/dev/tty"),
               task)));
  AwaitLog("c", "new session");
  ASSERT_FALSE(HasFailure()) << "who is not read on would wait for ever";
  FakePeer peer({Types("", "last\n")});
  ASSERT_OK(runtime_->AttachWith("c", AttachSpec{.input = true}, peer));
  EXPECT_EQ(Wait("c").exit.exit_code, 0);
  std::string expected;
  for (int i = 1; i <= 20; ++i) absl::StrAppend(&expected, "round ", i, "\r\n");
  absl::StrAppend(&expected, "new session\r\nlast\r\n");  // what is typed is shown
  for (int i = 1; i <= 5000; ++i) absl::StrAppend(&expected, i, "\r\n");
  EXPECT_EQ(LogText("c", 'o'), absl::StrCat(expected, "last\r\n"));
}

// Quiet until it is told to end, which it says.
std::vector<std::string> QuietShell() {
  return {"/bin/sh", "-c", "trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.01; done"};
}

// Nobody writes to a container that prints nothing, so its shim hears late who has gone.
TEST_F(ExecTest, WhoHasGoneLeavesRoomForWhoAttachesNext) {
  ASSERT_OK(PrepareAndStart("c", ConfigText(QuietShell())));
  AwaitLog("c", "up");
  const AttachSpec spec;
  for (int i = 0; i < 2 * shim::kMostAttached; ++i) {
    FakePeer leaves({{"", {}, /*goes=*/true}});
    ASSERT_OK(runtime_->AttachWith("c", spec, leaves));
  }
  ExecInput term;
  term.kind = ExecInput::Kind::kSignal;
  term.signal = SIGTERM;
  FakePeer peer({{"", term}});
  const auto result = runtime_->AttachWith("c", spec, peer);
  ASSERT_OK(result);
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(peer.out, "told\n");
}

TEST_F(ExecTest, OneAttachedTooManyIsTold) {
  ASSERT_OK(PrepareAndStart("c", ConfigText(QuietShell())));
  AwaitLog("c", "up");
  std::vector<std::future<absl::StatusOr<ExecResult>>> all;
  for (int i = 0; i <= shim::kMostAttached; ++i) {
    all.push_back(std::async(std::launch::async, [this] {
      FakePeer peer({});
      return runtime_->AttachWith("c", AttachSpec(), peer);
    }));
  }
  const auto is_ready = [](const auto& one) {
    return one.wait_for(std::chrono::milliseconds(10)) == std::future_status::ready;
  };
  auto first = all.end();
  while (first == all.end()) first = std::find_if(all.begin(), all.end(), is_ready);
  EXPECT_THAT(first->get(), StatusIs(absl::StatusCode::kResourceExhausted,
                                     HasSubstr("8 are attached to this container already")));
  ASSERT_OK(runtime_->Signal("c", SIGTERM));
  all.erase(first);
  for (auto& one : all) {
    const auto result = one.get();
    ASSERT_OK(result);
    EXPECT_EQ(result->exit_code, 3);
  }
}

TEST_F(ExecTest, AnInitPassesSignalsOnAndReaps) {
  v1::TaskSpec task;
  task.mutable_container()->set_init(true);
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(Shell("(sleep 0.01 &); trap 'echo told; exit 3' TERM; sleep 0.1; echo up; "
                            "while :; do sleep 0.01; done"),
                      task)));
  AwaitLog("c", "up");
  // Processes end at any time: one that is still to be reaped after all these looks is left.
  EXPECT_EQ(
      ExecShell("cat /proc/1/comm; n=0; while grep -qs ') Z' /proc/[0-9]*/stat && [ $n -lt 200 ]; "
                "do n=$((n+1)); done; grep -ls ') Z' /proc/[0-9]*/stat")
          .output,
      "swarm-init\n");
  EXPECT_EQ(ExecShell("n=0; until grep -q 'Seccomp:.2' /proc/1/status || [ $n = 200 ]; do "
                      "n=$((n+1)); done; grep Seccomp: /proc/1/status")
                .output,
            "Seccomp:\t2\n");
  ASSERT_OK(runtime_->Signal("c", SIGTERM));
  EXPECT_EQ(Wait("c").exit.exit_code, 3);
  EXPECT_OK(runtime_->Remove("c"));
  const auto missing = PrepareAndStart("c", ConfigText({"/no/such"}, task));
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kNotFound, HasSubstr("exec /no/such")));
}

TEST_F(ExecTest, AnInitThatItsProfileWouldBreakStaysWithoutAFilter) {
  v1::TaskSpec task;
  task.mutable_container()->set_init(true);
  auto config = nlohmann::json::parse(
      ConfigText(Shell("trap 'exit 3' TERM; grep Seccomp: /proc/self/status; echo up; "
                       "while :; do sleep 0.01; done"),
                 task));
  config["annotations"].erase("swarm.seccomp");
  config["linux"]["seccomp"] = {
      {"defaultAction", "SCMP_ACT_ALLOW"},
      {"syscalls",
       {{{"names", {"rt_sigtimedwait", "rt_sigtimedwait_time64"}}, {"action", "SCMP_ACT_ERRNO"}}}}};
  ASSERT_OK(PrepareAndStart("c", config.dump()));
  AwaitLog("c", "up");
  EXPECT_THAT(LogText("c", 'o'), HasSubstr("Seccomp:\t2"));
  EXPECT_EQ(ExecShell("grep Seccomp: /proc/1/status").output, "Seccomp:\t0\n");
  ASSERT_OK(runtime_->Signal("c", SIGTERM));
  EXPECT_EQ(Wait("c").exit.exit_code, 3);
}

TEST_F(ExecTest, WorksInAContainerOfAnAgentBefore) {
  Begin();
  runtime_.reset();
  auto again = OpenRuntime(Options());
  ASSERT_OK(again);
  runtime_ = *std::move(again);
  EXPECT_EQ(ExecShell("hostname; echo $$ > /tmp/x; cat /proc/1/comm").output,
            "abcdefghijkl\nsleep\n");
}

// An agent before this one did not use the tree that counts block devices' work.
TEST_F(ExecTest, WorksInAContainerThatHasNoPlaceInATreeThatOnlyCounts) {
  Begin();
  std::string dir;
  for (const std::string& each : CgroupDirs("c")) {
    if (absl::StrContains(each, "/blkio/")) dir = each;
  }
  if (dir.empty()) GTEST_SKIP() << "no cgroup v1 tree of blkio alone on this machine";
  const std::string above = std::filesystem::path(dir).parent_path();
  const std::string processes = *ReadFile(dir + "/cgroup.procs");
  for (const absl::string_view pid : absl::StrSplit(processes, '\n', absl::SkipEmpty())) {
    std::ofstream(above + "/cgroup.procs") << pid << std::endl;
  }
  ASSERT_EQ(::rmdir(dir.c_str()), 0) << dir;
  EXPECT_EQ(ExecShell("cat /proc/1/comm").output, "sleep\n");
  EXPECT_THAT(runtime_->Processes("c"), IsOkAndHolds(SizeIs(1)));
}

TEST_F(ExecTest, TheContainerSeesASealedCopyAndNotOurProgram) {
  // CVE-2019-5736: a container that watches for new processes and reaches for what they run.
  v1::TaskSpec task;
  task.mutable_container()->add_capability_add("ALL");
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(Shell("echo up; while [ ! -e /tmp/stop ]; do for p in /proc/[0-9]*; do "
                            "l=$(readlink $p/exe); case \"$l\" in ''|/bin/busybox) ;; *) "
                            "echo \"$l\"; echo x > $p/exe && echo written;; esac; done; done"),
                      task)));
  AwaitLog("c", "up");
  const auto before = ReadFile(Options().shim_path);
  ASSERT_OK(before);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(ExecShell("true").exit_code, 0);
  ExecShell("touch /tmp/stop");  // its end may end this too
  Wait("c");
  const std::string seen = LogText("c", 'o');
  EXPECT_THAT(seen, Not(HasSubstr("swarm-shim")));
  EXPECT_THAT(seen, Not(HasSubstr("written")));
  EXPECT_EQ(*ReadFile(Options().shim_path), *before);
}

TEST_F(ExecTest, SocketsAreMadeInTheContainersNetwork) {
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(Shell("echo pong > /tmp/index.html; httpd -p 127.0.0.1:8080 -h /tmp; "
                            "echo up; exec sleep 1000"))));
  AwaitLog("c", "up");
  const auto socket_fd = runtime_->OpenSocket("c", AF_INET, SOCK_STREAM);
  ASSERT_OK(socket_fd);
  EXPECT_NE(fcntl(socket_fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  char name[16] = "lo";
  // Its only interface is its own loopback.
  EXPECT_EQ(setsockopt(socket_fd->get(), SOL_SOCKET, SO_BINDTODEVICE, name, sizeof name), 0);
  EXPECT_THAT(runtime_->OpenSocket("none", AF_INET, SOCK_STREAM),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ExecTest, CountsWhatTheContainerUses) {
  ASSERT_OK(PrepareAndStart(
      "c", ConfigText(Shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; dd if=/dev/zero "
                            "of=/dev/shm/x bs=1M count=20; echo done; exec sleep 1000"))));
  AwaitLog("c", "done");
  const auto usage = runtime_->Usage("c");
  ASSERT_OK(usage);
  EXPECT_GT(usage->cpu_nanos, 10'000'000);
  EXPECT_LT(usage->cpu_nanos, 60'000'000'000);
  EXPECT_GT(usage->memory_bytes, 20 << 20);
  EXPECT_LT(usage->memory_bytes, 64 << 20);
  EXPECT_THAT(runtime_->Usage("none"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace swarm::agent
