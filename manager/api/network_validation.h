// What a NetworkSpec must fulfil before it may enter the store. Pure; any thread. Errors as in
// validation.h: InvalidArgument with the field's path, the first that is found. What needs the
// store (a name that is taken, subnets that overlap, a second ingress network) is checked where the
// write happens.
#ifndef SWARM_MANAGER_API_NETWORK_VALIDATION_H_
#define SWARM_MANAGER_API_NETWORK_VALIDATION_H_

#include <string_view>

#include "absl/status/status.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

absl::Status ValidateNetworkSpec(const v1::NetworkSpec& spec);

// A label of DNS as names of networks and aliases are: letters, digits, '-' and '_' (stack files
// make "stack_name"), beginning and ending with a letter or digit, at most 63 characters.
absl::Status ValidateDnsLabel(std::string_view path, std::string_view label);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_NETWORK_VALIDATION_H_
