// LogMerge: in which order the lines of several streams come, each of them ordered by time in
// itself. Pure; the caller says what time it is: `now` is the loop's, which nobody sets, and the
// wall clock's only says how old a line is.
//
// A line goes out when no stream can still have an older one: each has its next line here, or has
// been waited for as long as the window is. So the whole is in order, but for lines that come later
// than that; a node that is silent holds the others up once and no longer, and while somebody
// follows, quiet nodes cost no more than the window.
#ifndef SWARM_MANAGER_API_LOG_MERGE_H_
#define SWARM_MANAGER_API_LOG_MERGE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"

namespace swarm::manager {

class LogMerge {
 public:
  static constexpr absl::Duration kFollowWindow = absl::Milliseconds(100);
  static constexpr absl::Duration kWindow = absl::Seconds(2);

  struct Choice {
    std::optional<std::string> stream;                    // whose line is next; none: not yet
    absl::Duration ask_again = absl::InfiniteDuration();  // then; never: when something changed
  };

  explicit LogMerge(bool follow) : window_(follow ? kFollowWindow : kWindow) {}

  // The stream was asked for its first line, or (`answered`) for its next one.
  void Await(const std::string& stream, bool answered, absl::Duration now);
  // Its next line came, with this time in it.
  void Ready(const std::string& stream, int64_t unix_nanos, absl::Duration now,
             absl::Time wall_now);
  // Nothing more comes from it. Unknown ones are fine.
  void Remove(const std::string& stream);

  Choice Next(absl::Duration now) const;

 private:
  struct State {
    bool ready = false;
    int64_t unix_nanos = 0;  // when ready
    // Not later than this: when an awaited stream counts as quiet, when a line is old enough.
    absl::Duration due;
  };
  void Forget(const std::string& stream, const State& state);
  // Its state, new; not in `ready_` or `awaited_` yet.
  State& Renew(const std::string& stream);

  const absl::Duration window_;
  std::map<std::string, State> streams_;
  std::set<std::pair<int64_t, std::string>> ready_;
  std::multiset<absl::Duration> awaited_;  // by due
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_LOG_MERGE_H_
