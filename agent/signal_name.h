// Signals by name, as people and images write them.
#ifndef SWARM_AGENT_SIGNAL_NAME_H_
#define SWARM_AGENT_SIGNAL_NAME_H_

#include <string_view>

#include "absl/status/statusor.h"

namespace swarm::agent {

// "SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1". InvalidArgument for anything else.
absl::StatusOr<int> ParseSignal(std::string_view text);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_SIGNAL_NAME_H_
