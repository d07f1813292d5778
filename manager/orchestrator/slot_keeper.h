// SlotKeeper: everything that happens inside one slot: a task that ended is restarted or not, a
// replacement waits for its delay and its predecessor, a task moves to another node, history is
// cut.
//
// A replacement is created with desired READY (it is placed and pulls its image meanwhile) and
// becomes RUNNING once its delay is over and no other task of the slot is alive on a node that is
// not DOWN; when that one does not stop, after kLongestWaitForStop anyway. Times are in memory
// only: after a restart of the manager they are worked out again from the store.
#ifndef SWARM_MANAGER_ORCHESTRATOR_SLOT_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_SLOT_KEEPER_H_

#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "manager/orchestrator/alarms.h"
#include "manager/orchestrator/recent_runs.h"
#include "manager/orchestrator/restart_policy.h"
#include "manager/orchestrator/revision_rules.h"
#include "manager/orchestrator/slots.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

class SlotKeeper {
 public:
  static constexpr absl::Duration kLongestWaitForStop = absl::Minutes(1);
  static constexpr size_t kDefaultHistory = 5;

  explicit SlotKeeper(Alarms& alarms) : alarms_(alarms) {}

  // A task changed: remembers what later decisions need. Either may be null.
  void OnTask(const Task* before, const Task* after, absl::Duration now);

  // Waiting times are worked out again from the store.
  void ForgetTimes() { holds_.clear(); }

  // What the slot's active task came to, for the rollout: set when it ended and this was dealt
  // with.
  struct Ended {
    Ref<Task> task;
    std::optional<absl::Duration> lived;
  };
  // Makes the slot right. Does nothing to a slot that is not in service but remove what is gone.
  std::optional<Ended> Keep(Turn& turn, Id service, uint32_t slot, RevisionJudge& judge);

  // First task of a slot; nothing when the slot is in service already.
  void Fill(Turn& turn, Id service, uint32_t slot, const Ref<Revision>& revision);
  // Takes the slot out of service.
  void Empty(Turn& turn, Id service, uint32_t slot);
  // Stops what the slot has and starts `revision` in it after that has stopped.
  void Replace(Turn& turn, const Task& old, Ref<Revision> revision, std::string_view reason);
  // Replaces `old`, which is active and alive, because of its node. Condition none: only stops it.
  void Move(Turn& turn, const Task& old, Ref<Revision> revision, std::string_view reason);

 private:
  struct Hold {
    absl::Duration not_before;
    absl::Duration not_after;
  };

  Ended Restart(Turn& turn, const SlotTasks& slot, const Ref<Task>& ended, RevisionJudge& judge);
  void TryPromote(Turn& turn, const SlotTasks& slot, const Task& waiting);
  void CutHistory(Turn& turn, const SlotTasks& slot);
  void CreateHeld(Turn& turn, Id service, uint32_t slot, Ref<Revision> revision,
                  absl::Duration delay);
  Hold RearmHold(const Turn& turn, const SlotTasks& slot, const Task& waiting) const;

  Alarms& alarms_;
  RecentRuns runs_;
  absl::flat_hash_map<Id, Hold> holds_;  // of tasks with desired READY
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_SLOT_KEEPER_H_
