// ServiceKeeper: brings each service that has something to do a step closer to what it asks for:
// scales replicated ones, follows the nodes with global ones, looks after dirty slots, lets the
// RolloutKeeper change them over, takes a removed service apart.
//
// A global service has a slot for each node that its constraints and platforms allow and that is
// not drained; its tasks may go to that node alone. A node that stops fitting loses its slot; one
// that is paused, UNKNOWN or DOWN keeps what it has, and gets a slot once it is READY and active.
#ifndef SWARM_MANAGER_ORCHESTRATOR_SERVICE_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_SERVICE_KEEPER_H_

#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "manager/orchestrator/alarms.h"
#include "manager/orchestrator/job_keeper.h"
#include "manager/orchestrator/revision_rules.h"
#include "manager/orchestrator/rollout_keeper.h"
#include "manager/orchestrator/service_book.h"
#include "manager/orchestrator/slot_keeper.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

class ServiceKeeper {
 public:
  // More replicas than this are cut to it, and logged.
  static constexpr uint64_t kMostReplicas = 1'000'000;

  explicit ServiceKeeper(Alarms& alarms)
      : slots_(alarms), rollouts_(alarms, slots_), jobs_(alarms, slots_) {}

  // ---- what changed (either may be null, not both)
  void OnService(const Ref<Service>& before, const Ref<Service>& after);
  void OnTask(const Ref<Task>& before, const Ref<Task>& after, absl::Duration now);
  void OnRevision(const Ref<Revision>& after);
  // Something about a node that decides where tasks may be.
  void OnNode(Id node);
  void ScanAll();
  // What was decided was not written: decides everything anew from the store.
  void StartOver();
  // Unknown services are ignored.
  void Touch(Id service, Slot slot);

  bool HasWork() const { return !dirty_.empty(); }
  // Until nothing is dirty or the turn is exhausted; services take turns.
  void Keep(Turn& turn);
  // `task`, active and alive, must leave its node.
  void MoveAway(Turn& turn, const Task& task, std::string_view reason);
  // A second task of the slot is placed by the scheduler; the first stops once that runs. False
  // when the slot is being changed over already.
  bool MoveStartFirst(Turn& turn, const Task& task);
  void GiveUpMove(Turn& turn, Id service, Slot slot);

 private:
  void KeepService(Turn& turn, const ServiceView& view);
  void TakeApart(Turn& turn, const ServiceView& view);
  void Scan(Turn& turn, const ServiceView& view, RevisionJudge& judge);
  void ScanGlobal(Turn& turn, const ServiceView& view, const Census& census);
  void GiveUpLostMoves(Turn& turn, const ServiceView& view, const Census& census);
  // `scanned`: the whole service was looked at just before.
  void KeepNodes(Turn& turn, const ServiceView& view, RevisionJudge& judge, bool scanned);
  static bool IsLeftBehind(const Turn& turn, const ServiceView& view, Slot slot,
                           RevisionJudge& judge);
  void KeepSlots(Turn& turn, const ServiceView& view, RevisionJudge& judge);

  SlotKeeper slots_;
  RolloutKeeper rollouts_;
  JobKeeper jobs_;
  absl::btree_map<Id, ServiceBook> books_;
  absl::btree_set<Id> globals_;  // services that follow the nodes
  absl::btree_set<Id> dirty_;
  Id last_kept_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_SERVICE_KEEPER_H_
