// The part of a NetworkSpec's validation that is about driver macvlan. Pure; any thread.
#ifndef SWARM_MANAGER_API_MACVLAN_VALIDATION_H_
#define SWARM_MANAGER_API_MACVLAN_VALIDATION_H_

#include "absl/status/status.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

// Its options, and that each family has a subnet: the LAN's own, which nobody here could guess.
// Errors as ValidateNetworkSpec's.
absl::Status ValidateMacvlan(const v1::NetworkSpec& spec);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_MACVLAN_VALIDATION_H_
