#include "manager/orchestrator/recent_runs.h"

#include <algorithm>

namespace swarm::manager {

void RecentRuns::RememberFor(absl::Duration time) {
  remembered_ = std::clamp(time, remembered_, kLongest);
}

void RecentRuns::OnRunning(Id task, absl::Duration now) {
  while (!by_age_.empty() && now - by_age_.front().first > remembered_) {
    since_.erase(by_age_.front().second);
    by_age_.pop_front();
  }
  since_.emplace(task, now);
  by_age_.emplace_back(now, task);
}

void RecentRuns::OnEnded(Id task, bool was_running, absl::Duration now) {
  auto it = since_.find(task);
  if (it != since_.end()) {
    lived_[task] = now - it->second;
    since_.erase(it);
  } else {
    lived_[task] = was_running ? absl::InfiniteDuration() : absl::ZeroDuration();
  }
}

std::optional<absl::Duration> RecentRuns::TakeLived(Id task) {
  auto it = lived_.find(task);
  if (it == lived_.end()) return std::nullopt;
  const absl::Duration lived = it->second;
  lived_.erase(it);
  return lived;
}

void RecentRuns::Forget(Id task) {
  since_.erase(task);
  lived_.erase(task);
}

}  // namespace swarm::manager
