// How many replicas should a service have, by what its tasks use? Pure.
//
// For each target: replicas x (mean used / wanted), rounded up; the most that a target asks for,
// within min and max. As Kubernetes' horizontal autoscaler does it (its documentation, "Algorithm
// details"): a ratio within kTolerance of 1 changes nothing; tasks that have not reported count as
// idle when that would scale up and as using exactly what is wanted when it would scale down, so
// that a missing report never moves anything; at most twice as many or kSmallStep more at a time.
#ifndef SWARM_MANAGER_AUTOSCALER_SCALE_DECISION_H_
#define SWARM_MANAGER_AUTOSCALER_SCALE_DECISION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "manager/autoscaler/usage_window.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

inline constexpr double kTolerance = 0.1;
inline constexpr uint64_t kSmallStep = 4;
inline constexpr absl::Duration kDefaultWindow = absl::Seconds(60);
inline constexpr absl::Duration kDefaultCooldown = absl::Minutes(5);

struct ScaleInput {
  uint64_t replicas = 0;         // wanted now
  uint64_t running = 0;          // RUNNING tasks
  std::vector<MeanUsage> usage;  // of those of them that reported
  // Since the last decision, or since this process looks at the service.
  absl::Duration since_change;
};

struct ScaleDecision {
  uint64_t replicas = 0;
  std::string reason;  // "cpu 93% of the limit (70% wanted)"; of the target that decided
  // What it would be but for the cooldown; else empty: "2 replicas in 3m".
  std::string held;
};

// The spec is valid: it has bounds and at least one target.
ScaleDecision DecideScale(const v1::ServiceSpec& spec, const ScaleInput& input);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_AUTOSCALER_SCALE_DECISION_H_
