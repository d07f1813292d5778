// Should a slot whose task ended get another one, and when? Pure.
//
// The policy of the task's own revision: condition (default any), delay (default 5 s), attempts
// within a window. On top of the delay comes a backoff (F16) for slots that crash at once again and
// again: a run is quick when it FAILED or was REJECTED less than kQuickRun after it was RUNNING (or
// never was). The first kFreeQuickFailures in a row cost nothing; the n-th after them adds 1 s x
// 2^(n-1), at most kLongestBackoff. A run that was not quick starts the count again.
#ifndef SWARM_MANAGER_ORCHESTRATOR_RESTART_POLICY_H_
#define SWARM_MANAGER_ORCHESTRATOR_RESTART_POLICY_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "manager/store/objects.h"

namespace swarm::manager {

inline constexpr absl::Duration kDefaultRestartDelay = absl::Seconds(5);
inline constexpr absl::Duration kQuickRun = absl::Seconds(10);
inline constexpr uint32_t kFreeQuickFailures = 3;
inline constexpr absl::Duration kLongestBackoff = absl::Seconds(60);
// Restarts remembered for a window. More attempts than this within one window are no limit.
inline constexpr int kLongestRestartMemory = 1'000;

struct EndedRun {
  TaskState state;
  // From RUNNING to its end; zero when it never ran. Unknown when the manager did not see it.
  std::optional<absl::Duration> lived;
};

struct RestartDecision {
  bool restart = false;
  absl::Duration delay;
  RestartHistory history;        // to be kept for the slot and revision …
  bool history_changed = false;  // … when this says so
};

// Whether the condition alone allows another task after `state`.
bool ConditionAllowsRestart(const v1::RestartPolicy& policy, TaskState state);

// `history` is what the slot has under the task's revision (ids filled in by the caller).
RestartDecision DecideRestart(const v1::RestartPolicy& policy, const EndedRun& run,
                              RestartHistory history, int64_t now_unix_ms);

// The delay that the last decision came to, for arming it again after a restart of the manager.
absl::Duration RestartDelay(const v1::RestartPolicy& policy, const RestartHistory& history);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_RESTART_POLICY_H_
