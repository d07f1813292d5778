// EventLoop: the one thread of a process that decides.
//
//   loop.Post([this] { … });                        // from any thread
//   TimerId t = loop.RunAfter(absl::Seconds(5), [this] { … });
//   loop.Cancel(t);
//
// Callbacks run one at a time, in the order posted; a timer never early. Implementations: AsioLoop
// (production), SimLoop (virtual time, in tests/support).
#ifndef SWARM_COMMON_EVENT_LOOP_H_
#define SWARM_COMMON_EVENT_LOOP_H_

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace swarm {

using Task0 = absl::AnyInvocable<void()>;
using TimerId = uint64_t;  // 0 is no timer
using WatchId = uint64_t;  // 0 is no watch

class EventLoop {
 public:
  virtual ~EventLoop() = default;

  // Any thread. What is posted after the loop has stopped is destroyed without being run.
  virtual void Post(Task0 task) = 0;

  // True on the loop's thread while it runs a callback; rooms say DCHECK(loop.InLoop()) at the
  // door.
  virtual bool InLoop() const = 0;

  // The rest: loop thread only.
  virtual TimerId RunAfter(absl::Duration delay, Task0 task) = 0;
  // False when it already ran or never was. Cancelling TimerId 0 does nothing.
  virtual bool Cancel(TimerId timer) = 0;
  // Monotonic time, the same that timers count.
  virtual absl::Duration Now() const = 0;
  // Runs `ready` once when `fd` becomes readable (a pidfd: when its process ended). The caller
  // keeps owning the fd and keeps it open until then or until Unwatch. A loop without files CHECKs.
  virtual WatchId WatchReadable(int fd, Task0 ready) = 0;
  virtual void Unwatch(WatchId watch) = 0;
};

// A loop that a thread runs: Run() until Stop().
class RunnableLoop : public EventLoop {
 public:
  // Runs on the calling thread until Stop; returns once. Callbacks still queued then are destroyed.
  virtual void Run() = 0;
  // Any thread, and safe before Run.
  virtual void Stop() = 0;
  // SIGTERM or SIGINT (blocked for the process by this call, before other threads are made) run
  // `task`.
  virtual void OnTerminationSignal(Task0 task) = 0;
};

// Boost.Asio's epoll reactor.
std::unique_ptr<RunnableLoop> MakeAsioLoop();

}  // namespace swarm

#endif  // SWARM_COMMON_EVENT_LOOP_H_
