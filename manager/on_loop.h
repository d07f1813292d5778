// A thread that waits for the loop: for starting and stopping, never for serving.
//
//   absl::Status s = RunOnLoop(loop, [&] { return rooms->Open(); });
#ifndef SWARM_MANAGER_ON_LOOP_H_
#define SWARM_MANAGER_ON_LOOP_H_

#include <memory>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/event_loop.h"
#include "common/mutex.h"

namespace swarm::manager {

// A value that one thread sets and another waits for.
template <typename T>
class Awaited {
 public:
  void Set(T value) {
    MutexLock lock(mu_);
    value_ = std::move(value);
    set_.NotifyAll();
  }
  T Wait() {
    MutexLock lock(mu_);
    while (!value_.has_value()) set_.Wait(mu_);
    return *std::move(value_);
  }

 private:
  Mutex mu_;
  CondVar set_;
  std::optional<T> value_ ABSL_GUARDED_BY(mu_);
};

// Runs `work` on the loop, which another thread runs, and returns what it returns.
template <typename Work>
auto RunOnLoop(EventLoop& loop, Work work) {
  CHECK(!loop.InLoop()) << "the loop would wait for itself";
  auto result = std::make_shared<Awaited<decltype(work())>>();
  loop.Post([result, &work] { result->Set(work()); });
  return result->Wait();
}

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ON_LOOP_H_
