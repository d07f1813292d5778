// Time, as an interface. Nothing is ordered by wall time: it is for people and certificates;
// timers, timeouts and liveness use monotonic time.
#ifndef SWARM_COMMON_CLOCK_H_
#define SWARM_COMMON_CLOCK_H_

#include <memory>

#include "absl/time/time.h"

namespace swarm {

// Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time WallNow() const = 0;
  // Since an arbitrary origin; never goes back, not even when the machine's clock is set.
  virtual absl::Duration MonotonicNow() const = 0;
};

std::unique_ptr<Clock> MakeSystemClock();

}  // namespace swarm

#endif  // SWARM_COMMON_CLOCK_H_
