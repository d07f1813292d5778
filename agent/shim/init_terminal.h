// A terminal out of the container's own devpts, so that its name is true inside.
#ifndef SWARM_AGENT_SHIM_INIT_TERMINAL_H_
#define SWARM_AGENT_SHIM_INIT_TERMINAL_H_

#include <stdint.h>

#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

// Of the size that the plan says, owned by `uid`: standard input, output and error, and the
// session's controlling terminal (we lead a session). The working folder is the container's root.
// The path is the container's to fill: only a ptmx of a devpts will do, reached over no link
// (CVE-2025-52565).
bool OpenTerminal(const plan::Plan& plan, uint32_t uid, int* master, Failure* failure);

// /dev/console is the terminal that standard input is, for programs that write there, as runc has
// it. Over no link either.
bool BindConsole(Failure* failure);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_INIT_TERMINAL_H_
