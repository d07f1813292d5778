// `init: true`: pid 1 stays this helper, and the container's program is its child.
#ifndef SWARM_AGENT_SHIM_INIT_REAPER_H_
#define SWARM_AGENT_SHIM_INIT_REAPER_H_

#include "agent/shim/init_process.h"
#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

// Runs the program, passes every signal on to it, reaps what loses its parents, and ends as the
// program does, with 128 + N after signal N. `tell` is the child's word why it could not be run.
// Everything but kInitSyncFd is closed by now; the parent lets go of it, so that execve shows.
[[noreturn]] void RunReaper(const plan::Plan& plan, const Identity& identity,
                            void (*tell)(const Failure& failure));

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_INIT_REAPER_H_
