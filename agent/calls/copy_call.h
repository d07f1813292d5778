// Copies into and out of containers: tar streams at a path inside. Every path is resolved in the
// container's root by the kernel (RESOLVE_IN_ROOT), so that no link, and nobody in there who swaps
// one in meanwhile, leads out of it.
#ifndef SWARM_AGENT_CALLS_COPY_CALL_H_
#define SWARM_AGENT_CALLS_COPY_CALL_H_

#include <string>

#include "absl/status/status.h"
#include "agent/calls/call_pipe.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::agent {

// `root` is the container's root folder. The archive comes as data of `pipe`, until its end.
absl::Status CopyInto(int root, const v1::CopyToStart& start, CallPipe& pipe);
absl::Status CopyFrom(int root, const v1::CopyFromStart& start, CallPipe& pipe);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CALLS_COPY_CALL_H_
