// What the agent asks of the kernel for itself. Best effort: a machine that refuses is said once.
#ifndef SWARM_AGENT_PROCESS_LIMITS_H_
#define SWARM_AGENT_PROCESS_LIMITS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace swarm::agent {

// As many descriptors as the hard limit allows: an agent without one left cannot look at its
// containers (F23). Returns the soft limit that was, which is what containers get.
std::optional<uint64_t> RaiseOpenFilesLimit();

// Writes `score` to `path` (/proc/self/oom_score_adj) unless it holds that or less already: who
// started us may have protected us better.
absl::Status LowerOomScore(const std::string& path, int score);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_PROCESS_LIMITS_H_
