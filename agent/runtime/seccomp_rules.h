// From a profile in Docker's format to the "linux.seccomp" of an OCI configuration: the rules that
// hold on this machine for a container with these capabilities. Pure.
#ifndef SWARM_AGENT_RUNTIME_SECCOMP_RULES_H_
#define SWARM_AGENT_RUNTIME_SECCOMP_RULES_H_

#include <optional>

#include "agent/runtime/capabilities.h"
#include "common/oci/seccomp.h"
#include "nlohmann/json_fwd.hpp"

namespace swarm::agent {

// `kernel`: this machine's; unknown ones are older than any.
nlohmann::json OciSeccompOf(const oci::SeccompProfile& profile, CapabilitySet bounding,
                            const std::optional<oci::KernelVersion>& kernel);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_SECCOMP_RULES_H_
