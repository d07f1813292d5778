#include "manager/orchestrator/slots.h"

#include <algorithm>
#include <tuple>

#include "absl/container/flat_hash_map.h"

namespace swarm::manager {
namespace {

// On a node and not finished.
bool IsPlaced(const Task& task) { return !task.node_id.IsZero() && !IsTerminal(task.state); }

// What losing the slot would lose: a task that runs, one that is on its way, nothing yet.
int HowFar(const Task& task) {
  if (!IsPlaced(task)) return 0;
  return task.state == TaskState::kRunning ? 2 : 1;
}

struct Candidate {
  Slot slot;
  bool placed;
  bool running;
  Id node;
  uint32_t index_on_node = 0;
};

std::vector<Candidate> Candidates(const Census& census) {
  std::vector<Candidate> all;
  for (const auto& [slot, entry] : census) {
    if (!entry.in_service) continue;
    const Task* task = entry.furthest.get();
    const bool placed = task != nullptr && IsPlaced(*task);
    all.push_back({slot, placed, placed && task->state == TaskState::kRunning,
                   placed ? task->node_id : Id{}});
  }
  return all;
}

std::vector<Slot> ChooseRemoved(std::vector<Candidate> all, size_t count) {
  // The n-th slot of a node goes before any (n-1)-th; the running and the low ones of a node come
  // first.
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(!a.running, a.slot) < std::tuple(!b.running, b.slot);
  });
  absl::flat_hash_map<Id, uint32_t> on_node;
  for (Candidate& candidate : all) candidate.index_on_node = on_node[candidate.node]++;
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    if (a.placed != b.placed) return !a.placed;
    if (a.placed && a.index_on_node != b.index_on_node) return a.index_on_node > b.index_on_node;
    if (a.running != b.running) return !a.running;
    return a.slot > b.slot;
  });
  std::vector<Slot> removed;
  for (size_t i = 0; i < count; ++i) removed.push_back(all[i].slot);
  return removed;
}

}  // namespace

bool IsNewer(const Task& a, const Task& b) {
  return std::tie(a.created_unix_ms, a.id) > std::tie(b.created_unix_ms, b.id);
}

SlotTasks::SlotTasks(const View& view, Id service, Slot slot) {
  view.EachTaskOfSlot(service, slot, [this](const Ref<Task>& task) {
    tasks_.push_back(task);
    return true;
  });
  std::sort(tasks_.begin(), tasks_.end(),
            [](const Ref<Task>& a, const Ref<Task>& b) { return IsNewer(*b, *a); });
}

bool SlotTasks::InService() const { return Newest() != nullptr; }

Ref<Task> SlotTasks::Active() const {
  auto it =
      std::find_if(tasks_.rbegin(), tasks_.rend(), [](const auto& t) { return IsActive(*t); });
  return it == tasks_.rend() ? nullptr : *it;
}

Ref<Task> SlotTasks::Predecessor() const {
  const Ref<Task> active = Active();
  auto it = std::find_if(tasks_.rbegin(), tasks_.rend(),
                         [&](const auto& t) { return t != active && IsActive(*t); });
  return it == tasks_.rend() ? nullptr : *it;
}

Ref<Task> SlotTasks::Newest() const {
  auto it =
      std::find_if(tasks_.rbegin(), tasks_.rend(), [](const auto& t) { return !IsRemoved(*t); });
  return it == tasks_.rend() ? nullptr : *it;
}

void CountTask(const Ref<Task>& task, Census& census) {
  SlotCensus& entry = census[task->slot];
  if (IsRemoved(*task)) {
    entry.has_removed_and_gone |= task->gone;
    return;
  }
  entry.in_service = true;
  if (entry.newest == nullptr || IsNewer(*task, *entry.newest)) entry.newest = task;
  if (entry.oldest == nullptr || IsNewer(*entry.oldest, *task)) entry.oldest = task;
  if (IsHistory(*task)) ++entry.history;
  if (!IsActive(*task)) return;
  ++entry.actives;
  if (entry.active == nullptr || IsNewer(*task, *entry.active)) entry.active = task;
  const int further = entry.furthest == nullptr ? 1 : HowFar(*task) - HowFar(*entry.furthest);
  if (further > 0 || (further == 0 && IsNewer(*task, *entry.furthest))) entry.furthest = task;
}

ScalePlan PlanScale(const Census& census, uint64_t replicas) {
  ScalePlan plan;
  std::vector<Candidate> in_service = Candidates(census);
  if (in_service.size() > replicas) {
    const size_t count = in_service.size() - replicas;
    plan.remove = ChooseRemoved(std::move(in_service), count);
    return plan;
  }
  const size_t missing = replicas - in_service.size();
  auto taken = in_service.begin();
  for (Slot slot = 1; plan.create.size() < missing; ++slot) {
    if (taken != in_service.end() && taken->slot == slot) {
      ++taken;
    } else {
      plan.create.push_back(slot);
    }
  }
  return plan;
}

std::vector<Ref<Task>> HistoryOverLimit(const SlotTasks& slot, size_t limit) {
  std::vector<Ref<Task>> history;
  for (const Ref<Task>& task : slot.tasks()) {
    if (IsHistory(*task)) history.push_back(task);
  }
  if (slot.Active() == nullptr) limit = std::max<size_t>(limit, 1);
  history.resize(history.size() > limit ? history.size() - limit : 0);
  return history;
}

}  // namespace swarm::manager
