// Orchestrator: makes the tasks be what services ask for.
//
//   auto orchestrator = MakeOrchestrator(env, store);  orchestrator->Start();
//
// It keeps one runnable task in each slot of a replicated service, scales, replaces slots one at a
// time when the revision changes, restarts what ended as the restart policy says, moves tasks off
// nodes that are drained, DOWN or no longer fit, takes removed services apart and keeps history
// short.
//
// What it knows stands in the store; in memory are only timers and what is to be looked at next. So
// Start() after a crash goes on where the store says: half-done updates resume, delays are armed
// again. A slot belongs to its service while it has a task whose desired state is not REMOVE; at
// most one task of a slot has desired READY or RUNNING.
//
// Loop thread only. Watches the store, changes only the store: one Update per loop turn with at
// most about kTasksPerUpdate tasks in it; a change costs the slots that it touches, a changed
// service spec costs one look at the service's tasks.
#ifndef SWARM_MANAGER_ORCHESTRATOR_ORCHESTRATOR_H_
#define SWARM_MANAGER_ORCHESTRATOR_ORCHESTRATOR_H_

#include <memory>

#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

class Orchestrator {
 public:
  static constexpr size_t kTasksPerUpdate = 5'000;

  virtual ~Orchestrator() = default;
  // Once, after the store is loaded.
  virtual void Start() = 0;
};

// `env` and `store` outlive it.
std::unique_ptr<Orchestrator> MakeOrchestrator(const Env& env, Store& store);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_ORCHESTRATOR_H_
