// The options of an OCI mount: which are the kernel's attributes, which the file system's own.
#ifndef SWARM_AGENT_RUNTIME_MOUNT_OPTIONS_H_
#define SWARM_AGENT_RUNTIME_MOUNT_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/runtime/oci_spec.h"

namespace swarm::agent {

// An option of a bind mount that is ours: what follows is OciMount::subpath.
inline constexpr char kSubpathOption[] = "swarm:subpath=";

// Sets everything of `mount` that `options` say. InvalidArgument: an option that is not built.
absl::Status ApplyMountOptions(const std::vector<std::string>& options, OciMount* mount);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_MOUNT_OPTIONS_H_
