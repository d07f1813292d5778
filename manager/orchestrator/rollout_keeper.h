// RolloutKeeper: changes the slots of a service over to its revision, as its update rules say
// (manager/service_rules.h): so many at a time, each followed by the delay, stop-first or
// start-first. Slots that do not run go first.
//
// What counts as a failure: a new task that fails, is rejected or ends early, before or within
// `monitor` of being RUNNING, and one that is not RUNNING after the progress deadline. When the
// failed share of the slots passes max_failure_ratio:
//   pause      PAUSED with the reason; changes that are not done are given up, what runs goes on
//   rollback   the service gets its spec and revision of before the update, with the rollback's
//   rules;
//              a rollback that fails is paused and never rolled back again
//   continue   goes on; a failed slot is changed over again as the restart policy allows, one whose
//              late task loses its node at once
// Not paused by then, `monitor` after the last slot the update is COMPLETED. While a revision's
// image is not resolved nothing is stopped for it. A paused update goes on with the next revision,
// or when an update that changes nothing clears its state.
//
// Counts are durable (ServiceRecord.rollout), the rest is found again by a look at the service. A
// slot costs one look when it begins and one for each change of its tasks. Loop thread only.
#ifndef SWARM_MANAGER_ORCHESTRATOR_ROLLOUT_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_ROLLOUT_KEEPER_H_

#include <string>

#include "manager/orchestrator/alarms.h"
#include "manager/orchestrator/revision_rules.h"
#include "manager/orchestrator/service_book.h"
#include "manager/orchestrator/slot_keeper.h"
#include "manager/orchestrator/turn.h"
#include "manager/service_rules.h"

namespace swarm::manager {

class RolloutKeeper {
 public:
  RolloutKeeper(Alarms& alarms, SlotKeeper& slots) : alarms_(alarms), slots_(slots) {}

  // After a look at the whole service: what is still to be changed over. `leaving`: slots that go.
  void Plan(Turn& turn, const ServiceView& view, const Census& census,
            const std::vector<Slot>& leaving, RevisionJudge& judge);
  // A step further, when the book has a rollout.
  void Advance(Turn& turn, const ServiceView& view, RevisionJudge& judge);
  // A slot's task ended and that was dealt with.
  void OnEnded(Turn& turn, const ServiceView& view, const SlotKeeper::Ended& ended,
               RevisionJudge& judge);

 private:
  static Rollout CarriedOver(const Turn& turn, const ServiceView& view, const Census& census,
                             const absl::btree_set<Slot>& gone, RevisionJudge& judge);
  void LookAtFlights(Turn& turn, const ServiceView& view, const UpdateRules& rules,
                     RevisionJudge& judge);
  void LookAt(Turn& turn, const ServiceView& view, Slot slot, const UpdateRules& rules,
              RevisionJudge& judge);
  // False when no slot can be begun just now.
  bool BeginNext(Turn& turn, const ServiceView& view, const UpdateRules& rules,
                 RevisionJudge& judge);
  void TakeUpAgain(const ServiceView& view, absl::Duration now);
  void Fail(Turn& turn, const ServiceView& view, const std::string& why);
  void Pause(Turn& turn, const ServiceView& view, const Service& service, const std::string& why);
  void Complete(Turn& turn, const ServiceView& view);
  void Say(Turn& turn, const ServiceView& view, const std::string& message);

  Alarms& alarms_;
  SlotKeeper& slots_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_ROLLOUT_KEEPER_H_
