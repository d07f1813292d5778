#include "cli/progress.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "cli/job_progress.h"
#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using TaskState = v1::TaskStatus;

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

// Of several updates at once, the states and when they began tell them apart.
bool Same(const v1::UpdateStatus& a, const v1::UpdateStatus& b) {
  return a.state() == b.state() && ToTime(a.started_at()) == ToTime(b.started_at());
}

bool IsUnderWay(v1::UpdateStatus::State state) {
  return state == v1::UpdateStatus::STATE_UPDATING ||
         state == v1::UpdateStatus::STATE_ROLLBACK_STARTED;
}

}  // namespace

// As Docker numbers the states before running.
int StepOf(v1::TaskStatus::State state) {
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

std::string DrawBar(uint64_t done, uint64_t all) {
  constexpr uint64_t kWidth = 50;
  const uint64_t filled = all == 0 ? 0 : std::min(done, all) * kWidth / all;
  return StrCat("[", std::string(filled, '='), ">", std::string(kWidth - filled, ' '), "]");
}

// ----------------------------------------------------------------------------------- Progress

Progress::Progress(const v1::Service& accepted)
    : id_(accepted.id()),
      name_(accepted.spec().name()),
      // Tasks know their birth to the millisecond.
      accepted_at_(ToTime(accepted.meta().updated_at()) - absl::Milliseconds(1)),
      service_(accepted) {}

void Progress::Reset(const v1::Service& service, const std::vector<v1::Task>& tasks) {
  service_ = service;
  tasks_.clear();
  for (const v1::Task& task : tasks) tasks_[task.id()] = task;
  Changed();
}

void Progress::Apply(const v1::WatchEvent& event) {
  const bool removal = event.action() == v1::WatchEvent::ACTION_REMOVE;
  if (event.has_service() && event.service().id() == id_) {
    if (removal) {
      removed_ = true;
    } else if (event.service().meta().version() >= service_.meta().version()) {
      service_ = event.service();
      Changed();
    }
  } else if (event.has_task() && event.task().service_id() == id_) {
    if (removal) {
      // A cluster that keeps no history forgets ends faster than they add up; here they stay.
      if (!Remembers(event.task())) tasks_.erase(event.task().id());
    } else {
      tasks_[event.task().id()] = event.task();
    }
  }
}

std::vector<std::string> Progress::Remarks() const {
  if (service_.waiting_for().empty()) return {};
  return {StrCat("waiting for ", service_.waiting_for())};
}

std::string Progress::NodeName(const std::string& node_id) const {
  const auto it = node_names_.find(node_id);
  return it == node_names_.end() || it->second.empty() ? node_id : it->second;
}

std::string Progress::Explain(const std::string& task_name, const v1::Task& task) const {
  std::string why = TaskError(task);
  if (why.empty()) why = StrCat("the task has ended (", StateKey(task.status().state()), ")");
  return StrCat(task_name, ": ", why);
}

std::unique_ptr<Progress> MakeProgress(const v1::Service& accepted, bool rolls_back) {
  if (IsJobService(accepted.spec())) return std::make_unique<JobProgress>(accepted);
  return std::make_unique<ServiceProgress>(accepted, rolls_back);
}

// ---------------------------------------------------------------------------- ServiceProgress

ServiceProgress::ServiceProgress(const v1::Service& accepted, bool rolls_back)
    : Progress(accepted),
      rolls_back_(rolls_back),
      status_before_(accepted.update_status()),
      status_is_old_(!IsUnderWay(accepted.update_status().state())) {}

void ServiceProgress::Changed() {
  if (!Same(service_.update_status(), status_before_)) status_is_old_ = false;
}

bool ServiceProgress::IsGlobal() const { return IsGlobalService(service_.spec()); }

uint64_t ServiceProgress::WantedReplicas() const {
  const v1::ServiceSpec& spec = service_.spec();
  const uint64_t asked = spec.replicated().replicas();
  if (!spec.has_autoscale()) return asked;
  const uint64_t wanted = service_.autoscale().replicas();
  return std::clamp(wanted > 0 ? wanted : asked, spec.autoscale().min(),
                    std::max(spec.autoscale().min(), spec.autoscale().max()));
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
  return status_is_old_ || state == v1::UpdateStatus::STATE_UNSPECIFIED ||
         state == v1::UpdateStatus::STATE_COMPLETED ||
         state == v1::UpdateStatus::STATE_ROLLBACK_COMPLETED;
}

bool ServiceProgress::IsRollingBack() const {
  return service_.update_status().state() == v1::UpdateStatus::STATE_ROLLBACK_STARTED;
}

std::string ServiceProgress::NameOf(const Place& place) const {
  return StrCat(name_, ".", IsGlobal() ? NodeName(place.node) : StrCat(place.slot));
}

std::map<ServiceProgress::Place, ServiceProgress::Occupant> ServiceProgress::Places() const {
  std::map<Place, Occupant> places;
  const bool global = IsGlobal();
  const uint64_t replicas = global ? 0 : WantedReplicas();
  for (uint64_t i = 1; i <= replicas; ++i) places[{i, ""}].expected = true;
  for (const auto& [id, task] : tasks_) {
    const std::string& node =
        task.wanted_node_id().empty() ? task.node_id() : task.wanted_node_id();
    Occupant& place = places[{task.slot(), global ? node : ""}];
    // A running task before its pre-staged replacement, a wanted one before an ended one.
    const auto rank = [&](const v1::Task& t) {
      return std::make_tuple(IsWanted(t), t.desired_state() == TaskState::STATE_RUNNING);
    };
    if (place.current == nullptr || rank(task) > rank(*place.current) ||
        (rank(task) == rank(*place.current) && Newer(task, *place.current))) {
      place.current = &task;
      place.wanted = IsWanted(task);
    }
    if (!Counts(task)) continue;
    ++place.ends;
    if (place.last_ended == nullptr || Newer(task, *place.last_ended)) place.last_ended = &task;
  }
  for (auto& [key, place] : places) {
    // Which nodes a global service is to run on, its tasks alone tell.
    if (global) place.expected = place.wanted || place.ends > 0;
    if (place.current == nullptr) continue;
    // A change of constraints alone leaves tasks of the revision before; then the update says so.
    const bool revision = place.current->revision_id() == service_.revision_id() || UpdateIsDone();
    place.good = place.wanted && revision &&
                 place.current->desired_state() == TaskState::STATE_RUNNING &&
                 place.current->status().state() == TaskState::STATE_RUNNING;
  }
  return places;
}

Progress::Verdict ServiceProgress::JudgePlace(const Place& place, const Occupant& occupant,
                                              absl::Duration now) {
  Verdict verdict;
  if (occupant.good) {
    verdict.state = State::kConverged;
    return verdict;
  }
  const std::string name = NameOf(place);
  const bool may_fail = UpdateIsDone();
  if (occupant.ends >= kEndsOfAPlace && may_fail) {
    const std::string often = IsComplete(*occupant.last_ended)
                                  ? StrCat(" ", occupant.ends, " times")
                                  : StrCat(" (", occupant.ends, " attempts failed)");
    verdict.state = State::kFailed;
    verdict.reason = StrCat(Explain(name, *occupant.last_ended), often);
    return verdict;
  }
  if (occupant.current == nullptr) return verdict;
  if (occupant.wanted) {
    empty_since_.erase(place);
    if (!occupant.current->status().error().empty()) {
      verdict.reason = Explain(name, *occupant.current);
    } else if (occupant.last_ended != nullptr) {
      verdict.reason = Explain(name, *occupant.last_ended);
    }
    return verdict;
  }
  const absl::Duration since = empty_since_.try_emplace(place, now).first->second;
  const v1::Task& ended = occupant.last_ended != nullptr ? *occupant.last_ended : *occupant.current;
  verdict.reason = Explain(name, ended);
  if (now - since < kReplacementPatience) {
    verdict.ask_again = kReplacementPatience - (now - since);
  } else if (may_fail) {
    verdict.state = State::kFailed;
    StrAppend(&verdict.reason, ", and its restart policy starts no other");
  }
  return verdict;
}

// Failed, or waiting while it goes on, or converged.
Progress::Verdict ServiceProgress::JudgeUpdate() const {
  Verdict verdict;
  const v1::UpdateStatus& status = service_.update_status();
  if (UpdateIsDone()) verdict.state = State::kConverged;
  if (status_is_old_) return verdict;
  if (status.state() == v1::UpdateStatus::STATE_PAUSED) {
    verdict.state = State::kFailed;
    verdict.reason = StrCat("the update is paused: ", status.message());
  } else if (status.state() == v1::UpdateStatus::STATE_ROLLBACK_PAUSED) {
    verdict.state = State::kFailed;
    verdict.reason = StrCat("the rollback is paused: ", status.message());
  } else if (status.state() == v1::UpdateStatus::STATE_ROLLBACK_COMPLETED && !rolls_back_) {
    verdict.state = State::kFailed;
    verdict.reason = status.message();
    verdict.rolled_back = true;
  }
  return verdict;
}

Progress::Verdict ServiceProgress::JudgeWithoutNodes(absl::Duration now) {
  Verdict verdict;
  if (!no_node_since_) no_node_since_ = now;
  const absl::Duration left = kNodePatience - (now - *no_node_since_);
  has_no_node_ = left <= absl::ZeroDuration();
  if (has_no_node_) {
    verdict.state = State::kConverged;
  } else {
    verdict.ask_again = left;
  }
  return verdict;
}

Progress::Verdict ServiceProgress::Judge(absl::Duration now) {
  if (removed_) {
    Verdict gone;
    gone.state = State::kFailed;
    gone.reason = StrCat(name_, " was removed meanwhile");
    return gone;
  }
  Verdict verdict = JudgeUpdate();
  if (verdict.state == State::kFailed) return verdict;
  if (!service_.waiting_for().empty()) {
    verdict.state = State::kWaiting;
    verdict.reason = StrCat("waiting for ", service_.waiting_for());
  }
  bool any = false;
  for (const auto& [place, occupant] : Places()) {
    if (!occupant.expected) {
      if (occupant.wanted) verdict.state = State::kWaiting;  // is still to be told to stop
      continue;
    }
    any = true;
    Verdict one = JudgePlace(place, occupant, now);
    if (one.state == State::kFailed) return one;
    if (one.state == State::kConverged) continue;
    verdict.state = State::kWaiting;
    verdict.ask_again = std::min(verdict.ask_again, one.ask_again);
    if (verdict.reason.empty()) verdict.reason = std::move(one.reason);
  }
  if (any) {
    has_no_node_ = false;
    no_node_since_.reset();
  } else if (IsGlobal() && verdict.state == State::kConverged) {
    return JudgeWithoutNodes(now);
  }
  return verdict;
}

std::string ServiceProgress::Summary() const {
  uint64_t good = 0;
  uint64_t all = 0;
  std::map<int, std::pair<std::string, uint64_t>> others;
  for (const auto& [key, place] : Places()) {
    if (!place.expected) continue;
    ++all;
    if (place.good) {
      ++good;
    } else if (place.current != nullptr && place.wanted) {
      const auto state = place.current->status().state();
      others[StepOf(state)].first = StateKey(state);
      ++others[StepOf(state)].second;
    }
  }
  std::string text = StrCat("overall progress: ", IsRollingBack() ? "rolling back update: " : "",
                            good, " out of ", all, " tasks");
  if (all <= kMostBars) return text;
  std::string states;
  for (const auto& [step, count] : others) {
    StrAppend(&states, states.empty() ? "" : ", ", count.second, " ", count.first);
  }
  return states.empty() ? text : StrCat(text, " (", states, ")");
}

std::vector<std::string> ServiceProgress::Bars() const {
  std::vector<std::pair<std::string, const Occupant*>> lines;
  const std::map<Place, Occupant> places = Places();
  const bool global = IsGlobal();
  size_t widest = 0;
  for (const auto& [place, occupant] : places) {
    if (!occupant.expected) continue;
    lines.emplace_back(global ? NodeName(place.node) : StrCat(place.slot), &occupant);
    widest = std::max(widest, lines.back().first.size());
  }
  std::vector<std::string> bars;
  if (lines.size() > kMostBars) {
    const auto good = std::count_if(lines.begin(), lines.end(),
                                    [](const auto& line) { return line.second->good; });
    bars.push_back(StrCat(DrawBar(static_cast<uint64_t>(good), lines.size()), " ",
                          static_cast<uint64_t>(good) * 100 / lines.size(), "%"));
    return bars;
  }
  for (const auto& [name, occupant] : lines) {
    const std::string space(widest - name.size(), ' ');
    std::string line =
        global ? StrCat(name, space, ": ") : StrCat(space, name, "/", lines.size(), ": ");
    if (occupant->current != nullptr) {
      const v1::Task& task = *occupant->current;
      const std::string error = TaskError(task);
      if (!error.empty()) {
        line += error;
      } else {
        std::string state = StateKey(task.status().state());
        state.resize(std::max<size_t>(state.size(), 9), ' ');
        StrAppend(&line, state, " ",
                  DrawBar(static_cast<uint64_t>(StepOf(task.status().state())), 8));
      }
    }
    bars.push_back(std::move(line));
  }
  return bars;
}

std::vector<std::string> ServiceProgress::Notes() const {
  std::vector<std::string> notes;
  for (const auto& [place, occupant] : Places()) {
    if (occupant.good || occupant.current == nullptr || notes.size() >= kMostBars) continue;
    if (!occupant.expected) continue;
    const v1::Task* task = occupant.current;
    if (TaskError(*task).empty()) task = occupant.last_ended;
    if (task != nullptr) notes.push_back(Explain(NameOf(place), *task));
  }
  return notes;
}

std::vector<std::string> ServiceProgress::Remarks() const {
  std::vector<std::string> remarks = Progress::Remarks();
  if (IsRollingBack() && !status_is_old_ && !service_.update_status().message().empty()) {
    remarks.push_back(StrCat("rollback: ", service_.update_status().message()));
  }
  if (has_no_node_) {
    remarks.emplace_back("no node suits it yet: it gets a task on each that will");
  }
  return remarks;
}

}  // namespace swarm::cli
