// The init helper: pid 1 of the new namespaces until it becomes the container's program. Static,
// one thread, run from a sealed memfd; executes the plan at kInitPlanFd step by step, waits for
// kStart, and execs. argv[1] holds the warnings of the shim's child so far, argv[2] "root" when
// kInitRootFd is there. With "exec" as its only argument it starts one more program in a container
// that runs (init_exec.h).
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "agent/shim/fail.h"
#include "agent/shim/init_exec.h"
#include "agent/shim/init_mounts.h"
#include "agent/shim/init_process.h"
#include "agent/shim/init_reaper.h"
#include "agent/shim/init_root.h"
#include "agent/shim/init_terminal.h"
#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

bool MapPlan(plan::Plan* plan, Failure* failure) {
  struct stat stat;
  const long error = sys::FStat(kInitPlanFd, &stat);
  if (error < 0) return Fail(failure, Step::kPlan, error);
  const size_t size = static_cast<size_t>(stat.st_size);
  const long at =
      sys::Call(SYS_mmap, 0, static_cast<long>(size), PROT_READ, MAP_PRIVATE, kInitPlanFd, 0);
  if (at < 0 && at > -4096) return Fail(failure, Step::kPlan, at);
  return plan->Open(reinterpret_cast<void*>(at), size) ? true : Fail(failure, Step::kPlan, EINVAL);
}

bool RaiseLoopback(Failure* failure) {
  const int fd = static_cast<int>(sys::Call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return Fail(failure, Step::kLoopback, fd);
  struct ifreq request = {};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
  const long error = sys::Call(SYS_ioctl, fd, SIOCSIFFLAGS, sys::Arg(&request));
  sys::Close(fd);
  return error >= 0 ? true : Fail(failure, Step::kLoopback, error);
}

bool SetNames(const plan::Plan& plan, Failure* failure) {
  const struct {
    plan::Tag tag;
    long call;
  } names[] = {{plan::Tag::kHostname, SYS_sethostname},
               {plan::Tag::kDomainname, SYS_setdomainname}};
  for (const auto& name : names) {
    const char* value = plan.String(name.tag);
    if (value == nullptr) continue;
    const long error =
        sys::Call(name.call, sys::Arg(value), static_cast<long>(text::Length(value)));
    if (error < 0) return Fail(failure, Step::kHostname, error, value);
  }
  return true;
}

bool BuildRoot(const plan::Plan& plan, bool has_root, Identity* identity, uint32_t* warnings,
               Failure* failure) {
  int root = -1;
  int proc = -1;
  int null = -1;
  return OpenHostNull(&null, failure) && AttachRoot(plan, has_root, &root, failure) &&
         OpenPrivateProc(&proc, failure) && WriteSysctls(plan, proc, failure) &&
         FindIdentity(plan, root, identity, failure) && MountAll(plan, root, proc, failure) &&
         MakeDevices(plan, root, failure) && FinishMounts(plan, root, failure) &&
         MakeCwd(plan, root, failure) &&
         (!plan.Has(plan::Tag::kRootReadonly) || MakeRootReadonly(root, failure)) &&
         MaskPaths(plan, root, null, failure) && MakePathsReadonly(plan, root, failure) &&
         EnterRoot(root, warnings, failure);
}

bool Prepare(const plan::Plan& plan, bool has_root, Identity* identity, uint32_t* warnings,
             Failure* failure) {
  sys::Call(SYS_setsid);
  // A keyring of its own; without it the container holds the agent's session's.
  sys::Call(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, sys::Arg("swarm"));
  sys::Call(SYS_umask, 0);
  if (!SetNames(plan, failure)) return false;
  if (plan.Has(plan::Tag::kLoopbackUp) && !RaiseLoopback(failure)) return false;
  if (!BuildRoot(plan, has_root, identity, warnings, failure)) return false;
  if (!SetRlimits(plan, warnings, failure)) return false;
  Message terminal;
  terminal.kind = MessageKind::kTerminal;
  if (!SetStdio(plan, *identity, kInitSyncFd, &terminal, sizeof terminal, failure)) return false;
  if (plan.Has(plan::Tag::kTerminal) && !BindConsole(failure)) return false;
  if (!EnterCwd(plan, failure) || !TakeIdentity(plan, *identity, warnings, failure)) return false;
  sys::Call(SYS_umask, plan.U32(plan::Tag::kUmask, 022));
  // Changing credentials cleared both: no parent-death signal, and readable by others of that uid.
  sys::Prctl(PR_SET_PDEATHSIG, 9);
  sys::Prctl(PR_SET_DUMPABLE, 0);
  return true;
}

void Tell(MessageKind kind, uint32_t warnings, const Failure& failure) {
  Message message;
  message.kind = kind;
  message.warnings = warnings;
  message.failure = failure;
  sys::Write(kInitSyncFd, &message, sizeof message);
}

// False when the shim is gone.
bool AwaitStart() {
  Message message;
  for (;;) {
    const long n = sys::Read(kInitSyncFd, &message, sizeof message);
    if (n == -EINTR) continue;
    return n == static_cast<long>(sizeof message) && message.kind == MessageKind::kStart;
  }
}

void ResetSignals() {
  struct {
    uint64_t handler, flags, restorer, mask;
  } action = {};  // SIG_DFL
  for (int signal = 1; signal <= 64; ++signal) {
    sys::Call(SYS_rt_sigaction, signal, sys::Arg(&action), 0, 8);
  }
}

int Run(int argc, const char** argv) {
  sys::Prctl(PR_SET_DUMPABLE, 0);
  Failure failure;
  static Identity identity;
  plan::Plan plan;
  uint64_t parsed = 0;
  if (argc == 2 && text::Equal(argv[1], "exec")) {
    const bool mapped = MapPlan(&plan, &failure);
    return RunExec(mapped ? &plan : nullptr, failure);
  }
  if (argc != 3 || !text::ParseNumber(argv[1], text::Length(argv[1]), UINT32_MAX, &parsed)) {
    return 125;
  }
  uint32_t warnings = static_cast<uint32_t>(parsed);
  sys::Fcntl(kInitSyncFd, F_SETFD, FD_CLOEXEC);
  sys::Fcntl(kInitPlanFd, F_SETFD, FD_CLOEXEC);
  if (!MapPlan(&plan, &failure) ||
      !Prepare(plan, text::Equal(argv[2], "root"), &identity, &warnings, &failure)) {
    Tell(MessageKind::kFailed, warnings, failure);
    return 125;
  }
  ResetSignals();
  Tell(MessageKind::kReady, warnings, failure);
  if (!AwaitStart()) return 125;
  // Closed, not only marked: nothing of the host may be reachable even from a program that is run
  // with close-on-exec descriptors still open. The socket alone must last until execve.
  sys::CloseRange(kInitSyncFd + 1, ~0u, 0);
  if (plan.Has(plan::Tag::kReaper)) {
    RunReaper(plan, identity, [](const Failure& why) { Tell(MessageKind::kFailed, 0, why); });
  }
  Execute(plan, identity, &failure);
  Tell(MessageKind::kFailed, warnings, failure);
  return failure.step == Step::kLookPath || failure.error == ENOENT ? 127 : 126;
}

}  // namespace
}  // namespace swarm::shim

extern "C" int Main(long* stack) {
  return swarm::shim::Run(static_cast<int>(stack[0]), reinterpret_cast<const char**>(stack + 1));
}
