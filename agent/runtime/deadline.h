// Deadline: until when one blocking call waits. By monotonic time: setting the machine's clock
// neither ends a wait early nor makes it endless (F11).
//
//   const Deadline deadline(timeout);
//   while (!Done() && !deadline.IsOver()) { … poll for deadline.Left() … }
#ifndef SWARM_AGENT_RUNTIME_DEADLINE_H_
#define SWARM_AGENT_RUNTIME_DEADLINE_H_

#include <memory>

#include "absl/time/time.h"
#include "common/clock.h"

namespace swarm::agent {

class Deadline {
 public:
  explicit Deadline(absl::Duration timeout) { Restart(timeout); }

  // From now on again.
  void Restart(absl::Duration timeout) { end_ = clock_->MonotonicNow() + timeout; }
  // Zero or less when it is over.
  absl::Duration Left() const { return end_ - clock_->MonotonicNow(); }
  bool IsOver() const { return Left() <= absl::ZeroDuration(); }

 private:
  std::unique_ptr<const Clock> clock_ = MakeSystemClock();
  absl::Duration end_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_DEADLINE_H_
