// What a node offers that only its operator knows, as the daemon's flag says it.
#ifndef SWARM_AGENT_GENERIC_RESOURCE_H_
#define SWARM_AGENT_GENERIC_RESOURCE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// "KIND=4" (so many) or "KIND=ID1,ID2" (these; several flags of one kind add up). One entry a kind,
// in the order of their names. InvalidArgument says which flag is wrong and what to write.
absl::StatusOr<std::vector<v1::GenericResource>> ParseGenericResources(
    const std::vector<std::string>& flags);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_GENERIC_RESOURCE_H_
