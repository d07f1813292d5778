// The words for what shim and init report as a step, an errno and a path.
#ifndef SWARM_AGENT_RUNTIME_SHIM_ERRORS_H_
#define SWARM_AGENT_RUNTIME_SHIM_ERRORS_H_

#include "absl/status/status.h"
#include "agent/shim/protocol.h"

namespace swarm::agent {

// Never OK. Exec and lookup failures are NotFound, PermissionDenied or InvalidArgument (exec
// format), an unknown user InvalidArgument.
absl::Status ShimStatus(const shim::Failure& failure);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_SHIM_ERRORS_H_
