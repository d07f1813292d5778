// Whether a seccomp filter surely lets a system call through, whatever its arguments: found out by
// running it, for who cannot try because there is no way back. Pure.
#ifndef SWARM_AGENT_SHIM_SECCOMP_CHECK_H_
#define SWARM_AGENT_SHIM_SECCOMP_CHECK_H_

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

namespace swarm::shim {

#if defined(__x86_64__)
inline constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
inline constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_AARCH64;
#endif

// False too for a filter that looks at the call's arguments, or uses an instruction that the ones
// which we compile do not have.
inline bool SurelyAllows(const sock_filter* filter, size_t size, uint32_t call) {
  uint32_t a = 0;
  // Jumps go forward only.
  for (size_t at = 0; at < size; ++at) {
    const sock_filter& step = filter[at];
    bool yes = false;
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (step.k != offsetof(seccomp_data, nr) && step.k != offsetof(seccomp_data, arch)) {
          return false;
        }
        a = step.k == offsetof(seccomp_data, nr) ? call : kAuditArchitecture;
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= step.k;
        continue;
      case BPF_RET | BPF_K: {
        const uint32_t action = step.k & SECCOMP_RET_ACTION_FULL;
        return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
      }
      case BPF_JMP | BPF_JA:
        at += step.k;
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        yes = a == step.k;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        yes = a > step.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        yes = a >= step.k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        yes = (a & step.k) != 0;
        break;
      default:
        return false;
    }
    at += yes ? step.jt : step.jf;
  }
  return false;
}

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_SECCOMP_CHECK_H_
