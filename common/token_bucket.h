// TokenBucket: so many events a second on average, so many at once. Not thread-safe; time is the
// caller's monotonic time.
//
//   TokenBucket bucket(50, 200);
//   if (!bucket.Take(clock.MonotonicNow())) return absl::ResourceExhaustedError("…");
#ifndef SWARM_COMMON_TOKEN_BUCKET_H_
#define SWARM_COMMON_TOKEN_BUCKET_H_

#include <algorithm>

#include "absl/time/time.h"

namespace swarm {

class TokenBucket {
 public:
  // Begins full. Both above zero; burst at least 1.
  TokenBucket(double per_second, double burst)
      : per_second_(per_second), burst_(burst), tokens_(burst) {}

  // False, and nothing is taken, when less than one token is left.
  bool Take(absl::Duration now) {
    Refill(now);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  // Zero when Take would succeed.
  absl::Duration UntilNext(absl::Duration now) {
    Refill(now);
    if (tokens_ >= 1) return absl::ZeroDuration();
    return absl::Seconds((1 - tokens_) / per_second_) + absl::Nanoseconds(1);
  }

 private:
  void Refill(absl::Duration now) {
    if (started_ && now > last_) {
      tokens_ = std::min(burst_, tokens_ + absl::ToDoubleSeconds(now - last_) * per_second_);
    }
    if (!started_ || now > last_) last_ = now;
    started_ = true;
  }

  double per_second_;
  double burst_;
  double tokens_;
  bool started_ = false;
  absl::Duration last_ = absl::ZeroDuration();
};

}  // namespace swarm

#endif  // SWARM_COMMON_TOKEN_BUCKET_H_
