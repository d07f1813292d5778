// Scheduler: gives every PENDING task a node, or says in words why there is none.
//
//   auto scheduler = MakeScheduler(env, store);  scheduler->Start();
//
// Tasks of one service and revision are one group: the nodes are filtered once per group and pass,
// and put into heaps by the branches of the placement preferences (group_placer.h has the order);
// each task takes the best. Tasks of global services are asked about their own node only. A group
// that does not fit waits with its reason (TaskDetail::error) and is tried again when a node
// changes, a task ends somewhere, its revision changes or what its service waits for; all of that
// is gathered into one pass per loop turn. What a node reports of its usage is looked at when
// something is placed, and wakes nobody. Reasons and PENDING are soft; assignments, and the generic
// resources that are given with them (TaskExtras::generic), are durable.
//
// Loop thread only. Watches the store and changes only the store.
#ifndef SWARM_MANAGER_SCHEDULER_SCHEDULER_H_
#define SWARM_MANAGER_SCHEDULER_SCHEDULER_H_

#include <memory>

#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

class Scheduler {
 public:
  // Tasks written by one Update; the rest go in the next turns.
  static constexpr size_t kTasksPerUpdate = 5'000;

  virtual ~Scheduler() = default;
  // Once, after the store is loaded.
  virtual void Start() = 0;
};

// `env` and `store` outlive it.
std::unique_ptr<Scheduler> MakeScheduler(const Env& env, Store& store);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_SCHEDULER_H_
