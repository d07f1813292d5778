// What is mounted in a container: what every container gets, and the task's own in its place or
// beside it. Pure.
#ifndef SWARM_AGENT_RUNTIME_OCI_MOUNTS_H_
#define SWARM_AGENT_RUNTIME_OCI_MOUNTS_H_

#include <cstdint>
#include <vector>

#include "agent/runtime/oci_config.h"

namespace swarm::agent {

struct DefaultMountOptions {
  int64_t shm_bytes = 0;    // of /dev/shm; 0: 64 MiB
  bool privileged = false;  // /sys and the cgroups may be written
  bool host_ipc = false;    // /dev/shm is the node's
};

// In the order in which they are made: what lies in another comes after it.
std::vector<ContainerMount> MountsOf(const DefaultMountOptions& options,
                                     const std::vector<ContainerMount>& own);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_OCI_MOUNTS_H_
