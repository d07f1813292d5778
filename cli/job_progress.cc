#include "cli/job_progress.h"

#include <algorithm>
#include <map>
#include <utility>

#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using TaskState = v1::TaskStatus;

uint32_t RunThatIsOver(const v1::Service& service) {
  const v1::JobRun* last = LastRun(service);
  return last == nullptr || last->state() == v1::JobRun::STATE_RUNNING ? 0 : last->run();
}

bool HasFailed(const v1::Task& task) {
  return task.status().state() == TaskState::STATE_FAILED ||
         task.status().state() == TaskState::STATE_REJECTED;
}

}  // namespace

JobProgress::JobProgress(const v1::Service& accepted)
    : Progress(accepted), over_before_(RunThatIsOver(accepted)) {}

const v1::JobRun* JobProgress::Run() const {
  const v1::JobRun* last = LastRun(service_);
  const bool ours = last != nullptr && last->revision_id() == service_.revision_id() &&
                    last->run() > over_before_;
  return ours ? last : nullptr;
}

bool JobProgress::IsOfRun(const v1::Task& task) const {
  const v1::JobRun* run = Run();
  return run != nullptr && task.run() == run->run();
}

uint64_t JobProgress::Wanted() const {
  if (const v1::JobRun* run = Run(); run != nullptr && run->completions() > 0) {
    return run->completions();
  }
  if (service_.spec().has_replicated_job()) {
    return TotalCompletions(service_.spec().replicated_job());
  }
  return static_cast<uint64_t>(std::count_if(
      tasks_.begin(), tasks_.end(), [this](const auto& one) { return IsOfRun(one.second); }));
}

uint64_t JobProgress::Completed() const {
  const v1::JobRun* run = Run();
  if (run == nullptr) return 0;
  const auto seen = std::count_if(tasks_.begin(), tasks_.end(), [this](const auto& one) {
    return IsOfRun(one.second) && one.second.status().state() == TaskState::STATE_COMPLETE;
  });
  return std::max(run->completed(), static_cast<uint64_t>(seen));
}

const v1::Task* JobProgress::LastFailure() const {
  const v1::Task* last = nullptr;
  for (const auto& [id, task] : tasks_) {
    if (!IsOfRun(task) || !HasFailed(task)) continue;
    if (last == nullptr || task.meta().version() > last->meta().version()) last = &task;
  }
  return last;
}

Progress::Verdict JobProgress::Judge(absl::Duration now) {
  Verdict verdict;
  if (removed_) {
    verdict.state = State::kFailed;
    verdict.reason = StrCat(name_, " was removed meanwhile");
    return verdict;
  }
  verdict.is_over = true;
  if (service_.spec().has_schedule()) {
    verdict.state = State::kConverged;
    return verdict;
  }
  const v1::JobRun* run = Run();
  const v1::JobRun* last = LastRun(service_);
  if (run == nullptr && last != nullptr && last->revision_id() == service_.revision_id()) {
    if (!idle_since_) idle_since_ = now;
    verdict.ask_again = kReplacementPatience - (now - *idle_since_);
    if (verdict.ask_again <= absl::ZeroDuration()) verdict.state = State::kConverged;
    return verdict;
  }
  if (run == nullptr) {
    if (!service_.waiting_for().empty()) {
      verdict.reason = StrCat("waiting for ", service_.waiting_for());
    }
    return verdict;
  }
  const v1::Task* failure = LastFailure();
  std::string why = run->message();
  if (why.empty() && failure != nullptr) why = Explain(TaskName(*failure), *failure);
  const std::string count = StrCat(Completed(), " out of ", Wanted(), " complete");
  if (run->state() == v1::JobRun::STATE_COMPLETE) {
    verdict.state = State::kConverged;
  } else if (run->state() == v1::JobRun::STATE_FAILED) {
    verdict.state = State::kFailed;
    verdict.reason = StrCat("the job failed with ", count, why.empty() ? "" : ": ", why);
  } else if (run->state() == v1::JobRun::STATE_STOPPED) {
    verdict.state = State::kFailed;
    verdict.reason = StrCat("the job was stopped with ", count, why.empty() ? "" : ": ", why);
  } else {
    verdict.reason = std::move(why);
  }
  return verdict;
}

std::string JobProgress::Summary() const {
  return StrCat("job progress: ", Completed(), " out of ", Wanted(), " complete");
}

std::vector<std::string> JobProgress::Bars() const {
  std::map<int, std::pair<std::string, uint64_t>> states;
  uint64_t active = 0;
  for (const auto& [id, task] : tasks_) {
    const TaskState::State state = task.status().state();
    if (!IsOfRun(task) || IsTerminal(state)) continue;
    ++active;
    states[StepOf(state)].first = StateKey(state);
    ++states[StepOf(state)].second;
  }
  std::string words;
  for (const auto& [step, count] : states) {
    StrAppend(&words, words.empty() ? " (" : ", ", count.second, " ", count.first);
  }
  if (!words.empty()) words += ")";
  return {DrawBar(Completed(), Wanted()), StrCat("active tasks: ", active, words)};
}

std::vector<std::string> JobProgress::Notes() const {
  // The newest word of each place.
  std::map<std::string, const v1::Task*> newest;
  for (const auto& [id, task] : tasks_) {
    if (!IsOfRun(task)) continue;
    const v1::Task*& kept = newest[TaskName(task)];
    const bool says = !TaskError(task).empty();
    if (says && (kept == nullptr || task.meta().version() > kept->meta().version())) kept = &task;
  }
  std::vector<std::string> notes;
  for (const auto& [name, task] : newest) {
    if (task == nullptr || notes.size() >= kMostBars) continue;
    notes.push_back(Explain(name, *task));
  }
  return notes;
}

}  // namespace swarm::cli
