// Allocator: moves every NEW task to PENDING once it has what the network gives it. Only the host's
// network exists now, so there is nothing to give; addresses and published ports are handed out
// here later, before the scheduler may see the task.
//
//   auto allocator = MakeAllocator(env, store);  allocator->Start();
//
// Loop thread only. Watches the store, answers in one bounded Update per loop turn. PENDING is
// soft: after a restart of the manager a task is NEW again and goes the same way.
#ifndef SWARM_MANAGER_ALLOCATOR_ALLOCATOR_H_
#define SWARM_MANAGER_ALLOCATOR_ALLOCATOR_H_

#include <memory>

#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

class Allocator {
 public:
  // Tasks moved by one Update; the rest go in the next turns.
  static constexpr size_t kTasksPerUpdate = 5'000;

  virtual ~Allocator() = default;
  // Once, after the store is loaded: takes up every NEW task there is, then follows changes.
  virtual void Start() = 0;
};

// `env` and `store` outlive it.
std::unique_ptr<Allocator> MakeAllocator(const Env& env, Store& store);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ALLOCATOR_ALLOCATOR_H_
