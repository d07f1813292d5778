// `service exec`, `cp`, `stats` and `top` against fake daemons.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_split.h"
#include "cli/fake_daemons.h"
#include "common/archive/tar.h"
#include "common/file_system.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ServiceExecTest : public ::testing::Test {
 protected:
  void Says(const std::string& out, const std::string& err, int32_t code,
            const std::string& error = "") {
    cluster_.dialogue_says.resize(3);
    cluster_.dialogue_says[0].set_out(out);
    cluster_.dialogue_says[1].set_err(err);
    cluster_.dialogue_says[2].mutable_exited()->set_exit_code(code);
    cluster_.dialogue_says[2].mutable_exited()->set_error(error);
  }
  // At web.1 on n1, a second apart.
  void Looks(size_t count) {
    cluster_.stats.resize(count);
    int64_t seconds = 0;
    for (v1::StatsResponse& look : cluster_.stats) {
      v1::TaskStats* task = look.add_tasks();
      task->set_task_id("x5kq0a8mzvclaaaaaaaaaaaaa");
      task->set_task_name("web.1");
      task->set_node_hostname("n1");
      task->set_at_nanos(1'000'000'000 * (seconds + 1));
      task->set_cpu_nanos(500'000'000 * seconds);
      task->set_memory_bytes(12 << 20);
      task->set_memory_limit_bytes(1 << 30);
      task->set_received_bytes(1234);
      task->set_pids(3);
      ++seconds;
    }
  }
  int Exec(std::vector<std::string> args) {
    args.insert(args.begin(), {"service", "exec"});
    return world_.Run(args);
  }
  const v1::ExecStart& start() const { return cluster_.dialogue_start.exec(); }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

TEST_F(ServiceExecTest, PrintsWhatTheProgramPrintsAndEndsAsItDoes) {
  Says("out\n", "err\n", 7);
  EXPECT_EQ(Exec({"web", "sh", "-c", "exit 7"}), 7);
  EXPECT_EQ(console_.out, "out\n");
  EXPECT_EQ(console_.err, "err\n") << "and no line of ours";
  EXPECT_EQ(start().task().ref(), "web");
  EXPECT_THAT(start().args(), ElementsAre("sh", "-c", "exit 7"));
  EXPECT_FALSE(start().tty() || start().open_stdin());
  Says("", "", 0);
  EXPECT_EQ(Exec({"web", "true"}), 0);
}

TEST_F(ServiceExecTest, SaysInOneLineWhyNothingRan) {
  Says("", "", 127, "exec \"curl\": executable file not found in $PATH");
  EXPECT_EQ(Exec({"web", "curl"}), 127);
  EXPECT_EQ(console_.err, "error: exec \"curl\": executable file not found in $PATH\n");
  console_.err.clear();
  cluster_.dialogue_says.clear();
  cluster_.dialogue_ends = absl::UnavailableError("node n1 is DOWN");
  EXPECT_EQ(Exec({"web", "true"}), 1);
  EXPECT_EQ(console_.err, "error: node n1 is DOWN\n");
}

TEST_F(ServiceExecTest, TakesFlagsBeforeAndBehindTheTaskButNotTheCommands) {
  Says("", "", 0);
  world_.variables["HOME"] = "/me";
  EXPECT_EQ(Exec({"-u", "ann:staff", "-e", "A=1", "web.1", "-w", "/tmp", "-eHOME", "--index=2",
                  "ls", "-l", "-t"}),
            0);
  EXPECT_EQ(start().user(), "ann:staff");
  EXPECT_EQ(start().dir(), "/tmp");
  EXPECT_THAT(start().env(), ElementsAre("A=1", "HOME=/me"));
  EXPECT_EQ(start().task().slot(), 2u);
  EXPECT_THAT(start().args(), ElementsAre("ls", "-l", "-t"));
  EXPECT_EQ(Exec({"web", "--", "-odd"}), 0);
  EXPECT_THAT(start().args(), ElementsAre("-odd"));
}

TEST_F(ServiceExecTest, SendsStandardInputAndItsEnd) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "hello", 5), 5);
  ::close(ends[1]);
  world_.stdin_fd = ends[0];
  Says("", "", 0);
  EXPECT_EQ(Exec({"-i", "web", "cat"}), 0);
  ::close(ends[0]);
  world_.stdin_fd = -1;
  ASSERT_EQ(cluster_.dialogue_heard.size(), 2u);
  EXPECT_EQ(cluster_.dialogue_heard[0].data(), "hello");
  EXPECT_TRUE(cluster_.dialogue_heard[1].has_end());
}

TEST_F(ServiceExecTest, RefusesWhatMakesNoSense) {
  EXPECT_EQ(Exec({"web"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("no command"));
  console_.err.clear();
  EXPECT_EQ(Exec({"-it", "web", "sh"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("the input device is not a TTY"));
  EXPECT_EQ(Exec({"--index=0", "web", "sh"}), 2);
  EXPECT_EQ(Exec({"-e", "=x", "web", "sh"}), 2);
  EXPECT_EQ(Exec({"--privileged", "web", "sh"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("--privileged is not built yet"));
  EXPECT_FALSE(cluster_.dialogue_start.has_exec());
}

TEST_F(ServiceExecTest, CopiesATreeInAndAFileOut) {
  char name[] = "/tmp/service_exec_test.XXXXXX";
  const std::string dir = ::mkdtemp(name);
  ASSERT_TRUE(WriteFileAtomically(dir + "/a", "content", 0644).ok());
  EXPECT_EQ(world_.Run({"service", "cp", "-a", dir, "web.1:/to"}), 0) << console_.err;
  EXPECT_EQ(cluster_.copied_to.task().ref(), "web.1");
  EXPECT_EQ(cluster_.copied_to.path(), "/to");
  EXPECT_EQ(cluster_.copied_to.name(), dir.substr(5));
  EXPECT_TRUE(cluster_.copied_to.directory());
  EXPECT_TRUE(cluster_.copied_to.keep_ownership());
  EXPECT_FALSE(cluster_.copied_to.merge());
  EXPECT_THAT(cluster_.copied, HasSubstr("content"));
  // The same archive back, under a name that is not there yet.
  EXPECT_EQ(world_.Run({"service", "cp", "web.1:/to", dir + "/back"}), 0) << console_.err;
  EXPECT_EQ(ReadFile(dir + "/back/a").value_or(""), "content");
  EXPECT_EQ(world_.Run({"service", "cp", dir + "/.", "web:/to"}), 0) << console_.err;
  EXPECT_TRUE(cluster_.copied_to.merge());
  EXPECT_EQ(world_.Run({"service", "cp", dir, "elsewhere"}), 2);
  EXPECT_EQ(world_.Run({"service", "cp", dir, "web:relative"}), 2);
  EXPECT_EQ(world_.Run({"service", "cp", dir + "/nothing", "web:/to"}), 1);
  ASSERT_TRUE(RemoveTree(dir).ok());
}

TEST_F(ServiceExecTest, StatsAreRatesOfTwoLooks) {
  Looks(2);
  EXPECT_EQ(world_.Run({"service", "stats", "--no-stream", "web"}), 0) << console_.err;
  EXPECT_THAT(cluster_.stats_request.refs(), ElementsAre("web"));
  EXPECT_THAT(console_.out,
              HasSubstr("x5kq0a8mzvcl   web.1   n1     50.00%   12MiB / 1GiB        1.17%"));
  EXPECT_THAT(console_.out, HasSubstr("1.234kB / 0B"));
}

TEST_F(ServiceExecTest, StatsSayWhoseLooksAreMissingWhateverTheFormat) {
  Looks(2);
  for (v1::StatsResponse& look : cluster_.stats) look.add_notices("node n2 is DOWN");
  EXPECT_EQ(world_.Run({"service", "stats", "--no-stream", "web"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("web.1"));
  EXPECT_EQ(console_.err, "warning: node n2 is DOWN\n") << "once, after the table";
  console_.out.clear();
  console_.err.clear();
  EXPECT_EQ(world_.Run({"service", "stats", "--no-stream", "--format", "{{.Name}}", "web"}), 0);
  EXPECT_EQ(console_.out, "web.1\n");
  EXPECT_EQ(console_.err, "warning: node n2 is DOWN\n");
  console_.out.clear();
  console_.err.clear();
  EXPECT_EQ(world_.Run({"service", "stats", "--no-stream", "--format", "json", "web"}), 0);
  EXPECT_THAT(console_.out, Not(HasSubstr("n2")));
  EXPECT_EQ(console_.err, "warning: node n2 is DOWN\n");
}

TEST_F(ServiceExecTest, StatsThatGoOnSayOnceWhoIsSilentUnlessTheyDrawAnew) {
  Looks(5);
  for (size_t i = 1; i < 3; ++i) cluster_.stats[i].add_notices("node n2 is DOWN");
  cluster_.stats[4].add_notices("node n2 is DOWN");
  EXPECT_EQ(world_.Run({"service", "stats", "web"}), 0);
  EXPECT_EQ(console_.err, "warning: node n2 is DOWN\nwarning: node n2 is DOWN\n")
      << "again, once it had answered in between";
  console_.err.clear();
  console_.is_terminal = true;
  EXPECT_EQ(world_.Run({"service", "stats", "web"}), 0);
  EXPECT_EQ(console_.err, "") << "it would stand between what is drawn";
  EXPECT_THAT(console_.out, HasSubstr("warning: node n2 is DOWN\n"));
}

// The nodes may not have answered yet.
TEST_F(ServiceExecTest, AnEmptyFirstLookIsNotTheAnswer) {
  Looks(3);
  cluster_.stats[0].clear_tasks();
  EXPECT_EQ(world_.Run({"service", "stats", "--no-stream", "--format", "{{.CPUPerc}}", "web"}), 0);
  EXPECT_EQ(console_.out, "50.00%\n");
  console_.out.clear();
  cluster_.stats.assign(2, v1::StatsResponse());
  cluster_.stats[1].add_notices("node n2 is DOWN");
  EXPECT_EQ(world_.Run({"service", "stats", "--no-stream", "web"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("TASK ID"));
  EXPECT_EQ(console_.err, "warning: node n2 is DOWN\n");
}

TEST_F(ServiceExecTest, StatsAreDrawnAgainInPlaceAndKeepToTheScreen) {
  console_.is_terminal = true;
  console_.width = 40;
  cluster_.stats.resize(3);
  for (int i = 0; i < 3; ++i) {
    for (int slot = 1; slot <= 30; ++slot) {
      v1::TaskStats* task = cluster_.stats[static_cast<size_t>(i)].add_tasks();
      task->set_task_id(StrCat("task", 10 + slot));
      task->set_task_name(StrCat("web.", 10 + slot));
      task->set_node_hostname("n1");
      task->set_memory_bytes(i << 20);
    }
  }
  EXPECT_EQ(world_.Run({"service", "stats", "web"}), 0) << console_.err;
  for (const absl::string_view line : absl::StrSplit(console_.out, '\n')) {
    EXPECT_LE(line.size(), 60u) << line;  // the screen's width, and what moves the cursor
  }
  // 24 rows: the second look has 23 of them, and the third goes up to draw over it.
  EXPECT_THAT(console_.out, HasSubstr("… and 9 more lines\n"));
  EXPECT_THAT(console_.out, HasSubstr("\x1b[23A\x1b[2KTASK ID"));
}

TEST_F(ServiceExecTest, TopListsProcesses) {
  v1::Process* process = cluster_.top.add_processes();
  process->set_pid(1);
  process->set_user("root");
  process->set_tty("?");
  process->set_command("nginx -g daemon off;");
  EXPECT_EQ(world_.Run({"service", "top", "--format", "{{.PID}} {{.User}} {{.Command}}", "web.1"}),
            0);
  EXPECT_EQ(console_.out, "1 root nginx -g daemon off;\n");
}

}  // namespace
}  // namespace swarm::cli
