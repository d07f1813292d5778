// WorkerPool: a few threads for blocking kernel, disk and network work. They compute and call the
// world; they decide nothing, and come back to the loop by Post.
//
//   absl::Status s = pool.Submit([=, &loop] { auto r = Slow(); loop.Post([=] { … r … }); });
#ifndef SWARM_COMMON_WORKER_POOL_H_
#define SWARM_COMMON_WORKER_POOL_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/event_loop.h"

namespace swarm {

class WorkerPool {
 public:
  // Waits for what runs; what is queued is destroyed unrun.
  virtual ~WorkerPool() = default;
  // Any thread. ResourceExhausted when the queue is full: the work was not taken.
  virtual absl::Status Submit(Task0 work) = 0;
};

// `name` shows in ps -L (at most 15 characters).
std::unique_ptr<WorkerPool> MakeThreadPool(std::string name, size_t threads, size_t queue_limit);
// Runs the work inside Submit: for tests and simulation.
std::unique_ptr<WorkerPool> MakeInlinePool();

}  // namespace swarm

#endif  // SWARM_COMMON_WORKER_POOL_H_
