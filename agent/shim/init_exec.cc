#include "agent/shim/init_exec.h"

#include <linux/keyctl.h>
#include <linux/prctl.h>

#include "agent/shim/fail.h"
#include "agent/shim/init_process.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

constexpr int kSigKill = 9;
constexpr uint64_t kNewCgroup = CLONE_NEWCGROUP;
constexpr uint32_t kMaxTasksFiles = 16;

// Opened while the host's paths can still be seen.
struct HostFds {
  int cgroup = -1;  // of v2, to be cloned into
  int kill = -1;    // its cgroup.kill
  int tasks[kMaxTasksFiles];
  uint32_t task_count = 0;
};

struct Child {
  int pid = 0;
  int pidfd = -1;
};

void Tell(MessageKind kind, int32_t exit_code, const Failure& failure) {
  ExecMessage message;
  message.kind = kind;
  message.exit_code = exit_code;
  message.failure = failure;
  sys::Write(kControlFd, &message, sizeof message);
}

bool OpenHostFds(const plan::Plan& plan, HostFds* fds, Failure* failure) {
  if (const char* dir = plan.String(plan::Tag::kCgroupDir); dir != nullptr) {
    fds->cgroup = sys::Open(dir, O_PATH | O_DIRECTORY);
    if (fds->cgroup < 0) return Fail(failure, Step::kCgroup, fds->cgroup, dir);
    fds->kill = sys::OpenAt(fds->cgroup, "cgroup.kill", O_WRONLY);
  }
  for (plan::Cursor c(plan, plan::Tag::kCgroupTasks); c.Next();) {
    const char* path = c.fields().String();
    if (fds->task_count == kMaxTasksFiles) return Fail(failure, Step::kCgroup, E2BIG, path);
    const int fd = sys::Open(path, O_WRONLY);
    if (fd < 0) return Fail(failure, Step::kCgroup, fd, path);
    fds->tasks[fds->task_count++] = fd;
  }
  return true;
}

// Our own, which the child inherits: the container's /proc is not to be trusted with it.
void SetOomScore(const plan::Plan& plan) {
  const int32_t score = static_cast<int32_t>(plan.U32(plan::Tag::kOomScoreAdj, 0));
  text::Buffer<16> value;
  if (score < 0) value.Add('-');
  value.AddNumber(static_cast<uint64_t>(score < 0 ? -static_cast<int64_t>(score) : score));
  const int fd = sys::Open("/proc/self/oom_score_adj", O_WRONLY);
  if (fd < 0) return;
  sys::Write(fd, value.c_str(), value.size());  // refused without CAP_SYS_RESOURCE: said at start
  sys::Close(fd);
}

// All namespaces at once, but the cgroup's: where cgroup2 is mounted with nsdelegate, the kernel
// clones into a cgroup only what can see both it and our own. The child joins that one.
bool JoinNamespaces(const plan::Plan& plan, Failure* failure) {
  const uint64_t flags = plan.U64(plan::Tag::kCloneFlags, 0) & ~kNewCgroup;
  const long error = sys::Call(SYS_setns, kExecPidFd, static_cast<long>(flags));
  return error >= 0 ? true : Fail(failure, Step::kJoin, error);
}

bool EnterContainer(const plan::Plan& plan, const HostFds& fds, Failure* failure) {
  for (uint32_t i = 0; i < fds.task_count; ++i) {
    const long error = sys::Write(fds.tasks[i], "0", 1);
    if (error < 0) return Fail(failure, Step::kCgroup, error, "tasks");
  }
  if ((plan.U64(plan::Tag::kCloneFlags, 0) & kNewCgroup) != 0) {
    const long error = sys::Call(SYS_setns, kExecPidFd, static_cast<long>(kNewCgroup));
    if (error < 0) return Fail(failure, Step::kJoin, error, "cgroup");
  }
  sys::Call(SYS_setsid);
  sys::Call(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
  return true;
}

bool BecomeProcess(const plan::Plan& plan, Identity* identity, Failure* failure) {
  uint32_t warnings = 0;
  ExecMessage terminal;
  terminal.kind = MessageKind::kTerminal;
  const int root = sys::Open("/", O_PATH | O_DIRECTORY);
  if (root < 0) return Fail(failure, Step::kRoot, root);
  if (!FindIdentity(plan, root, identity, failure) || !SetRlimits(plan, &warnings, failure) ||
      !SetStdio(plan, *identity, kControlFd, &terminal, sizeof terminal, failure) ||
      !EnterCwd(plan, failure) || !TakeIdentity(plan, *identity, &warnings, failure)) {
    return false;
  }
  sys::Call(SYS_umask, plan.U32(plan::Tag::kUmask, 022));
  // Changing credentials cleared both.
  sys::Prctl(PR_SET_PDEATHSIG, kSigKill);
  sys::Prctl(PR_SET_DUMPABLE, 0);
  return true;
}

[[noreturn]] void RunChild(const plan::Plan& plan, const HostFds& fds) {
  static Identity identity;
  Failure failure;
  sys::Prctl(PR_SET_PDEATHSIG, kSigKill);
  if (EnterContainer(plan, fds, &failure) && BecomeProcess(plan, &identity, &failure)) {
    // Signals have been blocked since the agent; the program starts with none blocked.
    const uint64_t none = 0;
    sys::Call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, sys::Arg(&none), 0, sizeof none);
    // Closed, not only marked: see init_main.cc.
    sys::CloseRange(kControlFd + 1, ~0u, 0);
    Execute(plan, identity, &failure);
  }
  Tell(MessageKind::kFailed, 0, failure);
  const bool missing = failure.step == Step::kLookPath || failure.step == Step::kInterpreter ||
                       (failure.step == Step::kExec && failure.error == ENOENT);
  sys::Exit(missing ? 127 : 126);
}

bool Clone(const plan::Plan& plan, const HostFds& fds, Child* child, Failure* failure) {
  struct clone_args args = {};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&child->pidfd);
  args.exit_signal = 17;  // SIGCHLD
  if (fds.cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(fds.cgroup);
  }
  const long pid = sys::Call(SYS_clone3, sys::Arg(&args), sizeof args);
  if (pid == 0) RunChild(plan, fds);
  if (pid < 0) return Fail(failure, Step::kCgroup, pid, "clone3");
  child->pid = static_cast<int>(pid);
  return true;
}

// Not one descriptor more than it takes to wait: as long as we held the output's, nobody would see
// its end.
void KeepOnly(int a, int b) {
  for (int fd = 0; fd < 3; ++fd) sys::Close(fd);
  const int low = a < b ? a : b;
  const int high = a < b ? b : a;
  int from = kControlFd + 1;
  for (const int keep : {low, high}) {
    if (keep < from) continue;
    if (keep > from)
      sys::CloseRange(static_cast<unsigned>(from), static_cast<unsigned>(keep - 1), 0);
    from = keep + 1;
  }
  sys::CloseRange(static_cast<unsigned>(from), ~0u, 0);
}

// False when that was the end of who asked: what it started ends too.
bool ForwardSignal(int control, const Child& child) {
  ExecMessage message;
  const long n = sys::Read(control, &message, sizeof message);
  if (n == -EINTR || n == -EAGAIN) return true;
  if (n != static_cast<long>(sizeof message) || message.kind != MessageKind::kSignal) return false;
  // Not reaped before our end, so the number is its own. It leads no group before its setsid.
  if (sys::Call(SYS_kill, -child.pid, message.exit_code) < 0) {
    sys::Call(SYS_pidfd_send_signal, child.pidfd, message.exit_code, 0, 0);
  }
  return true;
}

int32_t Await(const Child& child, int kill) {
  int control = kControlFd;
  for (;;) {
    struct pollfd fds[] = {{child.pidfd, POLLIN, 0}, {control, POLLIN, 0}};
    if (sys::Poll(fds, 2) < 0) continue;
    if (fds[0].revents != 0) break;
    if (fds[1].revents == 0 || ForwardSignal(control, child)) continue;
    if (kill >= 0) sys::Write(kill, "1", 1);
    sys::Call(SYS_pidfd_send_signal, child.pidfd, kSigKill, 0, 0);
    control = -1;
  }
  int status = 0;
  sys::Call(SYS_wait4, child.pid, sys::Arg(&status), 0, 0);
  const int signal = status & 0x7f;
  return signal == 0 ? (status >> 8) & 0xff : 128 + signal;
}

}  // namespace

int RunExec(const plan::Plan* plan, Failure failure) {
  static HostFds fds;
  for (const int fd : {kControlFd, kInitPlanFd, kExecPidFd}) sys::Fcntl(fd, F_SETFD, FD_CLOEXEC);
  sys::Call(SYS_umask, 0);
  Child child;
  if (plan == nullptr || !OpenHostFds(*plan, &fds, &failure)) {
    Tell(MessageKind::kFailed, 0, failure);
    return 1;
  }
  SetOomScore(*plan);
  if (!JoinNamespaces(*plan, &failure) || !Clone(*plan, fds, &child, &failure)) {
    Tell(MessageKind::kFailed, 0, failure);
    return 1;
  }
  KeepOnly(child.pidfd, fds.kill);
  Tell(MessageKind::kExited, Await(child, fds.kill), failure);
  return 0;
}

}  // namespace swarm::shim
