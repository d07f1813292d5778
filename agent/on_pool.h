// OnPool: blocking work on a pool, its answer back on the loop.
//
//   OnPool<absl::Status>(env.loop, env.pool, [path] { return RemoveTree(path); },
//                        [](absl::Status removed) { … });
//
// `done` is called exactly once, later; with Unavailable when the pool has no room. Answer is
// Status or a StatusOr.
#ifndef SWARM_AGENT_ON_POOL_H_
#define SWARM_AGENT_ON_POOL_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "common/event_loop.h"
#include "common/worker_pool.h"

namespace swarm::agent {

template <typename Answer>
void OnPool(EventLoop& loop, WorkerPool& pool, absl::AnyInvocable<Answer()> work,
            absl::AnyInvocable<void(Answer)> done) {
  // Shared, so that it is still ours when the pool refuses the work.
  auto answer = std::make_shared<absl::AnyInvocable<void(Answer)>>(std::move(done));
  const absl::Status taken = pool.Submit([&loop, work = std::move(work), answer]() mutable {
    loop.Post([answer, result = work()]() mutable { (*answer)(std::move(result)); });
  });
  if (taken.ok()) return;
  loop.Post([answer] {
    (*answer)(Answer(absl::UnavailableError("the agent has too much to do: try again")));
  });
}

}  // namespace swarm::agent

#endif  // SWARM_AGENT_ON_POOL_H_
