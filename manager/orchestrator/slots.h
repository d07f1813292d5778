// Slots: the tasks of one service by slot number, and which slots go or come when it is scaled.
// Pure.
#ifndef SWARM_MANAGER_ORCHESTRATOR_SLOTS_H_
#define SWARM_MANAGER_ORCHESTRATOR_SLOTS_H_

#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "manager/store/store.h"

namespace swarm::manager {

// Wanted to run now or soon. At most one of a slot, or two of different revisions while it is
// changed over.
inline bool IsActive(const Task& task) { return IsWantedToRun(task); }
inline bool IsRemoved(const Task& task) { return task.desired >= TaskState::kRemove; }
// Nothing more will happen to it; kept to be shown.
inline bool IsHistory(const Task& task) {
  return !IsActive(task) && !IsRemoved(task) && IsTerminal(task.state);
}

// Later in its slot: tasks of one slot are created at increasing times.
bool IsNewer(const Task& a, const Task& b);

// All tasks of one slot, oldest first.
class SlotTasks {
 public:
  SlotTasks(const View& view, Id service, Slot slot);

  const std::vector<Ref<Task>>& tasks() const { return tasks_; }
  // Has a task that is not to be removed.
  bool InService() const;
  // The newest active task, or null.
  Ref<Task> Active() const;
  // The newest active task before that one, or null: what goes on running while the slot is changed
  // over to Active().
  Ref<Task> Predecessor() const;
  // What the slot runs or ran last, of what is not to be removed; null when not in service.
  Ref<Task> Newest() const;
  int64_t NewestCreatedUnixMs() const {
    return tasks_.empty() ? 0 : tasks_.back()->created_unix_ms;
  }

 private:
  std::vector<Ref<Task>> tasks_;
};

// One slot as a look at the whole service finds it.
struct SlotCensus {
  bool in_service = false;
  Ref<Task> active;    // newest active, or null
  Ref<Task> furthest;  // active: running rather than placed rather than neither, or null
  Ref<Task> newest;    // newest in service, or null
  size_t actives = 0;
  size_t history = 0;
  Ref<Task> oldest;  // oldest in service, or null
  bool has_removed_and_gone = false;
};
using Census = absl::btree_map<Slot, SlotCensus>;

void CountTask(const Ref<Task>& task, Census& census);

struct ScalePlan {
  std::vector<Slot> create;  // the lowest free numbers, rising
  std::vector<Slot> remove;
};
// Removes unassigned and finished slots first, then from the node with most slots of the service,
// non-running before running, higher numbers before lower. A slot with two tasks counts by the one
// that is further.
ScalePlan PlanScale(const Census& census, uint64_t replicas);

// Tasks of the slot's history over `limit`, oldest first. The last task that keeps a slot in
// service stays whatever the limit.
std::vector<Ref<Task>> HistoryOverLimit(const SlotTasks& slot, size_t limit);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_SLOTS_H_
