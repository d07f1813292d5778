// PendingGroups: the tasks that wait for a node, by service and revision, and which of these groups
// are to be looked at.
//
// A group is dirty when something about it changed: a task came, its revision or what its service
// waits for changed, or room may have come free somewhere. Tasks that were looked at and found no
// node are told from fresh ones, so that a reason is written once and a task that comes to a group
// of many costs itself alone. Pure; one thread.
#ifndef SWARM_MANAGER_SCHEDULER_PENDING_GROUPS_H_
#define SWARM_MANAGER_SCHEDULER_PENDING_GROUPS_H_

#include <compare>
#include <memory>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "common/ids.h"
#include "manager/scheduler/node_books.h"
#include "manager/store/objects.h"

namespace swarm::manager {

struct PendingTask {
  Slot slot;
  Id id;
  friend auto operator<=>(const PendingTask&, const PendingTask&) = default;
};

struct Group {
  // Tasks that may go to any node, all of them with one reason.
  absl::btree_set<PendingTask> fresh;    // the store does not have `reason` for these yet
  absl::btree_set<PendingTask> waiting;  // tried, and the store says why
  std::shared_ptr<const TaskDetail> reason = std::make_shared<TaskDetail>();

  // Tasks that may go to one node only (Task::wanted_node), each with a reason of its own.
  absl::btree_set<PendingTask> pinned_fresh;
  absl::btree_set<PendingTask> pinned_waiting;  // tried, and nothing changed for them since

  bool empty() const {
    return fresh.empty() && waiting.empty() && pinned_fresh.empty() && pinned_waiting.empty();
  }
};

inline bool IsPending(const Task& task) {
  return task.state == TaskState::kPending && IsRunnable(task) && task.node_id.IsZero();
}

class PendingGroups {
 public:
  bool empty() const { return groups_.empty(); }
  // Of tasks, as many as a retry of all groups looks at nodes.
  size_t CountLooks(size_t nodes) const;

  // Makes the group dirty.
  void Add(const GroupKey& key, const Task& task);
  // Unknown ones are fine.
  void Remove(const GroupKey& key, const Task& task);

  // All of its tasks are to be tried again. Unknown groups are fine.
  void Retry(const GroupKey& key);
  void RetryService(Id service);
  void RetryAll();

  bool AnyDirty() const { return !dirty_.empty(); }
  const GroupKey& FirstDirty() const { return *dirty_.begin(); }
  // Null when there is none.
  Group* Find(const GroupKey& key);
  // It was looked at; without tasks it is forgotten.
  void SetClean(const GroupKey& key);

 private:
  using Map = absl::btree_map<GroupKey, Group>;
  void Retry(Map::value_type& entry);

  Map groups_;
  absl::btree_set<GroupKey> dirty_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_PENDING_GROUPS_H_
