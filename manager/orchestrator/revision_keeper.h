// RevisionKeeper: counts the tasks of each revision and deletes old revisions that nothing points
// at, but for the newest kKept of each service (to roll back to). Loop thread only.
#ifndef SWARM_MANAGER_ORCHESTRATOR_REVISION_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_REVISION_KEEPER_H_

#include <cstdint>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

class RevisionKeeper {
 public:
  static constexpr size_t kKept = 5;

  // Either may be null.
  void OnTask(const Ref<Task>& before, const Ref<Task>& after);
  void Check(Id service) { to_check_.insert(service); }
  void CheckAll(const View& view);
  bool HasWork() const { return !to_check_.empty(); }
  // First thing in a turn, when every change of the store was told: the counts must be true.
  void Collect(Turn& turn);

 private:
  Id RevisionOf(const Task& task);

  absl::flat_hash_map<Id, uint64_t> tasks_;
  absl::btree_set<Id> to_check_;
  Ref<Revision> last_;  // tasks come many of one revision in a row
  Id last_id_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_REVISION_KEEPER_H_
