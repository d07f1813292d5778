// One exec whose input and output come and go while it runs.
#ifndef SWARM_AGENT_RUNTIME_EXEC_STREAM_H_
#define SWARM_AGENT_RUNTIME_EXEC_STREAM_H_

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "agent/runtime/exec.h"
#include "agent/runtime/shim_process.h"

namespace swarm::agent {

// Blocking, on the caller's thread: carries input and output between `spawned` and `peer` until the
// program has ended and what it printed is given, or its caller has gone. `kill` ends all that was
// started: 10 s after a hangup, and when the container's end leaves the helper speechless. The
// helper is reaped afterwards; what the program left behind is the caller's business.
absl::StatusOr<ExecResult> RunExecStream(SpawnedExec spawned, const ExecSpec& spec, ExecPeer& peer,
                                         absl::FunctionRef<void()> kill);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_EXEC_STREAM_H_
