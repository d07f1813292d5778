// How often agents are heard of: one set of bounds for the API that takes the number, the
// dispatcher that sends it to agents, and the orchestrator that waits for windows of it.
#ifndef SWARM_MANAGER_HEARTBEAT_H_
#define SWARM_MANAGER_HEARTBEAT_H_

#include <algorithm>

#include "absl/time/time.h"
#include "common/proto_time.h"
#include "manager/store/objects.h"

namespace swarm::manager {

inline constexpr absl::Duration kDefaultHeartbeat = absl::Seconds(5);
inline constexpr absl::Duration kShortestHeartbeat = absl::Milliseconds(100);
inline constexpr absl::Duration kLongestHeartbeat = absl::Minutes(10);
// So many in a row, and the node is DOWN.
inline constexpr int kMissedHeartbeats = 3;

// Of the cluster's spec, within the bounds whatever was stored; the default without one.
inline absl::Duration HeartbeatPeriod(const Cluster* cluster) {
  if (cluster == nullptr || !cluster->spec().has_heartbeat_period()) return kDefaultHeartbeat;
  return std::clamp(FromProto(cluster->spec().heartbeat_period()), kShortestHeartbeat,
                    kLongestHeartbeat);
}
inline absl::Duration LivenessWindow(const Cluster* cluster) {
  return kMissedHeartbeats * HeartbeatPeriod(cluster);
}

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_HEARTBEAT_H_
