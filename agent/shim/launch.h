// From a plan to an init helper that sets the container up: the host's side of the work. The shim
// opens every path of the host itself (image layers, mount sources) and hands init descriptors.
#ifndef SWARM_AGENT_SHIM_LAUNCH_H_
#define SWARM_AGENT_SHIM_LAUNCH_H_

#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

struct Launched {
  int pid = 0;
  int pidfd = -1;
  int sync = -1;  // to init; end of file once it has exec'd or died
  int out = -1;   // read ends, non-blocking
  int err = -1;
  int in = -1;  // write end, non-blocking, when the plan keeps standard input open
  uint32_t warnings = 0;
};

// The init helper's program in a memfd that nobody can write to: a container that reaches for the
// file behind /proc/PID/exe gets this copy, which dies with it (CVE-2019-5736).
bool OpenInitProgram(int* program, Failure* failure);

// On failure nothing of the container is left except what dies with the caller.
bool Launch(const plan::Plan& plan, Launched* launched, Failure* failure);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_LAUNCH_H_
