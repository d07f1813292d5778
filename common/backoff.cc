#include "common/backoff.h"

#include <algorithm>
#include <cmath>

namespace swarm {

absl::Duration Backoff::Next() {
  // 2^60 times any base is past every cap; further doubling only risks the exponent.
  const absl::Duration grown = options_.base * std::ldexp(1.0, std::min(attempt_, 60));
  if (attempt_ < 1'000'000) ++attempt_;
  const absl::Duration top = std::max(options_.floor, std::min(options_.cap, grown));
  return options_.floor + (top - options_.floor) * random_.Fraction();
}

}  // namespace swarm
