// Pass: one transaction's worth of scheduling: takes group after group and writes, for each of its
// tasks, a node or the reason why there is none.
//
//   Pass pass(env, tx, books, budget, behind);
//   while (more && pass.Schedule(key, group)) …   // false: the budget ended first
//
// Order of the questions: what the service waits for (its dependencies), the revision, its image,
// then nodes. Tasks that may go to one node only are asked about it alone. Assignments are durable
// and are on the books at once; reasons are soft. When the transaction fails the books have what
// never happened: read them again. Loop thread only; lives within one Update.
#ifndef SWARM_MANAGER_SCHEDULER_PASS_H_
#define SWARM_MANAGER_SCHEDULER_PASS_H_

#include <memory>
#include <string>

#include "manager/env.h"
#include "manager/scheduler/node_books.h"
#include "manager/scheduler/node_filters.h"
#include "manager/scheduler/pending_groups.h"
#include "manager/scheduler/volume_homes.h"
#include "manager/store/store.h"

namespace swarm::manager {

class Pass {
 public:
  // `books` have the nodes as `tx` has them; `behind`: but not yet all of what ended on them. At
  // most `budget` tasks are written.
  Pass(const Env& env, WriteTx& tx, NodeBooks& books, size_t budget, bool behind)
      : env_(env), tx_(tx), books_(books), budget_(budget), behind_(behind) {}

  // True when the whole group was looked at; false when the budget ended first.
  bool Schedule(const GroupKey& key, Group& group);
  size_t budget() const { return budget_; }
  // Groups are to be tried again when the books are up to date.
  bool deferred() const { return deferred_; }

 private:
  // As Schedule, all of these.
  bool PlacePinned(const GroupDemand& demand, const Ref<Revision>& revision, Group& group);
  bool PlaceFloating(const GroupDemand& demand, const Ref<Revision>& revision, Group& group);
  // Those tasks that there are data for somewhere; the others stay in the group. Those that wait
  // for the node of their data, or for room on it, are moved to `awaiting`.
  bool PlaceByVolumes(const GroupDemand& demand, const Ref<Revision>& revision, Group& group,
                      absl::btree_set<PendingTask>& awaiting);
  bool ExplainAll(Group& group, const std::string& why);
  bool ExplainFloating(Group& group, const std::string& why);
  bool ExplainEach(absl::btree_set<PendingTask>& fresh, absl::btree_set<PendingTask>& waiting,
                   const std::shared_ptr<const TaskDetail>& reason);

  // Null when it does not wait for a node any more.
  Ref<Task> StillPending(const PendingTask& pending) const;
  // What the task holds on `node` from now on.
  Reservation Assign(const Task& pending, const GroupDemand& demand, const Ref<Revision>& revision,
                     const NodeInfo& node);
  void ExplainHome(const Task& pending, const VolumeHomes::Home& home);
  void Explain(const Task& pending, std::shared_ptr<const TaskDetail> reason);

  const Env& env_;
  WriteTx& tx_;
  NodeBooks& books_;
  size_t budget_;
  const bool behind_;
  bool deferred_ = false;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_PASS_H_
