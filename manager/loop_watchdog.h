// LoopWatchdog: sees when the loop, on which everything is decided, does not come round any more.
//
//   LoopWatchdog watchdog(loop, {}, [](bool well) { health… }, [] { BlackBox::EndLoop(); });
//   watchdog.Start();
//
// It asks the loop for a sign of life once a tick. After kIllAfter ticks without one the manager is
// not serving, and says so; after kDeadAfter it is ended, so that a fresh one may take over (F20: a
// decision that never ends is a crash like another). Ticks are counted, not time: a machine that
// was suspended has missed none.
#ifndef SWARM_MANAGER_LOOP_WATCHDOG_H_
#define SWARM_MANAGER_LOOP_WATCHDOG_H_

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "common/event_loop.h"
#include "common/mutex.h"
#include "common/worker_pool.h"

namespace swarm::manager {

class LoopWatchdog {
 public:
  static constexpr absl::Duration kTick = absl::Seconds(1);
  static constexpr int kIllAfter = 10;
  static constexpr int kDeadAfter = 120;

  // Both are called on the watchdog's thread: `report` when it turns ill and when it is well again,
  // `give_up` once. `loop` outlives it.
  LoopWatchdog(EventLoop& loop, std::function<void(bool well)> report,
               std::function<void()> give_up);
  // Waits for the thread, for at most one call of `report`.
  ~LoopWatchdog();
  LoopWatchdog(const LoopWatchdog&) = delete;
  LoopWatchdog& operator=(const LoopWatchdog&) = delete;

  // Begins to tick, on a thread of its own.
  void Start();
  // One tick; public for tests, which bring their own time.
  void Tick();

 private:
  struct Sign {
    Mutex mu;
    bool answered ABSL_GUARDED_BY(mu) = true;
  };

  bool TakeAnswer();
  void Run();

  EventLoop& loop_;
  const std::function<void(bool)> report_;
  const std::function<void()> give_up_;
  // The loop may answer after the watchdog's end.
  const std::shared_ptr<Sign> sign_ = std::make_shared<Sign>();
  int missed_ = 0;  // ticks in a row; the ticking thread's

  Mutex mu_;
  CondVar stopping_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<WorkerPool> thread_;  // null before Start
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_LOOP_WATCHDOG_H_
