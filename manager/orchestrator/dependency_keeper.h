// DependencyKeeper: the first tasks of a service wait for the services that it depends on. Writes
// ServiceRecord.waiting_for, "service db to be healthy", which the scheduler shows on its PENDING
// tasks ("waiting for …") and obeys; once everything is met it is cleared for good: what fails
// later stops nobody.
//
//   started    a task of it is STARTING or RUNNING, or has been COMPLETE
//   healthy    as many of its tasks are RUNNING as it wants (RUNNING means healthy), at least one
//   completed  its newest run is COMPLETE; of a service that is no job, a task is and none is
//   active
//
// A change costs a count of the tasks of the services that somebody waits for. Loop thread only.
#ifndef SWARM_MANAGER_ORCHESTRATOR_DEPENDENCY_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_DEPENDENCY_KEEPER_H_

#include <string>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

class DependencyKeeper {
 public:
  // Either may be null, not both.
  void OnService(const Ref<Service>& before, const Ref<Service>& after);
  void OnTask(const Ref<Task>& before, const Ref<Task>& after);
  bool HasWork() const { return !to_check_.empty(); }
  void Check(Turn& turn);
  // What was decided was not written.
  void StartOver();

 private:
  void WakeWaitersOf(const std::string& name);

  absl::btree_map<std::string, absl::btree_set<Id>> waiters_;  // by the name that they wait for
  absl::btree_set<Id> to_check_;
};

// The first dependency of `service` that is not met, in words; empty when all are.
std::string UnmetDependency(const Env& env, const View& view, const v1::ServiceSpec& service);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_DEPENDENCY_KEEPER_H_
