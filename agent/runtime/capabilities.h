// Capability names and the sets that containers get.
#ifndef SWARM_AGENT_RUNTIME_CAPABILITIES_H_
#define SWARM_AGENT_RUNTIME_CAPABILITIES_H_

#include <cstdint>
#include <string>
#include <vector>
#include "absl/strings/string_view.h"

#include "absl/status/statusor.h"

namespace swarm::agent {

// Bit N is capability N.
using CapabilitySet = uint64_t;

// "CAP_NET_RAW", "NET_RAW", any case. InvalidArgument names the unknown one.
absl::StatusOr<int> ParseCapability(absl::string_view name);
// "CAP_…", in the kernel's order.
std::vector<std::string> CapabilityNames(CapabilitySet set);
bool HasCapability(CapabilitySet set, absl::string_view name);

CapabilitySet AllCapabilities();
// Docker's default without NET_RAW.
CapabilitySet DefaultCapabilities();

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_CAPABILITIES_H_
