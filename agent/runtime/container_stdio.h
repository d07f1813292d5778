// The agent's end of an attach: pipes that the shim copies the container's output to, and what the
// container reads.
#ifndef SWARM_AGENT_RUNTIME_CONTAINER_STDIO_H_
#define SWARM_AGENT_RUNTIME_CONTAINER_STDIO_H_

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "agent/runtime/exec.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct ContainerStdio {
  UniqueFd output;
  UniqueFd errors;
  UniqueFd input;         // invalid: the container reads nothing of ours
  bool terminal = false;  // `input` is its master
};

// `shim` is a pidfd. From here on the shim copies what the container prints (../shim/protocol.h).
absl::StatusOr<ContainerStdio> OpenContainerStdio(int shim);

// Blocking: until the shim has closed both pipes or the peer has gone. Whether anything came.
bool RunContainerStdio(ContainerStdio stdio, const AttachSpec& spec, ExecPeer& peer,
                       absl::FunctionRef<void(int signal)> signal);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_CONTAINER_STDIO_H_
