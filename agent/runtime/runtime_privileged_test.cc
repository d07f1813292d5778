// A container's life: from Prepare to Remove, and every way in which a program can fail to start.
#include "agent/runtime/runtime.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "absl/cleanup/cleanup.h"
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
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Phase = RuntimeContainer::Phase;

class RuntimeTest : public RuntimeTestWorld {
 protected:
  nlohmann::json Config(const std::vector<std::string>& command,
                        const v1::TaskSpec& task = v1::TaskSpec()) const {
    return nlohmann::json::parse(ConfigText(command, task));
  }

  // The status of Start; the container is gone afterwards.
  absl::Status StartError(const nlohmann::json& config, int exit_code) {
    EXPECT_OK(Prepare("bad", config));
    const absl::Status status = runtime_->Start("bad").status();
    const RuntimeContainer ended = Wait("bad");
    EXPECT_EQ(ended.phase, Phase::kExited);
    EXPECT_EQ(ended.exit.exit_code, exit_code);
    EXPECT_OK(runtime_->Remove("bad"));
    return status;
  }
};

TEST_F(RuntimeTest, RunsAProgramAndKeepsItsOutputAndExitCode) {
  const Result result = RunShell("echo hello; echo oops >&2; exit 7");
  EXPECT_EQ(result.exit.exit_code, 7);
  EXPECT_FALSE(result.exit.oom_killed);
  EXPECT_EQ(result.out, "hello\n");
  EXPECT_EQ(result.err, "oops\n");
}

TEST_F(RuntimeTest, CountsASignalAs128PlusItsNumber) {
  EXPECT_EQ(RunShell("kill -9 $$; kill -TERM $$; exec sh -c 'exit 3'").exit.exit_code, 3);
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "100"})));
  ASSERT_OK(runtime_->Kill("c"));
  EXPECT_EQ(Wait("c").exit.exit_code, 137);
}

TEST_F(RuntimeTest, IsCreatedThenRunningThenExited) {
  ASSERT_OK(
      Prepare("c", Config(Shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"))));
  auto state = runtime_->State("c");
  ASSERT_OK(state);
  EXPECT_EQ(state->phase, Phase::kCreated);
  EXPECT_TRUE(*IsAlive(state->shim));
  EXPECT_TRUE(*IsAlive(state->init));
  const auto started = runtime_->Start("c");
  ASSERT_OK(started);
  EXPECT_EQ(started->init.pid, state->init.pid);
  EXPECT_EQ(started->shim.start_ticks, state->shim.start_ticks);
  EXPECT_EQ(runtime_->State("c")->phase, Phase::kRunning);
  EXPECT_THAT(runtime_->Start("c"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Prepare("c", Config({"/bin/true"})), StatusIs(absl::StatusCode::kAlreadyExists));
  AwaitLog("c", "up");
  ASSERT_OK(runtime_->Signal("c", SIGTERM));
  const RuntimeContainer ended = Wait("c");
  EXPECT_EQ(ended.phase, Phase::kExited);
  EXPECT_EQ(ended.exit.exit_code, 5);
  EXPECT_OK(runtime_->Signal("c", SIGTERM));
  EXPECT_OK(runtime_->Kill("c"));
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_THAT(runtime_->State("c"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(PathExists(absl::StrCat(root_, "/state/c")));
  EXPECT_FALSE(PathExists(absl::StrCat(root_, "/run/c")));
  EXPECT_TRUE(CgroupDirs("c").empty());
}

TEST_F(RuntimeTest, AReleasedContainerHoldsNothingButItsLogsAndItsEnd) {
  v1::TaskSpec task;
  task.mutable_resources()->mutable_limits()->set_memory_bytes(16 << 20);
  ASSERT_OK(PrepareAndStart("c", Config(Shell("echo out; mkdir -p /a/b; echo x > /a/b/c; "
                                              "exec dd if=/dev/zero of=/dev/null bs=64M"),
                                        task)));
  EXPECT_THAT(Prepare("d", Config({"/bin/sleep", "100"})), ::swarm::testing::IsOk());
  EXPECT_THAT(runtime_->Release("d"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(runtime_->Release("none"), StatusIs(absl::StatusCode::kNotFound));
  const RuntimeContainer ended = Wait("c");
  EXPECT_TRUE(ended.exit.oom_killed);
  EXPECT_FALSE(CgroupDirs("c").empty());
  EXPECT_OK(runtime_->Release("c"));
  EXPECT_OK(runtime_->Release("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
  EXPECT_FALSE(PathExists(absl::StrCat(root_, "/state/c/upper")));
  EXPECT_FALSE(PathExists(absl::StrCat(root_, "/state/c/work")));
  EXPECT_FALSE(PathExists(absl::StrCat("/proc/", ended.shim.pid, "/stat"))) << "a zombie is left";
  EXPECT_EQ(LogText("c", 'o'), "out\n");
  EXPECT_OK(runtime_->Kill("c"));
  EXPECT_OK(runtime_->Remove("d"));
  // And so for the next agent.
  runtime_.reset();
  auto again = OpenRuntime(Options());
  ASSERT_OK(again);
  runtime_ = *std::move(again);
  const auto all = runtime_->List();
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ((*all)[0].phase, Phase::kExited);
  EXPECT_EQ((*all)[0].exit.exit_code, 137);
  EXPECT_TRUE((*all)[0].exit.oom_killed);
  EXPECT_FALSE((*all)[0].exit.supervisor_lost);
  EXPECT_EQ(LogText("c", 'o'), "out\n");
  EXPECT_OK(runtime_->Release("c"));
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_TRUE(runtime_->List()->empty());
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/state"))->empty());
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/run"))->empty());
}

TEST_F(RuntimeTest, ReleaseAndRemoveAtTheSameTimeLeaveNothing) {
  for (int i = 0; i < 10; ++i) {
    const std::string id = absl::StrCat("r", i);
    ASSERT_OK(PrepareAndStart(id, Config(Shell("mkdir -p /a/b/c; exit 3"))));
    EXPECT_EQ(Wait(id).exit.exit_code, 3);
    std::thread releaser([&] {
      const absl::Status released = runtime_->Release(id);
      EXPECT_TRUE(released.ok() || absl::IsNotFound(released)) << released;
    });
    EXPECT_OK(runtime_->Remove(id));
    releaser.join();
    EXPECT_TRUE(CgroupDirs(id).empty());
  }
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/state"))->empty());
}

TEST_F(RuntimeTest, SaysWhatIsWrongWithAProgram) {
  WriteLayerFile("/bin/garbage", "\x01\x02\x03 not a program", 0755);
  WriteLayerFile("/bin/plain", "text", 0644);
  WriteLayerFile("/bin/noloader", "#!/no/such/interpreter\n", 0755);
  EXPECT_THAT(StartError(Config({"/app"}), 127),
              StatusIs(absl::StatusCode::kNotFound, "exec /app: no such file or directory"));
  EXPECT_THAT(
      StartError(Config({"app"}), 127),
      StatusIs(absl::StatusCode::kNotFound, "exec \"app\": executable file not found in $PATH"));
  EXPECT_THAT(StartError(Config({"/bin/plain"}), 126),
              StatusIs(absl::StatusCode::kPermissionDenied, "exec /bin/plain: permission denied"));
  EXPECT_THAT(StartError(Config({"plain"}), 126),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("permission denied")));
  EXPECT_THAT(StartError(Config({"/bin"}), 126),
              StatusIs(absl::StatusCode::kPermissionDenied, "exec /bin: permission denied"));
  EXPECT_THAT(StartError(Config({"/bin/garbage"}), 126),
              StatusIs(absl::StatusCode::kInvalidArgument, "exec /bin/garbage: exec format error"));
  EXPECT_THAT(StartError(Config({"/bin/noloader"}), 127),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("interpreter")));
}

TEST_F(RuntimeTest, RefusesABadConfigurationAndLeavesNothing) {
  auto config = Config({"/bin/true"});
  config["process"]["apparmorProfile"] = "x";
  EXPECT_THAT(Prepare("c", config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("process.apparmorProfile")));
  EXPECT_THAT(runtime_->Prepare(Spec("../c", Config({"/bin/true"}))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("container id")));
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/state"))->empty());
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/run"))->empty());
}

TEST_F(RuntimeTest, AFailedPrepareLeavesNothing) {
  auto config = Config({"/bin/true"});
  config["mounts"].push_back({{"destination", "/x"},
                              {"type", "bind"},
                              {"source", "/no/such/folder"},
                              {"options", {"rbind"}}});
  EXPECT_THAT(Prepare("c", config),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder")));
  config = Config({"/bin/true"});
  config["annotations"]["swarm.user"] = "nobody-here";
  EXPECT_THAT(Prepare("c", config),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unable to find user nobody-here: no matching entries in passwd file"));
  RuntimeContainerSpec spec = Spec("c", Config({"/bin/true"}));
  spec.lower_dirs = {absl::StrCat(root_, "/no-layer")};
  EXPECT_THAT(runtime_->Prepare(spec),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-layer")));
  EXPECT_THAT(runtime_->State("c"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(runtime_->List()->empty());
  EXPECT_TRUE(CgroupDirs("c").empty());
  EXPECT_TRUE(ListDirectory(absl::StrCat(root_, "/state"))->empty());
}

TEST_F(RuntimeTest, ManyLayersLieInOrder) {
  RuntimeContainerSpec spec = Spec("c", Config(Shell("cat /which; ls /only")));
  spec.lower_dirs.clear();
  // Long paths and many of them: far more than one page of mount options.
  for (int i = 0; i < 100; ++i) {
    const std::string dir = absl::StrCat(root_, "/", std::string(180, 'l'), i);
    ASSERT_OK(MakeDirectories(absl::StrCat(dir, "/only"), 0755));
    ASSERT_OK(WriteFileAtomically(absl::StrCat(dir, "/which"), absl::StrCat(i, "\n"), 0644));
    ASSERT_OK(WriteFileAtomically(absl::StrCat(dir, "/only/", i % 2), "", 0644));
    spec.lower_dirs.push_back(dir);
  }
  spec.lower_dirs.push_back(layer_);
  ASSERT_OK(runtime_->Prepare(spec));
  ASSERT_OK(runtime_->Start("c"));
  Wait("c");
  EXPECT_EQ(LogText("c", 'o'), "0\n0\n1\n");
}

TEST_F(RuntimeTest, NeverWritesToALayer) {
  RunShell("echo changed > /etc/passwd; rm /bin/true; touch /new");
  EXPECT_TRUE(PathExists(absl::StrCat(layer_, "/bin/true")));
  EXPECT_FALSE(PathExists(absl::StrCat(layer_, "/new")));
  EXPECT_THAT(*ReadFile(absl::StrCat(layer_, "/etc/passwd")), HasSubstr("ann"));
}

TEST_F(RuntimeTest, GivesTheProgramItsSurroundings) {
  v1::TaskSpec task;
  auto* container = task.mutable_container();
  container->add_env("COLOR=blue");
  container->set_dir("/made/for/me");
  container->set_hostname("host-{{.Task.Slot}}");
  const Result result = Run(Config(
      Shell("pwd; hostname; echo $COLOR $HOME $HOSTNAME; cat /etc/hostname; grep host-1 /etc/hosts;"
            "cat /etc/resolv.conf; readlink /proc/self/fd/0; umask; echo $$"),
      task));
  EXPECT_EQ(result.out,
            "/made/for/me\nhost-1\nblue /root host-1\nhost-1\n127.0.0.1\thost-1\n"
            "# no network, no name servers\n/dev/null\n0022\n1\n");
}

TEST_F(RuntimeTest, FindsTheUserInTheContainersOwnFiles) {
  const auto id_as = [&](const std::string& user) {
    v1::TaskSpec task;
    task.mutable_container()->set_user(user);
    return Run(Config(Shell("id; echo $HOME; echo x > /dev/stdout"), task)).out;
  };
  EXPECT_EQ(id_as("ann"),
            "uid=1000(ann) gid=1000(ann) groups=44(video),50(staff),1000(ann)\n/home/ann\nx\n");
  EXPECT_EQ(id_as("ann:staff"), "uid=1000(ann) gid=50(staff) groups=50(staff)\n/home/ann\nx\n");
  EXPECT_EQ(id_as("1000"),
            "uid=1000(ann) gid=1000(ann) groups=44(video),50(staff),1000(ann)\n/home/ann\nx\n");
  EXPECT_EQ(id_as("4242:77"), "uid=4242 gid=77 groups=77\n/\nx\n");
  EXPECT_EQ(id_as("2147483647"), "uid=2147483647 gid=0(root) groups=0(root)\n/\nx\n");
  v1::TaskSpec task;
  task.mutable_container()->set_user("4242");
  task.mutable_container()->add_groups("staff");
  task.mutable_container()->add_groups("99");
  EXPECT_THAT(Run(Config(Shell("id"), task)).out, HasSubstr("groups=0(root),50(staff),99"));
}

TEST_F(RuntimeTest, AReadOnlyRootIsReadOnly) {
  v1::TaskSpec task;
  task.mutable_container()->set_read_only(true);
  const Result result = Run(
      Config(Shell("touch /x || echo no; touch /dev/shm/x && echo yes; cat /etc/hostname"), task));
  EXPECT_THAT(result.err, HasSubstr("Read-only file system"));
  EXPECT_THAT(result.out, StartsWith("no\nyes\n"));
}

TEST_F(RuntimeTest, HasALoopbackOfItsOwnThatIsUp) {
  EXPECT_EQ(RunShell("cat /sys/class/net/lo/flags; ls /sys/class/net; echo pong > /index.html; "
                     "httpd -p 127.0.0.1:80 -h /; wget -qO- http://127.0.0.1/")
                .out,
            "0x9\nlo\npong\n");
}

TEST_F(RuntimeTest, UsesTheHostsNetworkWhenAsked) {
  v1::TaskSpec task;
  task.add_networks()->set_target("host");
  ASSERT_OK(PrepareAndStart(
      "c", Config(Shell("readlink /proc/self/ns/net; hostname; cat /etc/hosts"), task)));
  Wait("c");
  char own[64] = {};
  ASSERT_GT(readlink("/proc/self/ns/net", own, sizeof own - 1), 0);
  EXPECT_THAT(LogText("c", 'o'), StartsWith(absl::StrCat(own, "\nnode-1\n")));
}

TEST_F(RuntimeTest, JoinsANetworkNamespaceThatIsThere) {
  UniqueFd network;
  std::thread([&] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    network.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  struct stat wanted = {};
  ASSERT_EQ(fstat(network.get(), &wanted), 0);
  auto config =
      Config(Shell("readlink /proc/self/ns/net; cat /etc/resolv.conf; grep db /etc/hosts;"
                   "cat /sys/class/net/lo/flags; ls /proc/self/fd | wc -l"));
  for (auto& one : config["linux"]["namespaces"]) {
    if (one["type"] == "network") {
      one["path"] = absl::StrCat("/proc/", getpid(), "/fd/", network.get());
    }
  }
  config["annotations"]["swarm.resolv_conf"] = "nameserver 127.0.0.11\n";
  config["annotations"]["swarm.hosts"] = "10.0.0.9\tdb\n";
  EXPECT_EQ(Run(config).out, absl::StrCat("net:[", wanted.st_ino,
                                          "]\nnameserver 127.0.0.11\n10.0.0.9\tdb\n0x9\n4\n"));
}

TEST_F(RuntimeTest, ItsShimKeepsDescriptorsForTheNextAgent) {
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const UniqueFd out(pipe_fds[0]);
  UniqueFd in(pipe_fds[1]);
  RuntimeContainerSpec spec =
      Spec("c", Config(Shell("ls /proc/self/fd | wc -l; trap 'exit 0' TERM; sleep 1000 & wait")));
  spec.kept_fds = {in.get(), in.get()};
  ASSERT_OK(runtime_->Prepare(spec));
  ASSERT_OK(runtime_->Start("c"));
  in.Reset();
  runtime_.reset();
  runtime_ = OpenRuntime(Options()).value();
  {
    const auto kept = runtime_->KeptFd("c", 1);
    ASSERT_OK(kept);
    ASSERT_EQ(write(kept->get(), "x", 1), 1);
  }
  char byte = 0;
  EXPECT_EQ(read(out.get(), &byte, 1), 1);
  AwaitLog("c", "4");  // the three of every program, and that of ls itself
  ASSERT_OK(runtime_->Kill("c"));
  Wait("c");
  EXPECT_EQ(read(out.get(), &byte, 1), 0) << "nobody has it open any more";
  EXPECT_THAT(runtime_->KeptFd("c", 0), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(RuntimeTest, NoticesOutOfMemory) {
  v1::TaskSpec task;
  task.mutable_resources()->mutable_limits()->set_memory_bytes(16 << 20);
  const Result result = Run(Config({"/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M"}, task));
  EXPECT_EQ(result.exit.exit_code, 137);
  EXPECT_TRUE(result.exit.oom_killed);
}

TEST_F(RuntimeTest, AProcessThatWasLostToMemoryEarlierIsNotHowItEnds) {
  v1::TaskSpec task;
  task.mutable_resources()->mutable_limits()->set_memory_bytes(16 << 20);
  const std::string hungry = "dd if=/dev/zero of=/dev/null bs=64M; ";
  Result result = Run(Config(Shell(hungry + "echo $?; exit 3"), task));
  EXPECT_EQ(result.out, "137\n");
  EXPECT_EQ(result.exit.exit_code, 3);
  EXPECT_FALSE(result.exit.oom_killed);
  // A shell that passes its child's end on says what happened.
  result = Run(Config(Shell(hungry + "exit $?"), task));
  EXPECT_EQ(result.exit.exit_code, 137);
  EXPECT_TRUE(result.exit.oom_killed);
  // Killed by somebody else.
  EXPECT_FALSE(Run(Config(Shell("exit 137"), task)).exit.oom_killed);
}

TEST_F(RuntimeTest, KeepsTheLastLineThoughAnotherProcessHoldsThePipe) {
  ASSERT_OK(PrepareAndStart("c", Config(Shell("echo up; while [ ! -e /tmp/go ]; do sleep 0.02; "
                                              "done; printf last; printf oops >&2"))));
  AwaitLog("c", "up");
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  const std::string proc = absl::StrCat("/proc/", state->init.pid);
  const UniqueFd out(open((proc + "/fd/1").c_str(), O_WRONLY | O_CLOEXEC));
  const UniqueFd err(open((proc + "/fd/2").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(out.valid() && err.valid());
  ASSERT_OK(WriteFileAtomically(proc + "/root/tmp/go", "", 0644));
  EXPECT_EQ(Wait("c").exit.exit_code, 0);
  EXPECT_EQ(LogText("c", 'o'), "up\nlast\n");
  EXPECT_EQ(LogText("c", 'e'), "oops\n");
}

TEST_F(RuntimeTest, GivesTheProgramTheUsualLimitOfOpenFilesAndNotTheAgents) {
  runtime_.reset();
  RuntimeOptions options = Options();
  options.open_files = 777;
  auto runtime = OpenRuntime(options);
  ASSERT_OK(runtime);
  runtime_ = *std::move(runtime);
  EXPECT_EQ(RunShell("ulimit -S -n").out, "777\n");
  v1::TaskSpec task;
  auto* limit = task.mutable_container()->add_ulimits();
  limit->set_name("nofile");
  limit->set_soft(333);
  limit->set_hard(444);
  EXPECT_EQ(Run(Config(Shell("ulimit -S -n; ulimit -H -n"), task)).out, "333\n444\n");
}

TEST_F(RuntimeTest, LimitsReachTheKernel) {
  v1::TaskSpec task;
  auto* limits = task.mutable_resources()->mutable_limits();
  limits->set_memory_bytes(64 << 20);
  limits->set_nano_cpus(250000000);
  limits->set_pids(33);
  const Result result = Run(Config(
      Shell("cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max cpu/cpu.cfs_quota_us "
            "cpu.max pids/pids.max pids.max 2>/dev/null; echo end"),
      task));
  EXPECT_THAT(result.out, AnyOf("67108864\n25000\n33\nend\n", "67108864\n25000 100000\n33\nend\n"));
}

TEST_F(RuntimeTest, BoundsProcessesAndKillsAForkBomb) {
  v1::TaskSpec task;
  task.mutable_resources()->mutable_limits()->set_pids(32);
  ASSERT_OK(PrepareAndStart(
      "c", Config(Shell("(b() { b | b & }; b) 2>/dev/null & echo bomb; exec sleep 1000"), task)));
  AwaitLog("c", "bomb");
  ASSERT_OK(runtime_->Kill("c"));
  EXPECT_EQ(Wait("c").exit.exit_code, 137);
  EXPECT_OK(runtime_->Remove("c"));
  EXPECT_TRUE(CgroupDirs("c").empty());
}

// At its end there is more in the pipe than the ring of 64 KiB has room for, and a daemon that is
// slow until then takes all of it.
TEST_F(RuntimeTest, WhatAContainerSaysLastIsNotLostToADaemonThatTakesIt) {
  constexpr int kLines = 3500;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = root_ + "/daemon";
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::strcpy(address.sun_path, path.c_str());
  const UniqueFd daemon(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(daemon.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  RuntimeContainerSpec spec =
      Spec("c", Config(Shell(absl::StrCat("yes 1234567890123456789 | head -n ", kLines))));
  ContainerLogSocket& to = spec.log.socket.emplace();
  to.buffer_bytes = 64 << 10;
  to.address.assign(reinterpret_cast<const char*>(&address), sizeof address);
  to.name = "journald";
  ASSERT_OK(runtime_->Prepare(spec));
  const auto init = OpenProcess(runtime_->State("c")->init);
  ASSERT_OK(init);
  const auto end = runtime_->OpenExitFd("c");
  ASSERT_OK(end);
  ASSERT_OK(runtime_->Start("c"));
  char message[4096];
  int lines = 0;
  const auto receive = [&] { return recv(daemon.get(), message, sizeof message, 0) > 0; };
  pollfd fds[] = {{init->get(), POLLIN, 0}, {daemon.get(), POLLIN, 0}};
  while (poll(fds, 1, 20) == 0) lines += receive() ? 1 : 0;
  for (fds[0].fd = end->get(), fds[0].revents = 0; fds[0].revents == 0;) {
    ASSERT_GT(poll(fds, 2, 10000), 0);
    while (receive()) ++lines;
  }
  while (receive()) ++lines;
  EXPECT_EQ(lines, kLines);
  EXPECT_EQ(LogText("c", 'e'), "");
}

TEST_F(RuntimeTest, CutsLongLinesAndRotatesItsLog) {
  RuntimeContainerSpec spec =
      Spec("c", Config(Shell("head -c 40000 /dev/zero | tr '\\0' x; echo; "
                             "for i in $(seq 5000); do echo line-$i; done; printf end")));
  spec.log.max_bytes = 50000;
  spec.log.max_files = 4;
  ASSERT_OK(runtime_->Prepare(spec));
  ASSERT_OK(runtime_->Start("c"));
  Wait("c");
  const std::string text = LogText("c", 'o');
  EXPECT_THAT(text, HasSubstr("line-5000\nend\n"));
  const auto files = ListDirectory(runtime_->LogDirectory("c"));
  ASSERT_OK(files);
  EXPECT_THAT(*files, ::testing::UnorderedElementsAre("log", "log.1", "log.2", "log.3"));
  for (const std::string& file : *files) {
    struct stat stat;
    ASSERT_EQ(::stat(absl::StrCat(runtime_->LogDirectory("c"), "/", file).c_str(), &stat), 0);
    EXPECT_LE(stat.st_size, 50000);
  }
  spec.id = "d";
  spec.log = ContainerLogOptions();
  ASSERT_OK(runtime_->Prepare(spec));
  ASSERT_OK(runtime_->Start("d"));
  Wait("d");
  const std::string whole = LogText("d", 'o');
  EXPECT_EQ(whole.substr(0, 40001), std::string(40000, 'x') + "\n");
  const auto raw = ReadFile(absl::StrCat(runtime_->LogDirectory("d"), "/log"));
  ASSERT_OK(raw);
  EXPECT_THAT(*raw, HasSubstr("\"p\":true"));
}

TEST_F(RuntimeTest, AFullDiskNeverBlocksTheContainer) {
  const std::string state = absl::StrCat(root_, "/state");
  ASSERT_EQ(mount("tmpfs", state.c_str(), "tmpfs", 0, "size=512k"), 0);
  const absl::Cleanup unmount = [&] {
    EXPECT_OK(runtime_->Remove("c"));
    EXPECT_EQ(umount(state.c_str()), 0);
  };
  ASSERT_OK(PrepareAndStart("c", Config(Shell("yes | head -c 3000000; exit 11"))));
  EXPECT_EQ(Wait("c").exit.exit_code, 11);
}

TEST_F(RuntimeTest, TheShimIsSmall) {
  ASSERT_OK(PrepareAndStart("c", Config(Shell("echo up; exec sleep 1000"))));
  AwaitLog("c", "up");
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  const auto value = [&](const std::string& file, const std::string& key) {
    const auto text = ReadFile(absl::StrCat("/proc/", state->shim.pid, "/", file));
    EXPECT_OK(text);
    for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
      if (absl::StartsWith(line, key)) {
        return std::atoll(std::string(line.substr(key.size() + 1)).c_str());
      }
    }
    return -1ll;
  };
  EXPECT_LE(value("status", "VmRSS"), 1024);
  EXPECT_GE(value("status", "VmRSS"), 0);
  EXPECT_LT(value("smaps_rollup", "Private_Dirty"), 330);
  RecordProperty("rss_kb", static_cast<int>(value("status", "VmRSS")));
  RecordProperty("private_dirty_kb", static_cast<int>(value("smaps_rollup", "Private_Dirty")));
  // Nothing of the host is kept open but the log, the state, the pipes, the init's pidfd and what
  // agents attach by.
  EXPECT_LE(ListDirectory(absl::StrCat("/proc/", state->shim.pid, "/fd"))->size(), 15u);
}

}  // namespace
}  // namespace swarm::agent
