// JobKeeper: the tasks of jobs. Which runs there are is said by manager/orchestrator/job_runs.h;
// this fills their slots, counts them and says how each run is doing.
//
//   replicated   slots 1 to total completions, so many at once as max_concurrent says; a slot that
//                is being restarted keeps its place among those
//   global       a slot for each node that the run's constraints and platforms allow, once it is
//                READY and active, for as long as it fits; its task may go to that node alone. Of a
//                run that is over a node that comes later still gets one
//
// The SlotKeeper restarts slots as the restart policy of the run's revision says, attempts counted
// by slot. A slot whose task is COMPLETE is done whatever else was to run in it: what was moved off
// a node that came back may have finished there. A run is over when each slot is COMPLETE or dead:
// COMPLETE when all are, else FAILED. Finished tasks stay (desired COMPLETE) until their run is
// forgotten, is STOPPED, or, without a schedule, is followed by another; then they are removed,
// with what the restart policy counted.
//
// A change of max_concurrent counts at once. So does one of total_completions for a job without a
// schedule (what has begun is finished); with one it counts from the next run on.
//
// Durable: the runs, with their counts as of the last turn. In memory: the slots in flight, found
// again by one look at the service's tasks. An event costs its slot and one write of the service
// in its turn. A cron job is looked at when its next run is due by the wall clock, and every
// kLongestNap at least, so that a clock that jumps is seen. Loop thread only.
#ifndef SWARM_MANAGER_ORCHESTRATOR_JOB_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_JOB_KEEPER_H_

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "manager/orchestrator/alarms.h"
#include "manager/orchestrator/job_book.h"
#include "manager/orchestrator/service_book.h"
#include "manager/orchestrator/slot_keeper.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

class JobKeeper {
 public:
  static constexpr absl::Duration kLongestNap = absl::Seconds(30);

  JobKeeper(Alarms& alarms, SlotKeeper& slots) : alarms_(alarms), slots_(slots) {}

  // The specs ask the same of this room.
  static bool AsksTheSame(const v1::ServiceSpec& a, const v1::ServiceSpec& b);

  // A step further, from what the view's book says is dirty: slots, nodes, or all of it. True: not
  // done when the turn was exhausted.
  bool Keep(Turn& turn, const ServiceView& view);
  // The service is no more.
  void Forget(Id service) { books_.erase(service); }

 private:
  struct Pass;

  // Rebuilds the book. False when the turn was exhausted; it is to be done again.
  bool Scan(Pass& pass);
  void KeepSlots(Pass& pass);
  void KeepSlot(Pass& pass, Slot slot);
  void BeginRuns(Pass& pass);
  void SetAlarm(Pass& pass);
  void FollowRecord(Pass& pass);
  void KeepNodes(Pass& pass);
  void KeepNode(Pass& pass, uint32_t number, RunBook& run, Id node);
  void RemoveLeaving(Pass& pass);
  void FillSlots(Pass& pass);
  void Conclude(Pass& pass);

  Alarms& alarms_;
  SlotKeeper& slots_;
  absl::btree_map<Id, JobBook> books_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_JOB_KEEPER_H_
