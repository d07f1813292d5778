// ByteBudget: bytes that many bounded queues may hold together, so that a thousand slow readers of
// 8 MiB each do not add up. Any thread.
#ifndef SWARM_MANAGER_API_BYTE_BUDGET_H_
#define SWARM_MANAGER_API_BYTE_BUDGET_H_

#include <cstddef>

#include "common/check.h"
#include "common/mutex.h"

namespace swarm::manager {

class ByteBudget {
 public:
  explicit ByteBudget(size_t most) : most_(most) {}

  // False, and nothing is taken, when less is left.
  bool Take(size_t bytes) {
    MutexLock lock(mu_);
    if (bytes > most_ || taken_ > most_ - bytes) return false;
    taken_ += bytes;
    return true;
  }
  // Takes what must be taken, also beyond the end.
  void Overdraw(size_t bytes) {
    MutexLock lock(mu_);
    taken_ += bytes;
  }
  void Give(size_t bytes) {
    MutexLock lock(mu_);
    CHECK(bytes <= taken_) << bytes << " given back of " << taken_;
    taken_ -= bytes;
  }
  size_t taken() const {
    MutexLock lock(mu_);
    return taken_;
  }

 private:
  const size_t most_;
  mutable Mutex mu_;
  size_t taken_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_BYTE_BUDGET_H_
