// RecentRuns: how long tasks that ended had been RUNNING, as far as this process saw it. Remembers
// starts for kRemembered, or longer when asked: what ran longer ran long. Pure.
#ifndef SWARM_MANAGER_ORCHESTRATOR_RECENT_RUNS_H_
#define SWARM_MANAGER_ORCHESTRATOR_RECENT_RUNS_H_

#include <deque>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/ids.h"

namespace swarm::manager {

class RecentRuns {
 public:
  static constexpr absl::Duration kRemembered = absl::Seconds(10);
  static constexpr absl::Duration kLongest = absl::Hours(1);

  // At least so long, from now on; at most kLongest.
  void RememberFor(absl::Duration time);
  void OnRunning(Id task, absl::Duration now);
  // `was_running`: the state before its end. Kept until TakeLived or Forget.
  void OnEnded(Id task, bool was_running, absl::Duration now);
  // Zero: never ran; infinite: longer than is remembered; nothing: its end was not seen.
  std::optional<absl::Duration> TakeLived(Id task);
  void Forget(Id task);

 private:
  absl::Duration remembered_ = kRemembered;
  absl::flat_hash_map<Id, absl::Duration> since_;
  std::deque<std::pair<absl::Duration, Id>> by_age_;
  absl::flat_hash_map<Id, absl::Duration> lived_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_RECENT_RUNS_H_
