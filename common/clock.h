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

// Another clock whose wall time somebody set wrong by `by`, back when it is negative: for tests and
// rehearsals of what happens at some hour. Monotonic time is as it was. Borrows `clock`.
class ShiftedClock : public Clock {
 public:
  ShiftedClock(const Clock& clock, absl::Duration by) : clock_(clock), by_(by) {}
  absl::Time WallNow() const override { return clock_.WallNow() + by_; }
  absl::Duration MonotonicNow() const override { return clock_.MonotonicNow(); }

 private:
  const Clock& clock_;
  const absl::Duration by_;
};

}  // namespace swarm

#endif  // SWARM_COMMON_CLOCK_H_
