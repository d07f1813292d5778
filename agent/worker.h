// Worker: brings this node to its assignment. One TaskMachine per task; writes down before it does;
// calls the Executor; tells what became of the tasks.
//
//   Worker worker(env, executor, database, options);
//   worker.Start(boot_id, [&](absl::Status s) { … session may begin … });
//   worker.Apply(assignment);
//   worker.OnReport([&](const v1::TaskReport& report) { … });
//
// Loop thread only. After an agent's death the next Worker reconciles three lists: wanted and
// recorded (database) and really there (Executor::Inventory). Containers that no record knows are
// removed, at start and every five minutes; when the database was lost they are kept until the next
// complete assignment says which of them are wanted.
#ifndef SWARM_AGENT_WORKER_H_
#define SWARM_AGENT_WORKER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/env.h"
#include "agent/executor.h"
#include "agent/health/health_monitor.h"
#include "agent/task_database.h"
#include "agent/task_machine.h"
#include "agent/verb_queue.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

struct WorkerOptions {
  // Prepare, Start and Remove at the same time; the rest waits in line. Pulls are bounded by the
  // executor, Stop and Kill by nothing.
  size_t parallel_verbs = 8;
  absl::Duration default_grace = absl::Seconds(10);
  // Retries wait a random time up to min(retry_cap, retry_base * 2^attempt).
  absl::Duration retry_base = absl::Seconds(1);
  absl::Duration retry_cap = absl::Seconds(30);
  // After the database refused a write.
  absl::Duration database_retry = absl::Seconds(1);
  // Makes the probes of health checks; borrowed. Null: they count as passed.
  Prober* prober = nullptr;
};

// One task as others may see it (logs, node info).
struct TaskView {
  TaskSpecOnNode spec;
  v1::TaskStatus status;
};

class Worker {
 public:
  Worker(const Env& env, Executor& executor, TaskDatabase& database, WorkerOptions options = {});
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Once. `ready` comes when every recorded task is adopted, ended or going on; an error means that
  // the inventory or the new database could not be had, and nothing was touched.
  void Start(const std::string& boot_id, absl::AnyInvocable<void(absl::Status)> ready);

  // A whole COMPLETE set (its pieces put together) or an INCREMENT. InvalidArgument when a task
  // names a revision that neither this nor an earlier one brought: the session must begin again;
  // what could be applied was.
  absl::Status Apply(const v1::Assignment& assignment);

  // Something new is on this node (an image): pulls that wait for their next try make it now.
  void RetryPulls();

  // Every change of a task's status. One listener; `nullptr` for none.
  void OnReport(std::function<void(const v1::TaskReport&)> listener);
  // The status of every task, by id.
  std::vector<v1::TaskReport> Reports() const;
  // NotFound.
  absl::StatusOr<TaskView> Find(const std::string& task_id) const;
  // Digests of the images that tasks on this node use.
  std::set<std::string> ImagesInUse() const;
  // Of running tasks, by id: those whose assignment asks for it.
  std::map<std::string, v1::UsageWatch> UsageWatches() const;
  size_t containers_running() const;
  size_t containers_total() const;

  // Everything politely to SHUTDOWN, `reason` as its error: another agent is this node now.
  void StopAll(const std::string& reason);
  // Everything stopped, removed and forgotten, revisions too: this node is in no cluster any more.
  // `done` when nothing is left.
  void RemoveAll(absl::AnyInvocable<void()> done);

 private:
  struct Task {
    TaskSpecOnNode spec;
    TaskMachine machine;
    v1::TaskStatus status;
    bool unassigned = false;
    bool unclaimed = false;    // found without a record, its fate is the next complete assignment's
    std::string stop_reason;   // of StopAll; the error of its SHUTDOWN
    std::string image_digest;  // of the container that was found; a lost revision cannot say it
    std::shared_ptr<const v1::HealthCheck> health_check;  // of the container; null: none
    std::optional<v1::UsageWatch> usage;
    TimerId timer = 0;
  };
  using Found = std::map<std::string, FoundContainer>;

  // Start.
  void Reconcile(TaskDatabaseContents contents, std::vector<FoundContainer> found);
  void Restore(const TaskRecord& record, Found& found, bool rebooted);
  void AdoptUnclaimed(Found& found);
  TaskEvent FoundEvent(const FoundContainer& found);
  void Sweep(const Found& unknown);
  void SweepLater();
  void SweepStrays(const std::set<std::string>& known_before,
                   const std::vector<std::string>& there);

  // Assignments.
  absl::Status ApplyTask(const v1::TaskAssignment& assignment);
  void Unassign(const std::string& task_id);

  // Events and actions.
  void Handle(const std::string& task_id, const TaskEvent& event);
  void Do(Task& task, const TaskAction& action);
  void Ask(Task& task, TaskAction::Kind kind);
  void Enqueue(const std::string& task_id, TaskAction::Kind kind);
  void RunVerb(const std::string& task_id, TaskAction::Kind kind);
  void Wait(const std::string& task_id);
  void Kill(const std::string& task_id);
  void SetStatus(Task& task, const TaskAction& report);
  void Tell(const Task& task);
  void StartTimer(Task& task, absl::Duration delay, TaskEvent::Kind event);
  void WatchHealth(Task& task);
  void OnHealthChanged(const std::string& task_id, const v1::Health& health);
  // kStarted and kFoundRunning, with what the container says of its health check.
  TaskEvent RunsEvent(const std::string& task_id, TaskEvent::Kind kind,
                      const RunningContainer& process);
  absl::Duration GraceOf(const Task& task) const;
  absl::Duration RetryDelay(int attempts);
  void ForgetIfDone(const std::string& task_id);
  void CheckRemovedAll();

  // Records.
  void MarkDirty(const std::string& task_id);
  void FlushSoon();
  void Flush();
  void OnFlushed(absl::Status status);
  void KeepForRetry(const absl::Status& why);
  TaskRecord RecordOf(const Task& task) const;
  void DropUnusedRevisions();

  const Env env_;
  Executor& executor_;
  TaskDatabase& database_;
  const WorkerOptions options_;

  bool started_ = false;
  TimerId sweep_timer_ = 0;
  std::map<std::string, Task> tasks_;
  std::map<std::string, std::shared_ptr<const v1::Revision>> revisions_;
  // Revisions that the manager said are not used any more; they go with their last task.
  std::set<std::string> removed_revisions_;
  std::function<void(const v1::TaskReport&)> listener_;
  absl::AnyInvocable<void()> removed_all_;
  VerbQueue verbs_;
  std::unique_ptr<HealthMonitor> health_;  // null without a prober

  // Gathered for the next write.
  std::set<std::string> dirty_;
  TaskDatabaseBatch next_;  // all but put_tasks
  std::vector<absl::AnyInvocable<void()>> after_flush_;
  // Being written: the same again when it fails.
  TaskDatabaseBatch flushing_batch_;
  std::vector<absl::AnyInvocable<void()>> after_flushing_;
  bool flush_posted_ = false;
  bool flushing_ = false;

  // Callbacks of a dead Worker do nothing.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_WORKER_H_
