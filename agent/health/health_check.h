// Which health check a task has: its spec's, or its image's.
#ifndef SWARM_AGENT_HEALTH_HEALTH_CHECK_H_
#define SWARM_AGENT_HEALTH_HEALTH_CHECK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// `wanted` with a test is taken as it is; without one it is the image's, with what `wanted` sets
// over it. None: neither has a test, or the one that counts is NONE.
std::optional<v1::HealthCheck> EffectiveHealthCheck(const v1::HealthCheck& wanted,
                                                    const v1::HealthCheck& image);

// Where a probe without a program goes: ":6379", "127.0.0.1:80", "[::1]:80/x", "http://:8080/path".
struct ProbeTarget {
  std::vector<std::string> hosts;  // "127.0.0.1", "::1": tried in turn
  uint16_t port = 0;
  std::string path;  // after the port, with its '/'; may be empty
};
// InvalidArgument: no port, or another machine than the container itself.
absl::StatusOr<ProbeTarget> ParseProbeTarget(absl::string_view text);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HEALTH_HEALTH_CHECK_H_
