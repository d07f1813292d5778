// Alarms: one loop timer for any number of "look at this slot again then". Loop thread only.
#ifndef SWARM_MANAGER_ORCHESTRATOR_ALARMS_H_
#define SWARM_MANAGER_ORCHESTRATOR_ALARMS_H_

#include <functional>
#include <tuple>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "common/event_loop.h"
#include "common/ids.h"
#include "manager/store/objects.h"

namespace swarm::manager {

class Alarms {
 public:
  // Slots begin with 1: this one means the service as a whole.
  static constexpr Slot kWholeService = 0;
  using Ring = std::function<void(Id service, Slot slot)>;

  Alarms(EventLoop& loop, Ring ring) : loop_(loop), ring_(std::move(ring)) {}
  ~Alarms() { loop_.Cancel(timer_); }
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

  // Rings once, not before `at` (monotonic), however often it was set. Ringing for something that
  // is not there any more is harmless, so nothing is ever cancelled.
  void Set(absl::Duration at, Id service, Slot slot) {
    set_.emplace(at, service, slot);
    Arm();
  }

 private:
  void Arm() {
    if (set_.empty()) return;
    const absl::Duration first = std::get<0>(*set_.begin());
    if (timer_ != 0 && armed_for_ <= first) return;
    loop_.Cancel(timer_);
    armed_for_ = first;
    timer_ = loop_.RunAfter(first - loop_.Now(), [this] { RingDue(); });
  }

  void RingDue() {
    timer_ = 0;
    while (!set_.empty() && std::get<0>(*set_.begin()) <= loop_.Now()) {
      const auto [at, service, slot] = *set_.begin();
      set_.erase(set_.begin());
      ring_(service, slot);
    }
    Arm();
  }

  EventLoop& loop_;
  const Ring ring_;
  absl::btree_set<std::tuple<absl::Duration, Id, Slot>> set_;
  TimerId timer_ = 0;
  absl::Duration armed_for_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_ALARMS_H_
