// SlotKeeper: everything that happens inside one slot: a task that ended is restarted or not, a
// replacement waits for its delay and its predecessor, the slot is changed over to another
// revision, a task moves to another node, history is cut.
//
// A replacement is created with desired READY (it is placed and pulls its image meanwhile) and
// becomes RUNNING once its delay is over and no other task of the slot is alive on a node that is
// not DOWN; when that one does not stop, after kLongestWaitForStop anyway. One that ends while it
// waits (its image is not there) is replaced when its delay is over, and not at once (F16). Times
// are in memory only: after a restart of the manager they are worked out again from the store.
//
// A slot that is changed over has two active tasks, so that nothing is lost when the new one fails:
//   stop-first   the new one is created with desired READY beside the old one, which stops once the
//                new one is READY (its image is there), or at once when there is no room for both
//   start-first  the new one is created with desired RUNNING, and the old one stops once it runs
// A job's finished task stays as it is: desired COMPLETE, until its run is removed.
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
  std::optional<Ended> Keep(Turn& turn, Id service, Slot slot, RevisionJudge& judge);

  // First task of a slot; nothing when the slot is in service already. `wanted_node`: the only one
  // that it may ever go to, or zero.
  void Fill(Turn& turn, Id service, Slot slot, const Ref<Revision>& revision, Id wanted_node = {});
  // Takes the slot out of service.
  void Empty(Turn& turn, Id service, Slot slot);
  // Begins to change the slot over to `revision`; an earlier change that is not done is given up.
  void ChangeOver(Turn& turn, Id service, Slot slot, const Ref<Revision>& revision,
                  bool start_first);
  // What runs goes on, what should have taken its place stops. Nothing when the slot is not being
  // changed over.
  void GiveUpChange(Turn& turn, Id service, Slot slot, std::string_view reason);
  // After a failed change-over: how long to wait before the next; nothing when the restart policy
  // allows no more. Counts as one of its attempts.
  std::optional<absl::Duration> DelayOfRetry(Turn& turn, const Ended& ended);
  // Runs at least this long ago are remembered (Ended::lived).
  void RememberRunsFor(absl::Duration time) { runs_.RememberFor(time); }
  // Replaces `old`, which is active and alive, because of its node. Condition none: only stops it;
  // so it is while the slot is changed over, whose other task takes its place.
  void Move(Turn& turn, const Task& old, Ref<Revision> revision, std::string_view reason);

 private:
  struct Hold {
    absl::Duration not_before;
    absl::Duration not_after;
  };

  // Stops what the slot has and starts `revision` in it after that has stopped.
  void Replace(Turn& turn, const Task& old, Ref<Revision> revision, std::string_view reason);
  std::optional<Ended> KeepChange(Turn& turn, const Ref<Task>& older, const Ref<Task>& newer,
                                  RevisionJudge& judge);
  Ended End(Turn& turn, const Ref<Task>& task);
  Ended Restart(Turn& turn, const Ref<Task>& ended, RevisionJudge& judge);
  // It ended while its slot was to wait, and the slot still is.
  bool EndedBeforeItsTime(const Turn& turn, const Task& ended) const;
  void TryPromote(Turn& turn, const SlotTasks& slot, const Task& waiting);
  void CutHistory(Turn& turn, const SlotTasks& slot);
  void CreateHeld(Turn& turn, Id service, Slot slot, Ref<Revision> revision, Id wanted_node,
                  absl::Duration delay);
  Hold RearmHold(const Turn& turn, const SlotTasks& slot, const Task& waiting) const;

  Alarms& alarms_;
  RecentRuns runs_;
  absl::flat_hash_map<Id, Hold> holds_;  // of tasks with desired READY
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_SLOT_KEEPER_H_
