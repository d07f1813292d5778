// One more program in a container that runs: the init helper's other job.
//
// It waits outside, in the host's pid and cgroup namespaces, where the container does not see it;
// only its child goes in, takes the same last steps as init did, and execs. The end of the control
// socket (the agent is gone, or wants it to end) kills what was started.
#ifndef SWARM_AGENT_SHIM_INIT_EXEC_H_
#define SWARM_AGENT_SHIM_INIT_EXEC_H_

#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

// Descriptors as in protocol.h; 1 and 2 are where the output goes. `plan` holds the process'
// records and kCloneFlags, kCgroupDir, kCgroupTasks; null: it could not be read, `failure` says
// why.
int RunExec(const plan::Plan* plan, Failure failure);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_INIT_EXEC_H_
