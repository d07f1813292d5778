// TaskMachine: how one task goes from ASSIGNED to its end, as a pure function.
//
//   TaskStep step = Advance(machine, TaskEvent::Desired(v1::TaskStatus::STATE_RUNNING));
//   machine = step.next;  for (const TaskAction& action : step.actions) …
//
// No time, no files, no threads: the caller (Worker) does what the actions say and comes back with
// events. The observed state only goes forward, ends once, and REMOVE is the only thing after the
// end. An event that fits nothing (a late timer, an answer to a question nobody asked) changes
// nothing. Every question (Pull, Prepare, Start, Remove) is answered by exactly one event, also
// when Kill ended it early; at most one is open.
//
// A task with a health check stays STARTING until kHealthy. kUnhealthy stops its process like a
// stop that was wanted, and its end is then FAILED with the reason.
#ifndef SWARM_AGENT_TASK_MACHINE_H_
#define SWARM_AGENT_TASK_MACHINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/executor.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

using TaskState = v1::TaskStatus::State;

// COMPLETE, SHUTDOWN, FAILED, REJECTED and what comes after them.
bool IsTerminal(TaskState state);

struct TaskMachine {
  enum class Verb { kNone, kPull, kPrepare, kStart, kRemove };
  enum class Timer { kNone, kGrace, kRetry };

  TaskState observed = v1::TaskStatus::STATE_ASSIGNED;
  // READY, RUNNING, COMPLETE (as RUNNING), SHUTDOWN or REMOVE; never goes back.
  TaskState desired = v1::TaskStatus::STATE_READY;
  Verb open = Verb::kNone;  // the question that was asked and not answered
  Timer timer = Timer::kNone;
  bool pulled = false;
  bool prepared = false;           // a container is there
  bool stale = false;              // … by an agent that has ended: Prepare anew, or Remove
  bool started = false;            // its process ran at some time: there are logs to keep
  bool running = false;            // … and has not been seen to end
  bool stopping = false;           // Stop or Kill was sent to the process
  bool cancelled = false;          // Kill was sent to end the open question
  bool watched = false;            // its health is being watched: while it runs and is not stopping
  bool unhealthy = false;          // and is stopped, or has been, for that
  std::string unhealthy_reason;    // "unhealthy: connection refused"
  uint8_t attempts = 0;            // retries since the last success, at most kMaxAttempts
  int64_t memory_limit_bytes = 0;  // for words about out of memory; 0: none

  static constexpr uint8_t kMaxAttempts = 16;

  friend bool operator==(const TaskMachine&, const TaskMachine&) = default;
};

struct TaskEvent {
  enum class Kind {
    kDesired,    // `desired`
    kPulled,     // `status`; Unavailable: again later
    kPrepared,   // `status`
    kStarted,    // `status`, `pid`, `health_checked`
    kHealthy,    // its first success
    kUnhealthy,  // `status`'s message says why
    kExited,     // `exit`
    kGraceTimer,
    kRetryTimer,
    kRemoved,  // `status`
    // The agent came back; what it found of the container. Instead of the answers to questions that
    // the agent before it had asked.
    kFoundRunning,  // `pid`, `health_checked`
    kFoundExited,   // `exit`
    kFoundCreated,  // prepared, never started
    kFoundNothing,  // `status` says why: "node rebooted"
  };
  Kind kind;
  TaskState desired = v1::TaskStatus::STATE_UNSPECIFIED;
  absl::Status status;
  int64_t pid = 0;
  ContainerExit exit;
  bool health_checked = false;

  static TaskEvent Desired(TaskState state) { return {Kind::kDesired, state}; }
  static TaskEvent Answer(Kind kind, absl::Status status, int64_t pid = 0) {
    return {kind, v1::TaskStatus::STATE_UNSPECIFIED, std::move(status), pid};
  }
  // kStarted or kFoundRunning of a task with a health check.
  static TaskEvent Checked(Kind kind, int64_t pid) {
    TaskEvent event = Answer(kind, absl::OkStatus(), pid);
    event.health_checked = true;
    return event;
  }
  static TaskEvent Timer(Kind kind) { return {kind}; }
  static TaskEvent Exit(Kind kind, ContainerExit exit) {
    return {kind, v1::TaskStatus::STATE_UNSPECIFIED, absl::OkStatus(), 0, std::move(exit)};
  }
};

struct TaskAction {
  enum class Kind {
    kPull,
    kPrepare,
    kStart,
    kRemove,
    kWait,           // tell me when the process ends
    kStop,           // the polite signal
    kKill,           // all of the container, and end the open question
    kWatchHealth,    // make probes; from RUNNING on it counts as healthy until proven otherwise
    kUnwatchHealth,  // no more of them
    kReport,
    kStartGraceTimer,
    kStartRetryTimer,  // after a delay that grows with `attempts`
    kCancelTimer,
  };
  Kind kind;
  // Of a report.
  TaskState state = v1::TaskStatus::STATE_UNSPECIFIED;
  std::string message;  // "preparing"
  std::string error;
  bool has_pid = false;
  int64_t pid = 0;
  bool has_exit = false;
  int32_t exit_code = 0;
  bool oom_killed = false;
};

struct TaskStep {
  TaskMachine next;
  std::vector<TaskAction> actions;
};

TaskStep Advance(const TaskMachine& machine, const TaskEvent& event);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_TASK_MACHINE_H_
