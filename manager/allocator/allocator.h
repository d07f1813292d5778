// Allocator: gives what networks have to give, and moves every NEW task to PENDING once it has it.
//
//   auto allocator = MakeAllocator(env, store);  allocator->Start();
//
// - A task gets an address in each network of its revision, the ingress network last, before the
//   scheduler may see it. One that finds none stays NEW with the reason in words, "network web has
//   no free address (254 of 254 in use)", and is tried again when one is free. It holds them until
//   it has ended (HoldsAddresses); nobody else gets them for 60 s after that.
// - A service gets a virtual address in each of its networks and a number for each port that it
//   publishes; its tasks wait for that.
// - The ingress network is made when the first service publishes a port in ingress mode and there
//   is none; then each node gets an address in it.
//
// Loop thread only. Watches the store, answers in one bounded Update per loop turn. PENDING is
// soft: after a restart of the manager a task is NEW again and goes the same way. What is in use is
// known from the store; what had been released shortly before a restart is known as far as the
// tasks are still in the history, and else comes last (next-fit).
#ifndef SWARM_MANAGER_ALLOCATOR_ALLOCATOR_H_
#define SWARM_MANAGER_ALLOCATOR_ALLOCATOR_H_

#include <memory>

#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

class Allocator {
 public:
  // Tasks moved by one Update, and as many nodes and services at most; the rest go in the next
  // turns.
  static constexpr size_t kTasksPerUpdate = 5'000;
  // Between two looks at what waits for an address.
  static constexpr absl::Duration kRetryPeriod = absl::Seconds(1);

  virtual ~Allocator() = default;
  // Once, after the store is loaded: takes up every NEW task there is, then follows changes.
  virtual void Start() = 0;
};

// `env` and `store` outlive it.
std::unique_ptr<Allocator> MakeAllocator(const Env& env, Store& store);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ALLOCATOR_ALLOCATOR_H_
