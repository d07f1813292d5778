#include "agent/task_machine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace swarm::agent {
namespace {

using Kind = TaskAction::Kind;
using Verb = TaskMachine::Verb;
using Timer = TaskMachine::Timer;

std::string FormatLimit(int64_t bytes) {
  if (bytes % (int64_t{1} << 30) == 0) return absl::StrCat(bytes >> 30, "GiB");
  if (bytes % (int64_t{1} << 20) == 0) return absl::StrCat(bytes >> 20, "MiB");
  if (bytes % (int64_t{1} << 10) == 0) return absl::StrCat(bytes >> 10, "KiB");
  return absl::StrCat(bytes, "B");
}

// One event being worked on.
class Step {
 public:
  explicit Step(const TaskMachine& machine) : m_(machine) {}

  void Handle(const TaskEvent& event) {
    switch (event.kind) {
      case TaskEvent::Kind::kDesired:
        m_.desired = std::max(m_.desired, event.desired);
        break;
      case TaskEvent::Kind::kPulled:
      case TaskEvent::Kind::kPrepared:
      case TaskEvent::Kind::kStarted:
      case TaskEvent::Kind::kRemoved:
        OnAnswer(event);
        break;
      case TaskEvent::Kind::kExited:
        if (m_.running) OnExit(event.exit);
        break;
      case TaskEvent::Kind::kHealthy:
        if (m_.watched && m_.observed < v1::TaskStatus::STATE_RUNNING) {
          Report(v1::TaskStatus::STATE_RUNNING, "running");
        }
        break;
      case TaskEvent::Kind::kUnhealthy:
        if (m_.watched) OnUnhealthy(std::string(event.status.message()));
        break;
      case TaskEvent::Kind::kGraceTimer:
        if (m_.timer != Timer::kGrace) break;
        m_.timer = Timer::kNone;
        if (m_.running) KillUntilItEnds();
        break;
      case TaskEvent::Kind::kRetryTimer:
        if (m_.timer != Timer::kRetry) break;
        m_.timer = Timer::kNone;
        if (m_.running && m_.stopping) KillUntilItEnds();
        break;
      case TaskEvent::Kind::kFoundRunning:
      case TaskEvent::Kind::kFoundExited:
      case TaskEvent::Kind::kFoundCreated:
      case TaskEvent::Kind::kFoundNothing:
        OnFound(event);
        break;
    }
    GoOn();
  }

  TaskStep Take() { return {m_, std::move(actions_)}; }

 private:
  bool StopWanted() const { return m_.desired >= v1::TaskStatus::STATE_SHUTDOWN; }
  bool RemoveWanted() const { return m_.desired >= v1::TaskStatus::STATE_REMOVE; }

  void Do(Kind kind) { actions_.push_back({kind}); }
  void Ask(Kind kind, Verb verb) {
    m_.open = verb;
    m_.cancelled = false;
    Do(kind);
  }

  TaskAction& Report(TaskState state, std::string message, std::string error = "") {
    m_.observed = std::max(m_.observed, state);
    actions_.push_back({Kind::kReport, m_.observed, std::move(message), std::move(error)});
    return actions_.back();
  }

  void StartTimer(Timer timer) {
    m_.timer = timer;
    Do(timer == Timer::kGrace ? Kind::kStartGraceTimer : Kind::kStartRetryTimer);
  }
  void CancelTimer() {
    if (m_.timer == Timer::kNone) return;
    m_.timer = Timer::kNone;
    Do(Kind::kCancelTimer);
  }
  void RetryLater() {
    m_.attempts = std::min<uint8_t>(m_.attempts + 1, TaskMachine::kMaxAttempts);
    StartTimer(Timer::kRetry);
  }
  void KillUntilItEnds() {
    m_.stopping = true;
    Do(Kind::kKill);
    RetryLater();
  }

  void OnAnswer(const TaskEvent& event) {
    const auto answered = [](TaskEvent::Kind kind) {
      switch (kind) {
        case TaskEvent::Kind::kPulled:
          return Verb::kPull;
        case TaskEvent::Kind::kPrepared:
          return Verb::kPrepare;
        case TaskEvent::Kind::kStarted:
          return Verb::kStart;
        default:
          return Verb::kRemove;
      }
    }(event.kind);
    if (m_.open != answered) return;
    m_.open = Verb::kNone;
    m_.cancelled = false;
    if (answered == Verb::kRemove) return OnRemoved(event.status);
    if (event.status.ok()) return OnSuccess(answered, event);
    // Ended because it was to end: GoOn says SHUTDOWN.
    if (StopWanted()) return;
    OnFailure(answered, event.status);
  }

  void OnSuccess(Verb verb, const TaskEvent& event) {
    m_.attempts = 0;
    if (verb == Verb::kPull) m_.pulled = true;
    if (verb == Verb::kPrepare) {
      m_.prepared = true;
      m_.stale = false;
    }
    if (verb != Verb::kStart) return;
    m_.started = true;
    m_.running = true;
    Do(Kind::kWait);
    if (!StopWanted()) OnRuns(event);
  }

  // A process that goes on: at once, or when its health check says so.
  void OnRuns(const TaskEvent& event) {
    const bool waits = event.health_checked && m_.observed < v1::TaskStatus::STATE_RUNNING;
    TaskAction& report = waits ? Report(v1::TaskStatus::STATE_STARTING, "starting: not healthy yet")
                               : Report(v1::TaskStatus::STATE_RUNNING, "running");
    report.has_pid = true;
    report.pid = event.pid;
    if (!event.health_checked || m_.unhealthy) return;
    m_.watched = true;
    Do(Kind::kWatchHealth);
  }

  void OnUnhealthy(std::string reason) {
    m_.unhealthy = true;
    m_.unhealthy_reason = std::move(reason);
    Report(m_.observed, "unhealthy: stopping", m_.unhealthy_reason);
  }

  void OnFailure(Verb verb, const absl::Status& status) {
    const bool passing = absl::IsUnavailable(status) || absl::IsCancelled(status);
    if (verb != Verb::kStart && passing) {
      Report(v1::TaskStatus::STATE_PREPARING, "preparing", std::string(status.message()));
      RetryLater();
      return;
    }
    if (verb == Verb::kStart) {
      Report(v1::TaskStatus::STATE_FAILED, "failed to start", std::string(status.message()));
    } else {
      Report(v1::TaskStatus::STATE_REJECTED, "rejected", std::string(status.message()));
    }
  }

  void OnRemoved(const absl::Status& status) {
    if (status.ok()) {
      m_.attempts = 0;
      m_.prepared = m_.stale = m_.started = false;
      if (RemoveWanted()) Report(v1::TaskStatus::STATE_REMOVE, "removed");
      return;
    }
    const TaskState state = IsTerminal(m_.observed) ? m_.observed : v1::TaskStatus::STATE_SHUTDOWN;
    Report(state, "removing", absl::StrCat("cannot remove the container: ", status.message()));
    RetryLater();
  }

  void OnExit(const ContainerExit& exit) {
    m_.running = false;
    m_.stopping = false;
    m_.attempts = 0;
    CancelTimer();
    if (IsTerminal(m_.observed)) return;
    if (RemoveWanted()) return;  // REMOVE says it all
    ReportExit(exit);
  }

  void ReportExit(const ContainerExit& exit) {
    TaskAction* report = nullptr;
    if (StopWanted()) {
      report = &Report(v1::TaskStatus::STATE_SHUTDOWN, "shutdown");
    } else if (m_.unhealthy) {
      report = &Report(v1::TaskStatus::STATE_FAILED, "failed", m_.unhealthy_reason);
    } else if (!exit.error.empty()) {
      report = &Report(v1::TaskStatus::STATE_FAILED, "failed", exit.error);
    } else if (exit.exit_code == 0) {
      report = &Report(v1::TaskStatus::STATE_COMPLETE, "finished");
    } else if (exit.oom_killed) {
      std::string error = "out of memory: killed by the kernel";
      if (m_.memory_limit_bytes > 0) {
        absl::StrAppend(&error, " at the limit of ", FormatLimit(m_.memory_limit_bytes));
      }
      report = &Report(v1::TaskStatus::STATE_FAILED, "failed", std::move(error));
    } else {
      report = &Report(v1::TaskStatus::STATE_FAILED, "failed",
                       absl::StrCat("task: non-zero exit (", exit.exit_code, ")"));
    }
    report->has_exit = exit.error.empty();
    report->exit_code = exit.exit_code;
    report->oom_killed = exit.oom_killed;
  }

  // Whatever was open was asked by an agent that is no more.
  void OnFound(const TaskEvent& event) {
    m_.open = Verb::kNone;
    m_.cancelled = m_.stopping = m_.watched = false;
    CancelTimer();
    const bool there = event.kind != TaskEvent::Kind::kFoundNothing;
    m_.stale = event.kind == TaskEvent::Kind::kFoundCreated;
    m_.prepared = there;
    m_.started = m_.pulled = there && !m_.stale;
    m_.running = event.kind == TaskEvent::Kind::kFoundRunning;
    switch (event.kind) {
      case TaskEvent::Kind::kFoundRunning:
        Do(Kind::kWait);
        if (!StopWanted() && !IsTerminal(m_.observed)) OnRuns(event);
        break;
      case TaskEvent::Kind::kFoundExited:
        OnExit(event.exit);
        break;
      case TaskEvent::Kind::kFoundNothing:
        if (m_.observed >= v1::TaskStatus::STATE_STARTING && !IsTerminal(m_.observed) &&
            !StopWanted()) {
          Report(v1::TaskStatus::STATE_FAILED, "failed", std::string(event.status.message()));
        }
        break;
      default:
        break;
    }
  }

  // What comes next, whatever happened.
  void GoOn() {
    ChooseNext();
    if (!m_.watched || (m_.running && !m_.stopping)) return;
    m_.watched = false;
    Do(Kind::kUnwatchHealth);
  }

  void ChooseNext() {
    if (m_.open != Verb::kNone) return EndOpenQuestionIfStopWanted();
    const bool over = IsTerminal(m_.observed);
    if (m_.running) {
      if (over && !m_.stopping) KillUntilItEnds();  // nobody counts on it any more
      if (!over && (StopWanted() || m_.unhealthy) && !m_.stopping) StopPolitely();
      return;
    }
    if (StopWanted() || over) return CleanUp();
    if (m_.timer == Timer::kRetry) return;
    GoForward();
  }

  void EndOpenQuestionIfStopWanted() {
    if (!StopWanted() || m_.cancelled || m_.open == Verb::kRemove) return;
    m_.cancelled = true;
    Do(Kind::kKill);
  }

  void StopPolitely() {
    m_.stopping = true;
    Do(Kind::kStop);
    StartTimer(Timer::kGrace);
  }

  void CleanUp() {
    if (!IsTerminal(m_.observed)) {
      CancelTimer();  // of a pull that is not wanted any more
      if (!RemoveWanted()) Report(v1::TaskStatus::STATE_SHUTDOWN, "shutdown");
    }
    if (m_.timer == Timer::kRetry) return;
    // A container that never ran has no logs to keep; one that ran is kept until REMOVE is wanted.
    const bool leftover = m_.prepared && !m_.started;
    const bool to_remove = RemoveWanted() && m_.observed < v1::TaskStatus::STATE_REMOVE;
    if (leftover || to_remove) Ask(Kind::kRemove, Verb::kRemove);
  }

  void GoForward() {
    if (!m_.pulled) {
      if (m_.observed < v1::TaskStatus::STATE_PREPARING) {
        Report(v1::TaskStatus::STATE_PREPARING, "preparing");
      }
      return Ask(Kind::kPull, Verb::kPull);
    }
    if (!m_.prepared || m_.stale) return Ask(Kind::kPrepare, Verb::kPrepare);
    if (m_.desired < v1::TaskStatus::STATE_RUNNING) {
      if (m_.observed < v1::TaskStatus::STATE_READY) Report(v1::TaskStatus::STATE_READY, "ready");
      return;
    }
    if (m_.observed < v1::TaskStatus::STATE_STARTING) {
      Report(v1::TaskStatus::STATE_STARTING, "starting");
    }
    Ask(Kind::kStart, Verb::kStart);
  }

  TaskMachine m_;
  std::vector<TaskAction> actions_;
};

}  // namespace

bool IsTerminal(TaskState state) { return state >= v1::TaskStatus::STATE_COMPLETE; }

TaskStep Advance(const TaskMachine& machine, const TaskEvent& event) {
  Step step(machine);
  step.Handle(event);
  return step.Take();
}

}  // namespace swarm::agent
