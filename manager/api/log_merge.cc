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

void LogMerge::Await(const std::string& stream, bool answered, absl::Time now) {
  Remove(stream);
  State state;
  state.due = now + (answered ? window_ : kWindow);
  awaited_.insert(state.due);
  streams_.emplace(stream, state);
}

void LogMerge::Ready(const std::string& stream, int64_t unix_nanos, absl::Time now) {
  Remove(stream);
  State state;
  state.ready = true;
  state.unix_nanos = unix_nanos;
  // A node whose clock is ahead does not hold its lines back for longer.
  state.due = std::min(absl::FromUnixNanos(unix_nanos), now) + window_;
  ready_.emplace(unix_nanos, stream);
  streams_.emplace(stream, state);
}

void LogMerge::Remove(const std::string& stream) {
  const auto it = streams_.find(stream);
  if (it == streams_.end()) return;
  Forget(stream, it->second);
  streams_.erase(it);
}

LogMerge::Choice LogMerge::Next(absl::Time now) const {
  Choice choice;
  if (ready_.empty()) return choice;
  const std::string& first = ready_.begin()->second;
  if (!awaited_.empty()) {
    const absl::Time due = std::max(*awaited_.rbegin(), streams_.at(first).due);
    if (now < due) {
      choice.ask_again = due;
      return choice;
    }
  }
  choice.stream = first;
  return choice;
}

}  // namespace swarm::manager
