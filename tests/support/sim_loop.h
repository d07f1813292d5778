// SimLoop: an EventLoop of one thread and virtual time, with its own Clock.
//
//   SimLoop loop;  loop.RunUntilIdle();  loop.Advance(absl::Seconds(5));
#ifndef SWARM_TESTS_SUPPORT_SIM_LOOP_H_
#define SWARM_TESTS_SUPPORT_SIM_LOOP_H_

#include <cstdint>
#include <deque>
#include <map>
#include <utility>

#include "common/check.h"
#include "common/clock.h"
#include "common/event_loop.h"

namespace swarm::testing {

// Files cannot be watched. What posts to it must be on its thread.
class SimLoop : public EventLoop, public Clock {
 public:
  void Post(Task0 task) override { queue_.push_back(std::move(task)); }
  bool InLoop() const override { return true; }
  TimerId RunAfter(absl::Duration delay, Task0 task) override {
    if (delay < absl::ZeroDuration()) delay = absl::ZeroDuration();
    timers_.emplace(std::pair(now_ + delay, ++last_timer_), std::move(task));
    return last_timer_;
  }
  bool Cancel(TimerId timer) override {
    for (auto it = timers_.begin(); it != timers_.end(); ++it) {
      if (it->first.second == timer) {
        timers_.erase(it);
        return true;
      }
    }
    return false;
  }
  absl::Duration Now() const override { return now_; }
  WatchId WatchReadable(int fd, Task0) override {
    CHECK(false) << "SimLoop cannot watch fd " << fd;
    return 0;
  }
  void Unwatch(WatchId) override {}

  absl::Time WallNow() const override {
    return absl::FromUnixSeconds(1'700'000'000) + now_ + wall_shift_;
  }
  absl::Duration MonotonicNow() const override { return now_; }

  // Somebody sets the wall clock; monotonic time and timers do not notice.
  void ShiftWallClock(absl::Duration by) { wall_shift_ += by; }

  // Runs what is posted, and what that posts, until nothing is.
  void RunUntilIdle() {
    while (!queue_.empty()) {
      Task0 task = std::move(queue_.front());
      queue_.pop_front();
      task();
    }
  }
  // Moves time, running timers in order and everything they post.
  void Advance(absl::Duration by) {
    RunUntilIdle();
    const absl::Duration end = now_ + by;
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      auto node = timers_.extract(timers_.begin());
      now_ = node.key().first;
      node.mapped()();
      RunUntilIdle();
    }
    now_ = end;
  }

 private:
  absl::Duration now_ = absl::ZeroDuration();
  absl::Duration wall_shift_ = absl::ZeroDuration();
  TimerId last_timer_ = 0;
  std::deque<Task0> queue_;
  std::map<std::pair<absl::Duration, TimerId>, Task0> timers_;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_SIM_LOOP_H_
