// What is written to the kernel, without a kernel: cgroup hierarchies, device filters, system call
// filters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "agent/runtime/capabilities.h"
#include "agent/runtime/cgroups.h"
#include "agent/runtime/device_filter.h"
#include "agent/runtime/seccomp_profile.h"
#include "agent/runtime/shim_errors.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CgroupHierarchiesTest, FindsV1V2AndHybrid) {
  const auto found = FindCgroupHierarchies(
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
      "35 31 0:32 / /sys/fs/cgroup/with\\040space rw,relatime - cgroup cgroup rw,memory\n"
      "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
      "42 31 0:38 / /again rw - cgroup2 cgroup2 rw\nbroken line\n - \n");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_THAT(found[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(found[1].mount_point, "/sys/fs/cgroup/with space");
  EXPECT_TRUE(found[2].v2);
  EXPECT_EQ(found[2].mount_point, "/sys/fs/cgroup/unified");
}

constexpr char kV1WithoutDevices[] =
    "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /cg/memory rw - cgroup cgroup rw,memory\n"
    "34 31 0:31 / /cg/pids rw - cgroup cgroup rw,pids\n";
constexpr char kV1Devices[] = "35 31 0:32 / /cg/devices rw - cgroup cgroup rw,devices\n";
constexpr char kV2[] = "36 31 0:33 / /cg/unified rw - cgroup2 cgroup2 rw\n";

absl::StatusOr<CgroupChoice> ChooseFrom(const std::string& mountinfo,
                                        std::vector<std::string> v2_controllers = {}) {
  auto all = FindCgroupHierarchies(mountinfo);
  for (CgroupHierarchy& hierarchy : all) {
    if (hierarchy.v2) hierarchy.controllers = v2_controllers;
  }
  return ChooseCgroupHierarchies(std::move(all));
}

TEST(CgroupHierarchiesTest, ThePureV2HostFiltersDevicesByProgram) {
  const auto choice = ChooseFrom(kV2, {"cpu", "memory", "pids"});
  ASSERT_OK(choice);
  EXPECT_EQ(choice->mode, "v2");
  EXPECT_TRUE(choice->filter_devices_on_v2);
}

TEST(CgroupHierarchiesTest, AV1DevicesControllerFiltersDevicesAlone) {
  const auto v1 = ChooseFrom(absl::StrCat(kV1WithoutDevices, kV1Devices));
  ASSERT_OK(v1);
  EXPECT_EQ(v1->mode, "v1");
  EXPECT_FALSE(v1->filter_devices_on_v2);
  const auto hybrid = ChooseFrom(absl::StrCat(kV1WithoutDevices, kV1Devices, kV2), {"hugetlb"});
  ASSERT_OK(hybrid);
  EXPECT_EQ(hybrid->mode, "hybrid");
  EXPECT_FALSE(hybrid->filter_devices_on_v2);
  EXPECT_TRUE(hybrid->hierarchies[0].v2);
}

TEST(CgroupHierarchiesTest, AHybridHostWithoutTheDevicesControllerFiltersOnV2) {
  const auto choice = ChooseFrom(absl::StrCat(kV1WithoutDevices, kV2));
  ASSERT_OK(choice);
  EXPECT_EQ(choice->mode, "hybrid");
  EXPECT_TRUE(choice->filter_devices_on_v2);
}

TEST(CgroupHierarchiesTest, AHostThatCannotFilterDevicesIsRefused) {
  EXPECT_THAT(ChooseFrom(kV1WithoutDevices),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("controllers devices:")));
  EXPECT_THAT(ChooseFrom(kV2, {"memory"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("controllers cpu, pids:")));
}

// Just enough of BPF to run a device program.
bool DeviceAllowed(const std::vector<uint64_t>& program, char type, const std::string& access,
                   uint32_t major, uint32_t minor) {
  uint32_t context[3] = {type == 'b' ? 1u : 2u, major, minor};
  for (const char c : access) context[0] |= (c == 'm' ? 1u : c == 'r' ? 2u : 4u) << 16;
  int64_t reg[11] = {};
  for (size_t at = 0; at < program.size(); ++at) {
    bpf_insn in;
    std::memcpy(&in, &program[at], sizeof in);
    switch (in.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        reg[in.dst_reg] = context[in.off / 4];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_X:
        reg[in.dst_reg] = reg[in.src_reg];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        reg[in.dst_reg] = in.imm;
        break;
      case BPF_ALU64 | BPF_AND | BPF_K:
        reg[in.dst_reg] &= static_cast<int64_t>(in.imm);
        break;
      case BPF_ALU64 | BPF_RSH | BPF_K:
        reg[in.dst_reg] >>= in.imm;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        at += reg[in.dst_reg] != in.imm ? static_cast<size_t>(in.off) : 0;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += reg[in.dst_reg] == in.imm ? static_cast<size_t>(in.off) : 0;
        break;
      case BPF_JMP | BPF_EXIT:
        return reg[0] != 0;
      default:
        ADD_FAILURE() << "instruction " << int{in.code};
        return false;
    }
  }
  ADD_FAILURE() << "fell off the end";
  return false;
}

TEST(DeviceFilterTest, AllowsWhatEveryContainerNeedsAndNothingElse) {
  const auto program = AssembleDeviceProgram(WithDefaultDevices({}));
  EXPECT_TRUE(DeviceAllowed(program, 'c', "rw", 1, 3));
  EXPECT_TRUE(DeviceAllowed(program, 'c', "r", 136, 77));
  EXPECT_TRUE(DeviceAllowed(program, 'b', "m", 8, 0));
  EXPECT_FALSE(DeviceAllowed(program, 'b', "r", 8, 0));
  EXPECT_FALSE(DeviceAllowed(program, 'c', "rm", 1, 1));
  EXPECT_FALSE(DeviceAllowed(program, 'b', "rw", 1, 3));
}

TEST(DeviceFilterTest, ALaterRuleOverridesAnEarlierOne) {
  const std::vector<OciDeviceRule> rules = {{false, 'a', -1, -1, "rwm"},
                                            {true, 'b', 8, -1, "rwm"},
                                            {false, 'b', 8, 1, "w"},
                                            {true, 'c', 10, 229, "rw"}};
  const auto program = AssembleDeviceProgram(rules);
  EXPECT_TRUE(DeviceAllowed(program, 'b', "rw", 8, 0));
  EXPECT_FALSE(DeviceAllowed(program, 'b', "rw", 8, 1));
  EXPECT_TRUE(DeviceAllowed(program, 'b', "r", 8, 1));
  EXPECT_TRUE(DeviceAllowed(program, 'c', "rw", 10, 229));
  EXPECT_FALSE(DeviceAllowed(program, 'c', "rwm", 10, 229));
  EXPECT_TRUE(DeviceAllowed(AssembleDeviceProgram({{true, 'a', -1, -1, "rwm"}}), 'b', "rwm", 8, 0));
  EXPECT_EQ(DeviceRuleLine(rules[1]), "b 8:* rwm");
  EXPECT_EQ(DeviceRuleLine(rules[0]), "a");
}

// Runs a seccomp program over one call.
uint32_t Decide(const std::string& program, uint32_t number, std::vector<uint64_t> arguments = {},
                uint32_t architecture = AUDIT_ARCH_X86_64) {
  seccomp_data data = {};
  data.nr = static_cast<int>(number);
  data.arch = architecture;
  for (size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  std::vector<sock_filter> code(program.size() / sizeof(sock_filter));
  std::memcpy(code.data(), program.data(), program.size());
  uint32_t a = 0;
  for (size_t at = 0; at < code.size(); ++at) {
    const sock_filter& in = code[at];
    switch (in.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<char*>(&data) + in.k, 4);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += a == in.k ? in.jt : in.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        at += a > in.k ? in.jt : in.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += a >= in.k ? in.jt : in.jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        at += (a & in.k) != 0 ? in.jt : in.jf;
        break;
      case BPF_JMP | BPF_JA:
        at += in.k;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= in.k;
        break;
      case BPF_RET | BPF_K:
        return in.k;
      default:
        ADD_FAILURE() << "instruction " << in.code;
        return 0;
    }
  }
  ADD_FAILURE() << "fell off the end";
  return 0;
}

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t Refuse(int error) { return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error); }

#if defined(__x86_64__)
TEST(SeccompProfileTest, DecidesAsDockersDefaultDoes) {
  const auto program = CompileSeccomp(DefaultSeccomp(DefaultCapabilities()));
  ASSERT_OK(program);
  for (const uint32_t call : {SYS_read, SYS_execve, SYS_openat, SYS_exit_group, SYS_futex,
                              SYS_clone, SYS_ptrace, SYS_seccomp, SYS_chroot, SYS_arch_prctl}) {
    EXPECT_EQ(Decide(*program, call), kAllow) << call;
  }
  for (const uint32_t call :
       {SYS_mount, SYS_keyctl, SYS_add_key, SYS_unshare, SYS_setns, SYS_bpf, SYS_init_module,
        SYS_reboot, SYS_pivot_root, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
        SYS_open_by_handle_at, SYS_swapon, SYS_fsopen, SYS_move_mount, SYS_settimeofday,
        SYS_kexec_load}) {
    EXPECT_EQ(Decide(*program, call), Refuse(EPERM)) << call;
  }
  EXPECT_EQ(Decide(*program, SYS_clone, {CLONE_NEWUSER}), Refuse(EPERM));
  EXPECT_EQ(Decide(*program, SYS_clone, {CLONE_VM | CLONE_FILES | 17}), kAllow);
  EXPECT_EQ(Decide(*program, SYS_clone3), Refuse(ENOSYS));
  EXPECT_EQ(Decide(*program, SYS_socket, {AF_INET}), kAllow);
  EXPECT_EQ(Decide(*program, SYS_socket, {AF_NETLINK}), kAllow);
  EXPECT_EQ(Decide(*program, SYS_socket, {AF_NFC}), kAllow);
  EXPECT_EQ(Decide(*program, SYS_socket, {AF_ALG}), Refuse(EPERM));
  EXPECT_EQ(Decide(*program, SYS_socket, {AF_VSOCK}), Refuse(EPERM));
  EXPECT_EQ(Decide(*program, SYS_personality, {0}), kAllow);
  EXPECT_EQ(Decide(*program, SYS_personality, {0xffffffff}), kAllow);
  EXPECT_EQ(Decide(*program, SYS_personality, {0x0040000}), Refuse(EPERM));
  // Newer than libseccomp, and newer than the profile.
  EXPECT_EQ(Decide(*program, 452), kAllow);         // fchmodat2
  EXPECT_EQ(Decide(*program, 459), Refuse(EPERM));  // lsm_get_self_attr
  EXPECT_EQ(Decide(*program, 9999), Refuse(ENOSYS));
  EXPECT_EQ(Decide(*program, 0x40000000 | SYS_read), Refuse(ENOSYS));  // x32
  // 32-bit programs: read is 3, mount is 21.
  EXPECT_EQ(Decide(*program, 3, {}, AUDIT_ARCH_I386), kAllow);
  EXPECT_EQ(Decide(*program, 21, {}, AUDIT_ARCH_I386), Refuse(EPERM));
  // No other architecture at all.
  EXPECT_NE(Decide(*program, 0, {}, AUDIT_ARCH_AARCH64), kAllow);
}

// A profile that denies little must deny this also where libseccomp does not know the call.
TEST(SeccompProfileTest, DeniesLateCallsWhateverTheDefaultIs) {
  OciSeccomp profile;
  profile.default_action = SECCOMP_RET_ALLOW;
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  profile.rules.push_back({{"mkdir", "mseal", "uretprobe", "no_such_call"}, Refuse(EPERM), {}});
  const auto program = CompileSeccomp(profile);
  ASSERT_OK(program);
  EXPECT_EQ(Decide(*program, SYS_mkdir), Refuse(EPERM));
  EXPECT_EQ(Decide(*program, 462), Refuse(EPERM));  // mseal
  EXPECT_EQ(Decide(*program, SYS_read), kAllow);
  EXPECT_EQ(Decide(*program, 9999), kAllow);
  EXPECT_NE(Decide(*program, 0x40000000 | SYS_mkdir), kAllow);  // x32
  constexpr uint32_t kI386Mkdir = 39;
  EXPECT_EQ(Decide(*program, kI386Mkdir, {}, AUDIT_ARCH_I386), Refuse(EPERM));
  EXPECT_EQ(Decide(*program, 3, {}, AUDIT_ARCH_I386), kAllow);
  EXPECT_EQ(Decide(*program, 462, {}, AUDIT_ARCH_I386), Refuse(EPERM));
  EXPECT_EQ(Decide(*program, 335), Refuse(EPERM));                // uretprobe
  EXPECT_EQ(Decide(*program, 335, {}, AUDIT_ARCH_I386), kAllow);  // another call there
  // There is no architecture that it does not name.
  for (const std::vector<std::string>& named : {std::vector<std::string>{"SCMP_ARCH_X86_64"}, {}}) {
    profile.architectures = named;
    const auto narrow = CompileSeccomp(profile);
    ASSERT_OK(narrow);
    EXPECT_EQ(Decide(*narrow, SYS_read), kAllow);
    EXPECT_NE(Decide(*narrow, 3, {}, AUDIT_ARCH_I386), kAllow);
    EXPECT_NE(Decide(*narrow, 462, {}, AUDIT_ARCH_I386), kAllow);
  }
  profile.rules.push_back({{"mseal"}, Refuse(EPERM), {{0, 5, 0, SCMP_CMP_EQ}}});
  EXPECT_THAT(CompileSeccomp(profile).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::HasSubstr("mseal cannot be denied by its arguments")));
}

TEST(SeccompProfileTest, SocketcallDoesNotGoRoundRulesAboutSockets) {
  constexpr uint32_t kI386Socketcall = 102;
  OciSeccomp profile;
  profile.architectures = {"SCMP_ARCH_X86"};
  const auto decide = [&] {
    const auto program = CompileSeccomp(profile);
    EXPECT_OK(program);
    return program.ok() ? Decide(*program, kI386Socketcall, {1}, AUDIT_ARCH_I386) : 0;
  };
  for (const uint32_t denial :
       {Refuse(EPERM), uint32_t{SECCOMP_RET_KILL_PROCESS}, uint32_t{SECCOMP_RET_TRAP}}) {
    profile.default_action = denial;
    profile.rules = {{{"socket"}, kAllow, {{0, AF_UNIX, 0, SCMP_CMP_EQ}}}, {{"bind"}, kAllow, {}}};
    EXPECT_EQ(decide(), denial);
    profile.rules.push_back({{"socketcall"}, kAllow, {}});
    EXPECT_EQ(decide(), kAllow);
  }
  for (const uint32_t permission : {kAllow, uint32_t{SECCOMP_RET_LOG}}) {
    profile.default_action = permission;
    profile.rules = {{{"mkdir"}, Refuse(EACCES), {}}};
    EXPECT_EQ(decide(), permission);
    for (const char* call : {"socket", "connect"}) {
      for (const uint32_t place : {0u, 1u}) {
        profile.rules = {{{call}, Refuse(EACCES), {{place, 3, 0, SCMP_CMP_EQ}}}};
        EXPECT_EQ(decide(), Refuse(EACCES)) << call << place;
      }
    }
  }
}

TEST(SeccompProfileTest, RefusesAlgAndVsockSocketsInEverySpelling) {
  const auto program = CompileSeccomp(DefaultSeccomp(DefaultCapabilities()));
  ASSERT_OK(program);
  constexpr uint32_t kI386Socket = 359;
  constexpr uint32_t kI386Socketcall = 102;
  for (const uint64_t high :
       {uint64_t{0}, uint64_t{1} << 32, uint64_t{1} << 63, uint64_t{0xffffffff} << 32}) {
    // The kernel reads the low half alone.
    EXPECT_EQ(Decide(*program, SYS_socket, {high | AF_ALG}), Refuse(EPERM)) << high;
    EXPECT_EQ(Decide(*program, SYS_socket, {high | AF_VSOCK}), Refuse(EPERM)) << high;
    EXPECT_EQ(Decide(*program, SYS_socket, {high | AF_INET6}), kAllow) << high;
  }
  for (uint32_t family = 0; family < AF_MAX; ++family) {
    const bool refused = family == AF_ALG || family == AF_VSOCK;
    const uint32_t wanted = refused ? Refuse(EPERM) : kAllow;
    EXPECT_EQ(Decide(*program, SYS_socket, {family}), wanted) << family;
    EXPECT_EQ(Decide(*program, kI386Socket, {family}, AUDIT_ARCH_I386), wanted) << family;
  }
  EXPECT_EQ(Decide(*program, SYS_socket, {0xffffffff}), Refuse(EPERM));
  // Its arguments lie behind a pointer.
  for (const uint64_t call : {1, 2, 3, 20}) {
    EXPECT_EQ(Decide(*program, kI386Socketcall, {call}, AUDIT_ARCH_I386), Refuse(EPERM)) << call;
  }
  EXPECT_EQ(Decide(*program, 361, {}, AUDIT_ARCH_I386), kAllow);  // its bind
  EXPECT_EQ(Decide(*program, 102), kAllow);                       // getuid here
}

TEST(SeccompProfileTest, CapabilitiesOpenWhatBelongsToThem) {
  const auto admin = CompileSeccomp(
      DefaultSeccomp(DefaultCapabilities() | CapabilitySet{1} << *ParseCapability("SYS_ADMIN")));
  ASSERT_OK(admin);
  EXPECT_EQ(Decide(*admin, SYS_mount), kAllow);
  EXPECT_EQ(Decide(*admin, SYS_clone, {CLONE_NEWUSER}), kAllow);
  EXPECT_EQ(Decide(*admin, SYS_clone3), kAllow);
  EXPECT_EQ(Decide(*admin, 459), kAllow);
  EXPECT_EQ(Decide(*admin, SYS_reboot), Refuse(EPERM));
  const auto none = CompileSeccomp(DefaultSeccomp(0));
  ASSERT_OK(none);
  EXPECT_EQ(Decide(*none, SYS_chroot), Refuse(EPERM));
}
#endif

TEST(SeccompProfileTest, IsCompiledOncePerContent) {
  const auto first = CompileSeccomp(DefaultSeccomp(DefaultCapabilities()));
  const auto second = CompileSeccomp(DefaultSeccomp(DefaultCapabilities()));
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_EQ(*first, *second);
  EXPECT_LT(first->size() / sizeof(sock_filter), 4096u);
}

// What is kept belongs to a whole node: a name that looks like two must not stand for them.
TEST(SeccompProfileTest, IsNotAnothersWhoseNamesLookAlike) {
  OciSeccomp one = DefaultSeccomp(0);
  one.rules.push_back({{"mount", "kexec_load"}, SECCOMP_RET_LOG, {}});
  OciSeccomp other = one;
  other.rules.back().names = {"mount,kexec_load"};
  OciSeccomp third = one;
  third.rules.back().names = {"mount10:kexec_load"};
  const auto others = CompileSeccomp(other);
  const auto thirds = CompileSeccomp(third);
  const auto program = CompileSeccomp(one);
  ASSERT_OK(others);
  ASSERT_OK(thirds);
  ASSERT_OK(program);
  EXPECT_NE(*program, *others);
  EXPECT_NE(*program, *thirds);
}

TEST(ShimErrorsTest, AreTheWordsThatUsersKnow) {
  shim::Failure failure;
  failure.step = shim::Step::kExec;
  failure.error = EACCES;
  std::strcpy(failure.detail, "/app");
  EXPECT_THAT(ShimStatus(failure),
              StatusIs(absl::StatusCode::kPermissionDenied, "exec /app: permission denied"));
  failure.step = shim::Step::kMountSource;
  failure.error = ENOENT;
  EXPECT_THAT(ShimStatus(failure),
              StatusIs(absl::StatusCode::kNotFound,
                       "open the mount source /app: no such file or directory"));
  for (uint32_t step = 0; step < static_cast<uint32_t>(shim::Step::kEnd); ++step) {
    failure.step = static_cast<shim::Step>(step);
    failure.error = 0;
    EXPECT_FALSE(ShimStatus(failure).ok()) << step;
  }
}

}  // namespace
}  // namespace swarm::agent
