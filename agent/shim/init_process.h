// What the container's process is: its user, limits, rights and program.
#ifndef SWARM_AGENT_SHIM_INIT_PROCESS_H_
#define SWARM_AGENT_SHIM_INIT_PROCESS_H_

#include <linux/filter.h>

#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

struct Identity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t groups[256];
  uint32_t group_count = 0;
  char home[256] = "/";
};

// Numbers as the plan has them; names out of `root`'s own /etc/passwd and /etc/group.
bool FindIdentity(const plan::Plan& plan, int root, Identity* identity, Failure* failure);

// Makes the working directory when it is missing.
bool MakeCwd(const plan::Plan& plan, int root, Failure* failure);
// After EnterRoot: the folder must lie in the container.
bool EnterCwd(const plan::Plan& plan, Failure* failure);

bool SetRlimits(const plan::Plan& plan, uint32_t* warnings, Failure* failure);
// stdin from the container's own null device (unless the plan keeps it open), stdout and stderr
// owned by the user. With a terminal in the plan: all three are one out of the container's own
// devpts, which becomes ours; its master goes to whoever holds the other end of `socket`, with a
// copy of `head` (`size` bytes). Before EnterCwd.
bool SetStdio(const plan::Plan& plan, const Identity& identity, int socket, const void* head,
              size_t size, Failure* failure);
// Bounding set, groups, gid, uid, capabilities, ambient, no_new_privs; seccomp too when it must
// come before the rights to install it are gone.
bool TakeIdentity(const plan::Plan& plan, const Identity& identity, uint32_t* warnings,
                  Failure* failure);
// The plan's filter, which stays its own; of length 0: none.
struct sock_fprog SeccompFilter(const plan::Plan& plan, uint32_t* flags);
bool LoadSeccomp(const plan::Plan& plan, Failure* failure);
// seccomp (unless done) and exec. Returns only with a failure.
bool Execute(const plan::Plan& plan, const Identity& identity, Failure* failure);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_INIT_PROCESS_H_
