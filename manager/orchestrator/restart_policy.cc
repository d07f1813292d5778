#include "manager/orchestrator/restart_policy.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/proto_time.h"

namespace swarm::manager {
namespace {

bool IsFailure(TaskState state) {
  return state == TaskState::kFailed || state == TaskState::kRejected;
}

absl::Duration BackoffAfter(uint32_t quick_failures) {
  if (quick_failures <= kFreeQuickFailures) return absl::ZeroDuration();
  const uint32_t doublings = std::min<uint32_t>(quick_failures - kFreeQuickFailures - 1, 16);
  return std::min(kLongestBackoff, absl::Seconds(1) * (int64_t{1} << doublings));
}

// Forgets what is older than the window. A time in the future (the clock was set back) is now.
void KeepWindow(RestartHistory& history, absl::Duration window, int64_t now_unix_ms) {
  std::vector<int64_t> kept;
  for (int64_t at : history.recent_unix_ms()) {
    at = std::min(at, now_unix_ms);
    if (absl::Milliseconds(now_unix_ms - at) < window) kept.push_back(at);
  }
  history.mutable_recent_unix_ms()->Assign(kept.begin(), kept.end());
}

}  // namespace

bool ConditionAllowsRestart(const v1::RestartPolicy& policy, TaskState state) {
  switch (policy.condition()) {
    case v1::RestartPolicy::CONDITION_NONE:
      return false;
    case v1::RestartPolicy::CONDITION_ON_FAILURE:
      return state != TaskState::kComplete;
    default:
      return true;
  }
}

RestartDecision DecideRestart(const v1::RestartPolicy& policy, const EndedRun& run,
                              RestartHistory history, int64_t now_unix_ms) {
  RestartDecision decision;
  if (!ConditionAllowsRestart(policy, run.state)) return decision;

  const absl::Duration window = FromProto(policy.window());
  const bool windowed = policy.max_attempts() > 0 && window > absl::ZeroDuration();
  if (windowed) KeepWindow(history, window, now_unix_ms);
  const uint64_t used = windowed ? history.recent_unix_ms_size() : history.attempts();
  if (policy.max_attempts() > 0 && used >= policy.max_attempts()) return decision;

  const uint32_t quick_before = history.quick_failures();
  if (!IsFailure(run.state)) {
    history.set_quick_failures(0);
  } else if (run.lived.has_value()) {
    history.set_quick_failures(*run.lived < kQuickRun ? quick_before + 1 : 0);
  }
  if (windowed && history.recent_unix_ms_size() < kLongestRestartMemory) {
    history.add_recent_unix_ms(now_unix_ms);
  }
  history.set_attempts(history.attempts() + 1);
  decision.restart = true;
  decision.delay = RestartDelay(policy, history);
  decision.history_changed = policy.max_attempts() > 0 || history.quick_failures() != quick_before;
  decision.history = std::move(history);
  return decision;
}

absl::Duration RestartDelay(const v1::RestartPolicy& policy, const RestartHistory& history) {
  const absl::Duration delay =
      policy.has_delay() ? FromProto(policy.delay()) : kDefaultRestartDelay;
  return std::max(delay, absl::ZeroDuration()) + BackoffAfter(history.quick_failures());
}

}  // namespace swarm::manager
