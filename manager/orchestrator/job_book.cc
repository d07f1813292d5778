#include "manager/orchestrator/job_book.h"

namespace swarm::manager {

void SlotSummary::Add(const Task& task) {
  if (IsRemoved(task)) {
    unsettled_ |= task.gone;
    return;
  }
  in_service_ = true;
  if (task.state == TaskState::kComplete) {
    complete_ = true;
  } else if (IsActive(task)) {
    ++active_;
    unsettled_ |= IsTerminal(task.state) || task.desired == TaskState::kReady;
  } else if (IsHistory(task)) {
    ++history_;
  }
}

SlotFate SlotSummary::fate() const {
  if (complete_) return SlotFate::kComplete;
  if (active_ > 0) return SlotFate::kInFlight;
  return in_service_ ? SlotFate::kDead : SlotFate::kFree;
}

bool SlotSummary::NeedsCare(size_t history_limit) const {
  return unsettled_ || active_ > (complete_ ? 0 : 1) || history_ > history_limit;
}

SlotFate FateOf(const SlotTasks& tasks) {
  SlotSummary summary;
  for (const Ref<Task>& task : tasks.tasks()) summary.Add(*task);
  return summary.fate();
}

absl::btree_set<uint32_t>* RunBook::SetOf(SlotFate fate) {
  switch (fate) {
    case SlotFate::kFree:
      return &free_;
    case SlotFate::kInFlight:
      return &in_flight_;
    case SlotFate::kDead:
      return &dead_;
    case SlotFate::kComplete:
      break;
  }
  return nullptr;
}

SlotFate RunBook::At(uint32_t number) const {
  if (number > last_ || free_.contains(number)) return SlotFate::kFree;
  if (in_flight_.contains(number)) return SlotFate::kInFlight;
  return dead_.contains(number) ? SlotFate::kDead : SlotFate::kComplete;
}

void RunBook::Set(uint32_t number, SlotFate fate) {
  const SlotFate before = At(number);
  if (before == fate) return;
  for (; last_ < number; ++last_) free_.insert(last_ + 1);
  if (auto* set = SetOf(before); set != nullptr) set->erase(number);
  if (auto* set = SetOf(fate); set != nullptr) set->insert(number);
  if (before == SlotFate::kComplete) --complete_;
  if (fate == SlotFate::kComplete) ++complete_;
}

uint32_t RunBook::NextFree(uint64_t total) const {
  const uint32_t next = free_.empty() ? last_ + 1 : *free_.begin();
  return next <= total ? next : 0;
}

}  // namespace swarm::manager
