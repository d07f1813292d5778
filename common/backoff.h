// Exponential backoff with full jitter: the n-th delay is uniform in [floor, min(cap, base * 2^n)].
#ifndef SWARM_COMMON_BACKOFF_H_
#define SWARM_COMMON_BACKOFF_H_

#include "absl/time/time.h"
#include "common/random.h"

namespace swarm {

class Backoff {
 public:
  struct Options {
    absl::Duration floor = absl::Milliseconds(50);
    absl::Duration base = absl::Milliseconds(200);
    absl::Duration cap = absl::Seconds(8);
  };
  Backoff(Options options, Random& random) : options_(options), random_(random) {}

  absl::Duration Next();
  void Reset() { attempt_ = 0; }
  int attempts() const { return attempt_; }

 private:
  Options options_;
  Random& random_;
  int attempt_ = 0;
};

}  // namespace swarm

#endif  // SWARM_COMMON_BACKOFF_H_
