#include "cli/progress.h"

#include <algorithm>
#include <tuple>

#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using TaskState = v1::TaskStatus;

bool IsPaused(const v1::Service& service) {
  const auto state = service.update_status().state();
  return state == v1::UpdateStatus::STATE_PAUSED ||
         state == v1::UpdateStatus::STATE_ROLLBACK_PAUSED;
}

bool IsComplete(const v1::Task& task) { return task.status().state() == TaskState::STATE_COMPLETE; }

// By itself: one that was told to stop is SHUTDOWN. A replicated service is to stay up, so that an
// exit with 0 is an end like any other.
bool HasEnded(const v1::Task& task) {
  return IsComplete(task) || task.status().state() == TaskState::STATE_FAILED ||
         task.status().state() == TaskState::STATE_REJECTED;
}

bool Newer(const v1::Task& a, const v1::Task& b) {
  const auto key = [](const v1::Task& t) {
    return std::make_tuple(ToTime(t.meta().created_at()), t.meta().version(), t.id());
  };
  return key(a) > key(b);
}

// 0 to 9, as Docker numbers the states before running.
int Step(TaskState::State state) {
  constexpr TaskState::State kSteps[] = {TaskState::STATE_NEW,       TaskState::STATE_PENDING,
                                         TaskState::STATE_ASSIGNED,  TaskState::STATE_ACCEPTED,
                                         TaskState::STATE_PREPARING, TaskState::STATE_READY,
                                         TaskState::STATE_STARTING,  TaskState::STATE_RUNNING};
  int step = 1;
  for (TaskState::State known : kSteps) {
    if (state == known) return step;
    ++step;
  }
  return 0;
}

std::string Bar(int step, int steps) {
  constexpr int kWidth = 50;
  const int filled = step * kWidth / steps;
  return StrCat("[", std::string(static_cast<size_t>(filled), '='), ">",
                std::string(static_cast<size_t>(kWidth - filled), ' '), "]");
}

}  // namespace

ServiceProgress::ServiceProgress(const v1::Service& accepted)
    : id_(accepted.id()),
      name_(accepted.spec().name()),
      // Tasks know their birth to the millisecond.
      accepted_at_(ToTime(accepted.meta().updated_at()) - absl::Milliseconds(1)),
      paused_before_(IsPaused(accepted)),
      service_(accepted) {}

void ServiceProgress::Reset(const v1::Service& service, const std::vector<v1::Task>& tasks) {
  service_ = service;
  tasks_.clear();
  for (const v1::Task& task : tasks) tasks_[task.id()] = task;
}

void ServiceProgress::Apply(const v1::WatchEvent& event) {
  const bool removal = event.action() == v1::WatchEvent::ACTION_REMOVE;
  if (event.has_service() && event.service().id() == id_) {
    if (removal) {
      removed_ = true;
    } else if (event.service().meta().version() >= service_.meta().version()) {
      service_ = event.service();
    }
  } else if (event.has_task() && event.task().service_id() == id_) {
    if (removal) {
      // A cluster that keeps no history forgets ends faster than they add up; here they stay.
      if (!Counts(event.task())) tasks_.erase(event.task().id());
    } else {
      tasks_[event.task().id()] = event.task();
    }
  }
}

bool ServiceProgress::IsWanted(const v1::Task& task) const {
  return task.desired_state() <= TaskState::STATE_RUNNING && !IsTerminal(task.status().state());
}

bool ServiceProgress::Counts(const v1::Task& task) const {
  return HasEnded(task) && task.revision_id() == service_.revision_id() &&
         ToTime(task.meta().created_at()) >= accepted_at_;
}

bool ServiceProgress::UpdateIsDone() const {
  const auto state = service_.update_status().state();
  return (paused_before_ && IsPaused(service_)) || state == v1::UpdateStatus::STATE_UNSPECIFIED ||
         state == v1::UpdateStatus::STATE_COMPLETED ||
         state == v1::UpdateStatus::STATE_ROLLBACK_COMPLETED;
}

std::map<uint64_t, ServiceProgress::Slot> ServiceProgress::Slots() const {
  std::map<uint64_t, Slot> slots;
  for (uint64_t i = 1; i <= service_.spec().replicated().replicas(); ++i) slots[i];
  for (const auto& [id, task] : tasks_) {
    Slot& slot = slots[task.slot()];
    const bool wanted = IsWanted(task);
    // A running task before its pre-staged replacement, a wanted one before an ended one.
    const auto rank = [&](const v1::Task& t) {
      return std::make_tuple(IsWanted(t), t.desired_state() == TaskState::STATE_RUNNING);
    };
    if (slot.current == nullptr || rank(task) > rank(*slot.current) ||
        (rank(task) == rank(*slot.current) && Newer(task, *slot.current))) {
      slot.current = &task;
      slot.wanted = wanted;
    }
    if (!Counts(task)) continue;
    ++slot.ends;
    if (slot.last_ended == nullptr || Newer(task, *slot.last_ended)) slot.last_ended = &task;
  }
  for (auto& [number, slot] : slots) {
    if (slot.current == nullptr) continue;
    // A change of constraints alone leaves tasks of the revision before; then the update says so.
    const bool revision = slot.current->revision_id() == service_.revision_id() || UpdateIsDone();
    slot.good = slot.wanted && revision &&
                slot.current->desired_state() == TaskState::STATE_RUNNING &&
                slot.current->status().state() == TaskState::STATE_RUNNING;
  }
  return slots;
}

std::string ServiceProgress::Explain(uint64_t slot, const v1::Task& task) const {
  std::string why = TaskError(task);
  if (why.empty()) why = StrCat("the task has ended (", StateKey(task.status().state()), ")");
  return StrCat(name_, ".", slot, ": ", why);
}

ServiceProgress::Verdict ServiceProgress::JudgeSlot(uint64_t number, const Slot& slot,
                                                    absl::Duration now) {
  Verdict verdict;
  if (slot.good) {
    verdict.state = State::kConverged;
    return verdict;
  }
  if (slot.ends >= kEndsOfASlot) {
    const std::string often = IsComplete(*slot.last_ended)
                                  ? StrCat(" ", slot.ends, " times")
                                  : StrCat(" (", slot.ends, " attempts failed)");
    return {State::kFailed, StrCat(Explain(number, *slot.last_ended), often), {}};
  }
  if (slot.current == nullptr) return verdict;
  if (slot.wanted) {
    empty_since_.erase(number);
    if (!slot.current->status().error().empty()) verdict.reason = Explain(number, *slot.current);
    if (verdict.reason.empty() && slot.last_ended != nullptr) {
      verdict.reason = Explain(number, *slot.last_ended);
    }
    return verdict;
  }
  const absl::Duration since = empty_since_.try_emplace(number, now).first->second;
  const v1::Task& ended = slot.last_ended != nullptr ? *slot.last_ended : *slot.current;
  if (now - since < kReplacementPatience) {
    verdict.ask_again = kReplacementPatience - (now - since);
    verdict.reason = Explain(number, ended);
    return verdict;
  }
  return {State::kFailed,
          StrCat(Explain(number, ended), ", and its restart policy starts no other"),
          {}};
}

ServiceProgress::Verdict ServiceProgress::Judge(absl::Duration now) {
  if (removed_) return {State::kFailed, StrCat(name_, " was removed meanwhile"), {}};
  if (IsPaused(service_) && !paused_before_) {
    return {
        State::kFailed, StrCat("the update is paused: ", service_.update_status().message()), {}};
  }
  Verdict verdict;
  verdict.state = UpdateIsDone() ? State::kConverged : State::kWaiting;
  for (const auto& [number, slot] : Slots()) {
    if (number > service_.spec().replicated().replicas()) {
      if (slot.wanted) verdict.state = State::kWaiting;  // is still to be told to stop
      continue;
    }
    Verdict one = JudgeSlot(number, slot, now);
    if (one.state == State::kFailed) return one;
    if (one.state == State::kConverged) continue;
    verdict.state = State::kWaiting;
    verdict.ask_again = std::min(verdict.ask_again, one.ask_again);
    if (verdict.reason.empty()) verdict.reason = std::move(one.reason);
  }
  return verdict;
}

std::string ServiceProgress::Summary() const {
  const uint64_t replicas = service_.spec().replicated().replicas();
  const std::map<uint64_t, Slot> slots = Slots();
  uint64_t good = 0;
  std::map<int, std::pair<std::string, uint64_t>> others;
  for (const auto& [number, slot] : slots) {
    if (number > replicas) continue;
    if (slot.good) {
      ++good;
    } else if (slot.current != nullptr && slot.wanted) {
      const auto state = slot.current->status().state();
      others[Step(state)].first = StateKey(state);
      ++others[Step(state)].second;
    }
  }
  std::string text = StrCat("overall progress: ", good, " out of ", replicas, " tasks");
  if (replicas <= kMostBars) return text;
  std::string states;
  for (const auto& [step, count] : others) {
    StrAppend(&states, states.empty() ? "" : ", ", count.second, " ", count.first);
  }
  return states.empty() ? text : StrCat(text, " (", states, ")");
}

std::vector<std::string> ServiceProgress::Bars() const {
  const uint64_t replicas = service_.spec().replicated().replicas();
  std::vector<std::string> bars;
  if (replicas > kMostBars) return bars;
  const std::string last = StrCat(replicas);
  for (const auto& [number, slot] : Slots()) {
    if (number > replicas) continue;
    std::string head = StrCat(number);
    head = StrCat(std::string(last.size() - std::min(last.size(), head.size()), ' '), head, "/",
                  last, ": ");
    if (slot.current != nullptr) {
      const v1::Task& task = *slot.current;
      const std::string error = TaskError(task);
      if (!error.empty()) {
        head += error;
      } else {
        std::string state = StateKey(task.status().state());
        state.resize(std::max<size_t>(state.size(), 9), ' ');
        StrAppend(&head, state, " ", Bar(Step(task.status().state()), 8));
      }
    }
    bars.push_back(std::move(head));
  }
  return bars;
}

std::vector<std::string> ServiceProgress::Notes() const {
  std::vector<std::string> notes;
  for (const auto& [number, slot] : Slots()) {
    if (slot.good || slot.current == nullptr || notes.size() >= kMostBars) continue;
    if (number > service_.spec().replicated().replicas()) continue;
    const v1::Task* task = slot.current;
    if (TaskError(*task).empty()) task = slot.last_ended;
    if (task != nullptr) notes.push_back(Explain(number, *task));
  }
  return notes;
}

}  // namespace swarm::cli
