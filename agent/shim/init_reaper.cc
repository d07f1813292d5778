#include "agent/shim/init_reaper.h"

#include <asm/ioctls.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include "agent/shim/seccomp_check.h"
#include "agent/shim/sys.h"

namespace swarm::shim {
namespace {

constexpr int kSigChld = 17;
constexpr int kNoHang = 1;  // WNOHANG
constexpr uint64_t kAll = ~uint64_t{0};
constexpr uint64_t kNone = 0;
// All that we call once the program runs.
constexpr uint32_t kCalls[] = {SYS_rt_sigtimedwait, SYS_wait4, SYS_kill, SYS_exit_group};

void SetMask(uint64_t mask) {
  sys::Call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, sys::Arg(&mask), 0, sizeof mask);
}

[[noreturn]] void RunProgram(const plan::Plan& plan, const Identity& identity,
                             void (*tell)(const Failure& failure)) {
  // A group of its own in front of the terminal: Ctrl-C is its alone, not ours to pass on as well.
  if (plan.Has(plan::Tag::kTerminal)) {
    sys::Call(SYS_setpgid, 0, 0);
    const int pid = static_cast<int>(sys::Call(SYS_getpid));
    sys::Call(SYS_ioctl, 0, TIOCSPGRP, sys::Arg(&pid));
  }
  SetMask(kNone);
  Failure failure;
  Execute(plan, identity, &failure);
  tell(failure);
  sys::Exit(failure.step == Step::kLookPath || failure.error == ENOENT ? 127 : 126);
}

// Ends us with the program.
void ReapAll(int program) {
  for (;;) {
    int status = 0;
    const long pid = sys::Call(SYS_wait4, -1, sys::Arg(&status), kNoHang, 0);
    if (pid <= 0) return;
    if (pid != program) continue;
    const int signal = status & 0x7f;
    sys::Exit(signal == 0 ? (status >> 8) & 0xff : 128 + signal);
  }
}

// The program has the filter from its execve on, we had it before that only without no_new_privs.
// A profile that denies what is called below would make us run hot, or deaf to the program's end:
// with such a one we stay without.
bool Restrict(const plan::Plan& plan) {
  if (!plan.Has(plan::Tag::kNoNewPrivs)) return true;
  uint32_t flags = 0;
  const struct sock_fprog filter = SeccompFilter(plan, &flags);
  for (const uint32_t call : kCalls) {
    if (!SurelyAllows(filter.filter, filter.len, call)) return true;
  }
  Failure failure;
  return LoadSeccomp(plan, &failure);
}

}  // namespace

void RunReaper(const plan::Plan& plan, const Identity& identity,
               void (*tell)(const Failure& failure)) {
  // We were run from a file without a name.
  sys::Prctl(PR_SET_NAME, reinterpret_cast<unsigned long>("swarm-init"));
  // Processes whose parent has ended come to pid 1 by themselves, to others when they say so.
  if ((plan.U64(plan::Tag::kCloneFlags, 0) & CLONE_NEWPID) == 0) {
    sys::Prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  SetMask(kAll);
  const long pid = sys::Call(SYS_clone, kSigChld);
  if (pid == 0) RunProgram(plan, identity, tell);
  if (pid < 0) {
    Failure failure;
    failure.step = Step::kExec;
    failure.error = static_cast<int32_t>(-pid);
    tell(failure);
    sys::Exit(126);
  }
  // The terminal and the pipes are the program's; what is left of ours must not keep them open.
  sys::CloseRange(0, ~0u, 0);
  if (!Restrict(plan)) sys::Exit(126);
  for (;;) {
    const long signal = sys::Call(SYS_rt_sigtimedwait, sys::Arg(&kAll), 0, 0, sizeof kAll);
    if (signal == kSigChld) ReapAll(static_cast<int>(pid));
    if (signal > 0 && signal != kSigChld) sys::Call(SYS_kill, pid, signal);
  }
}

}  // namespace swarm::shim
