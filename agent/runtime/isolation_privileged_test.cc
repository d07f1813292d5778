// What a container must not be able to do, one test for each class of what went wrong elsewhere.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/runtime/deadline.h"
#include "agent/runtime/runtime_test_world.h"
#include "common/file_system.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

class IsolationTest : public RuntimeTestWorld {
 protected:
  nlohmann::json Config(const std::vector<std::string>& command,
                        const v1::TaskSpec& task = v1::TaskSpec()) const {
    return nlohmann::json::parse(ConfigText(command, task));
  }
};

TEST_F(IsolationTest, ReadOnlyPathsAreReadOnlyAndMaskedOnesEmpty) {
  const Result result = RunShell(
      "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger; do echo x > $f || echo no; done;"
      "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c;"
      "ls /sys/firmware /sys/devices/virtual/powercap /proc/acpi 2>/dev/null | grep -v : | grep . "
      "| wc -l;"
      "touch /sys/x || echo no; mkdir /sys/fs/cgroup/x || echo no");
  EXPECT_EQ(result.out, "no\nno\n0\n0\nno\nno\n");
}

TEST_F(IsolationTest, AProfileOfItsOwnDeniesWhatItSays) {
  v1::TaskSpec task;
  task.mutable_container()->add_security_opt(
      R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[)"
      R"({"names":["mkdir","mkdirat","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":1},)"
      R"({"names":["kill"],"action":"SCMP_ACT_ERRNO","errnoRet":13,)"
      R"("args":[{"index":1,"value":10,"op":"SCMP_CMP_EQ"}]}]})");
  const std::string script =
      "mkdir /tmp/x 2>&1; touch /tmp/y && echo made; kill -10 1 2>&1; kill -0 1 && echo there;"
      "grep -E 'NoNew|Seccomp:' /proc/self/status";
  const Result result = Run(ConfigText(Shell(script), task));
  EXPECT_THAT(result.out, HasSubstr("'/tmp/x': Operation not permitted\nmade\n"));
  EXPECT_THAT(result.out, HasSubstr("Permission denied\nthere\nNoNewPrivs:\t1\nSeccomp:\t2\n"));
}

// The shim's own last steps run under the profile when no-new-privileges is off. EINVAL is also how
// the kernel says that there are no more capabilities to drop.
TEST_F(IsolationTest, AProfileAgainstPrctlKeepsNoCapability) {
  v1::TaskSpec task;
  task.mutable_container()->set_allow_new_privileges(true);
  task.mutable_container()->add_security_opt(
      R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["prctl"],)"
      R"("action":"SCMP_ACT_ERRNO","errnoRet":22,)"
      R"("args":[{"index":0,"value":24,"op":"SCMP_CMP_EQ"}]}]})");  // PR_CAPBSET_DROP
  const Result result = Run(ConfigText(Shell("grep -E 'CapBnd|NoNew' /proc/self/status"), task));
  EXPECT_EQ(result.out, "CapBnd:\t00000000a80405fb\nNoNewPrivs:\t0\n");
}

TEST_F(IsolationTest, SeesNeitherTheHostsMountsNorItsLayers) {
  const Result result = RunShell("cat /proc/self/mountinfo");
  EXPECT_THAT(result.out, Not(HasSubstr(layer_)));
  EXPECT_THAT(result.out, HasSubstr(" / / "));
}

TEST_F(IsolationTest, HasDefaultCapabilitiesWithoutInheritableOnes) {
  // CVE-2022-29162.
  const Result result = RunShell("grep -E 'Cap|NoNew|Seccomp:' /proc/self/status");
  EXPECT_EQ(result.out,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a80405fb\n"
            "CapEff:\t00000000a80405fb\nCapBnd:\t00000000a80405fb\nCapAmb:\t0000000000000000\n"
            "NoNewPrivs:\t1\nSeccomp:\t2\n" +
                std::string());
}

TEST_F(IsolationTest, AUserThatIsNotRootHasNoCapabilities) {
  v1::TaskSpec task;
  task.mutable_container()->set_user("ann");
  const Result result = Run(Config(Shell("grep -E 'CapPrm|CapEff' /proc/self/status"), task));
  EXPECT_EQ(result.out, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
}

TEST_F(IsolationTest, CapabilitiesCanBeDroppedAndAdded) {
  v1::TaskSpec task;
  task.mutable_container()->add_capability_drop("ALL");
  task.mutable_container()->add_capability_add("NET_RAW");
  EXPECT_EQ(Run(Config(Shell("grep CapEff /proc/self/status"), task)).out,
            "CapEff:\t0000000000002000\n");
}

TEST_F(IsolationTest, SeccompStopsWhatContainersHaveNoUseFor) {
  v1::TaskSpec task;
  task.mutable_container()->add_capability_add("ALL");
  task.mutable_container()->add_capability_drop("SYS_ADMIN");
  const Result result = Run(Config(
      Shell("mount -t tmpfs x /tmp 2>&1; unshare -m true 2>&1; chroot / /bin/echo chroot-works"),
      task));
  EXPECT_THAT(result.out, HasSubstr("Operation not permitted"));
  EXPECT_THAT(result.out, HasSubstr("unshare"));
  EXPECT_THAT(result.out, HasSubstr("chroot-works"));
}

TEST_F(IsolationTest, DevicesOfTheHostCannotBeOpened) {
  const Result result = RunShell(
      "mknod /d b 254 0 && head -c1 /d >/dev/null; mknod /m c 1 1 && head -c1 /m;"
      "head -c1 /dev/zero | wc -c; ls /dev");
  EXPECT_THAT(result.err, HasSubstr("/d: Operation not permitted"));
  EXPECT_THAT(result.err, HasSubstr("/m: Operation not permitted"));
  EXPECT_THAT(result.out, HasSubstr("1\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("vda")));
}

TEST_F(IsolationTest, WhatWaitsForItsStartCannotBeTraced) {
  // CVE-2016-9962: between the change of user and execve others of that user could look inside.
  v1::TaskSpec task;
  task.mutable_container()->set_user("ann");
  ASSERT_OK(Prepare("c", Config({"/bin/sleep", "1000"}, task)));
  const auto state = runtime_->State("c");
  ASSERT_OK(state);
  const std::string proc = absl::StrCat("/proc/", state->init.pid);
  EXPECT_THAT(*ReadFile(proc + "/status"), HasSubstr("Uid:\t1000\t1000"));
  // The kernel gives the files of a process that is not dumpable to root.
  struct stat before;
  ASSERT_EQ(stat((proc + "/mem").c_str(), &before), 0);
  EXPECT_EQ(before.st_uid, 0u);
  struct stat shim;
  ASSERT_EQ(stat(absl::StrCat("/proc/", state->shim.pid, "/mem").c_str(), &shim), 0);
  EXPECT_EQ(shim.st_uid, 0u);
  // The program itself belongs to its user again: a step of execve after the one that Start awaits.
  ASSERT_OK(runtime_->Start("c"));
  const Deadline deadline(absl::Seconds(20));
  struct stat after;
  do {
    ASSERT_EQ(stat((proc + "/mem").c_str(), &after), 0);
  } while (after.st_uid != 1000u && !deadline.IsOver());
  EXPECT_EQ(after.st_uid, 1000u);
}

TEST_F(IsolationTest, NoAbstractSocketLeadsToTheShim) {
  // CVE-2020-15257: an abstract socket is reached by every container of the host's network.
  const auto abstract_sockets = [] {
    std::set<std::string> names;
    const auto table = ReadFile("/proc/net/unix");
    EXPECT_OK(table);
    for (const absl::string_view line : absl::StrSplit(*table, '\n')) {
      if (absl::StrContains(line, " @")) names.emplace(line.substr(line.find(" @")));
    }
    return names;
  };
  const std::set<std::string> before = abstract_sockets();
  v1::TaskSpec task;
  task.add_networks()->set_target("host");
  ASSERT_OK(PrepareAndStart("c", Config({"/bin/sleep", "1000"}, task)));
  for (const std::string& name : abstract_sockets()) {
    EXPECT_TRUE(before.contains(name) || !absl::StrContains(name, "swarm")) << name;
  }
}

TEST_F(IsolationTest, AMountTargetThatIsSwappedWhileItIsMadeStaysInside) {
  // CVE-2024-45310, CVE-2021-30465: another container that shares the volume swaps a folder and a
  // link to the host's folders while mount targets are made in it.
  const std::string volume = root_ + "/volume";
  const std::string outside = root_ + "/outside";
  ASSERT_OK(MakeDirectories(volume + "/a", 0755));
  ASSERT_OK(MakeDirectories(outside, 0755));
  ASSERT_EQ(symlink(("/../../../../../.." + outside).c_str(), (volume + "/b").c_str()), 0);
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    while (!stop) {
      for (int i = 0; i < 20; ++i) {
        renameat2(AT_FDCWD, (volume + "/a").c_str(), AT_FDCWD, (volume + "/b").c_str(),
                  RENAME_EXCHANGE);
      }
      std::this_thread::yield();
    }
  });
  auto config = Config({"/bin/true"});
  config["mounts"].push_back(
      {{"destination", "/v"}, {"type", "bind"}, {"source", volume}, {"options", {"rbind"}}});
  for (int i = 0; i < 30; ++i) {
    auto with_target = config;
    with_target["mounts"].push_back({{"destination", absl::StrCat("/v/a/deep/x", i)},
                                     {"type", "tmpfs"},
                                     {"source", "tmpfs"},
                                     {"options", {"nosuid"}}});
    // It may be refused while the folder is a link; it never leads out.
    Prepare("c", with_target).IgnoreError();
    EXPECT_OK(runtime_->Remove("c"));
  }
  stop = true;
  swapper.join();
  EXPECT_TRUE(ListDirectory(outside)->empty());
}

TEST_F(IsolationTest, AConsoleOfTheImageIsNotFollowed) {
  // CVE-2025-52565: what is bound on /dev/console, through a link, before masks are in place. Here
  // /dev is a new file system without one, no link is followed, and the masks are there before.
  std::filesystem::create_directories(absl::StrCat(layer_, "/dev"));
  std::filesystem::create_symlink("/proc/sys/kernel/core_pattern",
                                  absl::StrCat(layer_, "/dev/console"));
  const Result result =
      RunShell("ls /dev/console 2>/dev/null; echo x > /proc/sys/kernel/core_pattern || echo no");
  EXPECT_EQ(result.out, "no\n");
  auto config = Config(Shell("tty; stat -c %t:%T /dev/console /dev/pts/0"));
  config["process"]["terminal"] = true;
  EXPECT_EQ(Run(config).out, "/dev/pts/0\r\n88:0\r\n88:0\r\n");
}

TEST_F(IsolationTest, WritesToProcAreNotRedirectedByTheImage) {
  // CVE-2025-52881: sysctls and labels written through a /proc that the container arranged. Ours go
  // through a proc that nobody else has open, whatever the image keeps at that name.
  const std::string name = "/proc/sys/net/ipv4/ping_group_range";
  std::filesystem::create_directories(absl::StrCat(layer_, "/proc/sys/net/ipv4"));
  ASSERT_OK(WriteFileAtomically(absl::StrCat(layer_, name), "fake", 0666));
  EXPECT_EQ(RunShell("cat " + name).out, "0\t2147483647\n");
  EXPECT_EQ(*ReadFile(absl::StrCat(layer_, name)), "fake");
}

TEST_F(IsolationTest, NoDescriptorOfTheHostIsOpen) {
  // CVE-2024-21626: a leaked descriptor of a host folder, reached as a working directory.
  EXPECT_EQ(RunShell("exec 9</; ls /proc/self/fd").out, "0\n1\n2\n3\n9\n");
  for (int fd = 3; fd < 12; ++fd) {
    v1::TaskSpec task;
    task.mutable_container()->set_dir(absl::StrCat("/proc/self/fd/", fd));
    EXPECT_THAT(Prepare("c", Config(Shell("ls .."), task)), Not(::swarm::testing::IsOk()));
  }
}

TEST_F(IsolationTest, AWorkingDirectoryThatIsALinkStaysInside) {
  std::filesystem::create_symlink("../../../../../..", absl::StrCat(layer_, "/up"));
  v1::TaskSpec task;
  task.mutable_container()->set_dir("/up");
  EXPECT_EQ(Run(Config(Shell("pwd; ls bin/busybox"), task)).out, "/\nbin/busybox\n");
}

TEST_F(IsolationTest, ItsOwnProgramBehindProcCannotBeOverwritten) {
  // CVE-2019-5736: the container's first program is the runtime itself, through /proc/self/exe.
  auto config = Config({"/proc/self/exe"});
  ASSERT_OK(Prepare("c", config));
  const auto started = runtime_->Start("c");
  if (started.ok()) {
    EXPECT_NE(Wait("c").exit.exit_code, 0);
  }
  ASSERT_OK(runtime_->Remove("c"));
  // And through a #! line, which runs it with the container's own libraries.
  WriteLayerFile("/bin/trap", "#!/proc/self/exe\n", 0755);
  ASSERT_OK(Prepare("c", Config({"/bin/trap"})));
  if (runtime_->Start("c").ok()) {
    EXPECT_NE(Wait("c").exit.exit_code, 0);
  }
  // While it waits, what it runs is a sealed copy and nobody inside may look into it.
  ASSERT_OK(Prepare("d", Config({"/bin/true"})));
  const auto state = runtime_->State("d");
  ASSERT_OK(state);
  const std::string exe = absl::StrCat("/proc/", state->init.pid, "/exe");
  char target[128] = {};
  ASSERT_GT(readlink(exe.c_str(), target, sizeof target - 1), 0);
  EXPECT_THAT(std::string(target), HasSubstr("memfd:swarm-init"));
  const int fd = open(exe.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  close(fd);
}

TEST_F(IsolationTest, KernelTreesBehindLinksAreRefused) {
  // CVE-2019-16884, CVE-2023-28642 (/proc), CVE-2026-41579, CVE-2026-47766 (/dev).
  for (const char* name : {"proc", "dev", "sys"}) {
    const std::string link = absl::StrCat(layer_, "/", name);
    std::filesystem::create_symlink("/tmp", link);
    EXPECT_THAT(Prepare("c", Config({"/bin/true"})),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("symbolic link")))
        << name;
    std::filesystem::remove(link);
  }
  EXPECT_FALSE(PathExists(absl::StrCat(root_, "/state/c")));
}

TEST_F(IsolationTest, AMountCannotLieOverPartsOfProcOrSys) {
  for (const char* target : {"/proc", "/proc/self", "/proc/sys", "/sys", "/sys/kernel", "/"}) {
    auto config = Config({"/bin/true"});
    config["mounts"].push_back(
        {{"destination", target}, {"type", "tmpfs"}, {"source", "tmpfs"}, {"options", {"ro"}}});
    EXPECT_THAT(Prepare("c", config), StatusIs(absl::StatusCode::kInvalidArgument)) << target;
  }
}

TEST_F(IsolationTest, ANullDeviceOfTheImageMasksNothing) {
  // CVE-2025-31133: what masks must be the kernel's null device, whatever lies at the image's
  // /dev/null.
  std::filesystem::create_directories(absl::StrCat(layer_, "/dev"));
  std::filesystem::create_symlink("/etc/passwd", absl::StrCat(layer_, "/dev/null"));
  const Result result = RunShell("stat -c %t:%T /dev/null /proc/keys; cat /proc/keys | wc -c");
  EXPECT_EQ(result.out, "1:3\n1:3\n0\n");
}

TEST_F(IsolationTest, NumbersOfUsersDoNotWrapAround) {
  // CVE-2024-40635.
  for (const char* user : {"4294967296", "2147483648", "wrap", "-1", "1000x", "0x0", "+0"}) {
    auto config = Config({"/bin/true"});
    config["annotations"]["swarm.user"] = user;
    EXPECT_THAT(Prepare("c", config), StatusIs(absl::StatusCode::kInvalidArgument)) << user;
  }
}

TEST_F(IsolationTest, AFifoAsPasswdFileDoesNotHang) {
  std::filesystem::remove(absl::StrCat(layer_, "/etc/passwd"));
  ASSERT_EQ(mkfifo(absl::StrCat(layer_, "/etc/passwd").c_str(), 0644), 0);
  auto config = Config({"/bin/true"});
  config["annotations"]["swarm.user"] = "ann";
  EXPECT_THAT(Prepare("c", config), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(IsolationTest, LinksInMountTargetsStayInsideTheRoot) {
  // CVE-2021-30465.
  std::filesystem::create_symlink("/../../../../tmp", absl::StrCat(layer_, "/escape"));
  std::filesystem::remove(absl::StrCat(layer_, "/etc/resolv.conf"));
  std::filesystem::create_symlink("../run/stub/resolv.conf",
                                  absl::StrCat(layer_, "/etc/resolv.conf"));
  ASSERT_OK(MakeDirectories(absl::StrCat(root_, "/volume"), 0755));
  const std::string name = absl::StrCat("swarm-escape-", getpid());
  auto config = Config(Shell(
      absl::StrCat("touch /tmp/", name, "/x && ls /tmp/", name, "; cat /run/stub/resolv.conf")));
  config["mounts"].push_back({{"destination", "/escape/" + name},
                              {"type", "bind"},
                              {"source", root_ + "/volume"},
                              {"options", {"rbind"}}});
  const Result result = Run(config);
  EXPECT_EQ(result.out, "x\n# no network, no name servers\n");
  EXPECT_TRUE(PathExists(absl::StrCat(root_, "/volume/x")));
  EXPECT_FALSE(PathExists(absl::StrCat("/tmp/", name)));
}

TEST_F(IsolationTest, AReadOnlyBindIsReadOnly) {
  ASSERT_OK(MakeDirectories(absl::StrCat(root_, "/volume"), 0755));
  auto config = Config(Shell("touch /v/x || echo no"));
  config["mounts"].push_back({{"destination", "/v"},
                              {"type", "bind"},
                              {"source", root_ + "/volume"},
                              {"options", {"rbind", "ro"}}});
  EXPECT_EQ(Run(config).out, "no\n");
}

TEST_F(IsolationTest, StateFoldersAreForRootAlone) {
  // CVE-2024-25621.
  ASSERT_OK(Prepare("c", Config({"/bin/true"})));
  for (const char* dir : {"/state", "/run", "/state/c", "/run/c", "/state/c/log"}) {
    struct stat stat;
    ASSERT_EQ(::stat(absl::StrCat(root_, dir).c_str(), &stat), 0);
    EXPECT_EQ(stat.st_mode & 0777, 0700u) << dir;
  }
}

TEST_F(IsolationTest, TheContainersRootCanBeReadByItsUsers) {
  v1::TaskSpec task;
  task.mutable_container()->set_user("4242");
  EXPECT_EQ(Run(Config(Shell("ls -d /bin; stat -c %a /"), task)).out, "/bin\n755\n");
}

TEST_F(IsolationTest, OldNetworkNamespaceSysctlsAllowPingWithoutNetRaw) {
  EXPECT_EQ(RunShell("cat /proc/sys/net/ipv4/ping_group_range").out, "0\t2147483647\n");
}

}  // namespace
}  // namespace swarm::agent
