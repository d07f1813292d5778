#include "manager/api/log_merge.h"

#include <algorithm>

namespace swarm::manager {

void LogMerge::Forget(const std::string& stream, const State& state) {
  if (state.ready) {
    ready_.erase({state.unix_nanos, stream});
  } else {
    awaited_.erase(awaited_.find(state.due));
  }
}

LogMerge::State& LogMerge::Renew(const std::string& stream) {
  const auto [it, added] = streams_.try_emplace(stream);
  if (!added) Forget(stream, it->second);
  return it->second = State();
}

void LogMerge::Await(const std::string& stream, bool answered, absl::Duration now) {
  State& state = Renew(stream);
  state.due = now + (answered ? window_ : kWindow);
  awaited_.insert(state.due);
}

void LogMerge::Ready(const std::string& stream, int64_t unix_nanos, absl::Duration now,
                     absl::Time wall_now) {
  State& state = Renew(stream);
  state.ready = true;
  state.unix_nanos = unix_nanos;
  // A node whose clock is ahead does not hold its lines back for longer.
  const absl::Duration age = wall_now - absl::FromUnixNanos(unix_nanos);
  state.due = now + std::clamp(window_ - age, absl::ZeroDuration(), window_);
  ready_.emplace(unix_nanos, stream);
}

void LogMerge::Remove(const std::string& stream) {
  const auto it = streams_.find(stream);
  if (it == streams_.end()) return;
  Forget(stream, it->second);
  streams_.erase(it);
}

LogMerge::Choice LogMerge::Next(absl::Duration now) const {
  Choice choice;
  if (ready_.empty()) return choice;
  const std::string& first = ready_.begin()->second;
  if (!awaited_.empty()) {
    const absl::Duration due = std::max(*awaited_.rbegin(), streams_.at(first).due);
    if (now < due) {
      choice.ask_again = due;
      return choice;
    }
  }
  choice.stream = first;
  return choice;
}

}  // namespace swarm::manager
