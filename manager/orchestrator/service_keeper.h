// ServiceKeeper: brings each service that has something to do a step closer to what it asks for:
// scales, looks after its dirty slots, rolls a new revision out, takes a removed service apart.
//
// Rollout (stop-first, one slot at a time): the old task gets desired SHUTDOWN, the new one waits
// for it with desired READY; the next slot follows once the new task is RUNNING. Slots that do not
// run go first. When a new task fails before, or within kMonitor of, being RUNNING, the update is
// PAUSED with the task and its error in the message; the slot goes on under the restart policy. Not
// paused by then, kMonitor after the last slot the update is COMPLETED. While a revision's image is
// not resolved nothing is stopped for it. A paused update goes on with the next revision.
#ifndef SWARM_MANAGER_ORCHESTRATOR_SERVICE_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_SERVICE_KEEPER_H_

#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "manager/orchestrator/alarms.h"
#include "manager/orchestrator/revision_rules.h"
#include "manager/orchestrator/service_book.h"
#include "manager/orchestrator/slot_keeper.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

class ServiceKeeper {
 public:
  static constexpr absl::Duration kMonitor = absl::Seconds(5);
  // More replicas than this are cut to it, and logged.
  static constexpr uint64_t kMostReplicas = 1'000'000;

  explicit ServiceKeeper(Alarms& alarms) : alarms_(alarms), slots_(alarms) {}

  // ---- what changed (either may be null, not both)
  void OnService(const Ref<Service>& before, const Ref<Service>& after);
  void OnTask(const Ref<Task>& before, const Ref<Task>& after, absl::Duration now);
  void OnRevision(const Ref<Revision>& after);
  void ScanAll();
  // What was decided was not written: decides everything anew from the store.
  void StartOver();
  // Unknown services are ignored.
  void Touch(Id service, uint32_t slot);

  bool HasWork() const { return !dirty_.empty(); }
  // Until nothing is dirty or the turn is exhausted; services take turns.
  void Keep(Turn& turn);
  // `task`, active and alive, must leave its node.
  void MoveAway(Turn& turn, const Task& task, std::string_view reason);

 private:
  void KeepService(Turn& turn, const ServiceView& view);
  void TakeApart(Turn& turn, const ServiceView& view);
  void Scan(Turn& turn, const ServiceView& view, RevisionJudge& judge);
  void PlanRollout(Turn& turn, const ServiceView& view, const Census& census, const ScalePlan& plan,
                   RevisionJudge& judge);
  void KeepSlots(Turn& turn, const ServiceView& view, RevisionJudge& judge);
  void AdvanceRollout(Turn& turn, const ServiceView& view, RevisionJudge& judge);
  bool IsSettled(Turn& turn, const ServiceView& view, uint32_t slot, RevisionJudge& judge) const;
  void PauseIfFailed(Turn& turn, const ServiceView& view, const SlotKeeper::Ended& ended,
                     const RevisionJudge& judge);

  Alarms& alarms_;
  SlotKeeper slots_;
  absl::btree_map<Id, ServiceBook> books_;
  absl::btree_set<Id> dirty_;
  Id last_kept_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_SERVICE_KEEPER_H_
