#include "agent/worker.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "worker";

TaskEvent::Kind AnswerTo(TaskAction::Kind kind) {
  switch (kind) {
    case TaskAction::Kind::kPull:
      return TaskEvent::Kind::kPulled;
    case TaskAction::Kind::kPrepare:
      return TaskEvent::Kind::kPrepared;
    case TaskAction::Kind::kStart:
      return TaskEvent::Kind::kStarted;
    default:
      return TaskEvent::Kind::kRemoved;
  }
}

}  // namespace

Worker::Worker(const Env& env, Executor& executor, TaskDatabase& database, WorkerOptions options)
    : env_(env),
      executor_(executor),
      database_(database),
      options_(options),
      verbs_(options.parallel_verbs) {
  if (options_.prober == nullptr) return;
  HealthListener listener;
  listener.changed = [this](const std::string& id, const v1::Health& health) {
    OnHealthChanged(id, health);
  };
  listener.healthy = [this](const std::string& id) {
    Handle(id, TaskEvent::Timer(TaskEvent::Kind::kHealthy));
  };
  listener.unhealthy = [this](const std::string& id, const std::string& reason) {
    Handle(id, TaskEvent::Answer(TaskEvent::Kind::kUnhealthy, absl::InternalError(reason)));
  };
  health_ = std::make_unique<HealthMonitor>(env_, *options_.prober, std::move(listener));
}

Worker::~Worker() {
  *alive_ = false;
  env_.loop.Cancel(sweep_timer_);
  for (auto& [id, task] : tasks_) env_.loop.Cancel(task.timer);
}

void Worker::OnReport(std::function<void(const v1::TaskReport&)> listener) {
  listener_ = std::move(listener);
}

// ------------------------------------------------------------------------------------ assignments

absl::Status Worker::Apply(const v1::Assignment& assignment) {
  DCHECK(env_.loop.InLoop());
  CHECK(started_);
  const bool complete = assignment.kind() == v1::Assignment::KIND_COMPLETE;
  std::set<std::string> wanted_revisions;
  for (const v1::Revision& revision : assignment.revisions()) {
    wanted_revisions.insert(revision.id());
    removed_revisions_.erase(revision.id());
    auto& known = revisions_[revision.id()];
    if (known != nullptr) continue;  // they never change
    known = std::make_shared<const v1::Revision>(revision);
    next_.put_revisions.push_back(known);
    std::erase(next_.delete_revisions, revision.id());
  }

  absl::Status result;
  std::set<std::string> wanted_tasks;
  for (const v1::TaskAssignment& task : assignment.tasks()) {
    wanted_tasks.insert(task.task_id());
    const absl::Status applied = ApplyTask(task);
    if (result.ok()) result = applied;
  }

  std::vector<std::string> unassigned(assignment.removed_tasks().begin(),
                                      assignment.removed_tasks().end());
  removed_revisions_.insert(assignment.removed_revisions().begin(),
                            assignment.removed_revisions().end());
  if (complete) {
    for (const auto& [id, task] : tasks_) {
      if (!wanted_tasks.contains(id)) unassigned.push_back(id);
    }
    for (const auto& [id, revision] : revisions_) {
      if (!wanted_revisions.contains(id)) removed_revisions_.insert(id);
    }
  }
  for (const std::string& id : unassigned) Unassign(id);
  DropUnusedRevisions();
  FlushSoon();
  return result;
}

absl::Status Worker::ApplyTask(const v1::TaskAssignment& assignment) {
  const bool known = tasks_.contains(assignment.task_id());
  const auto revision = revisions_.find(assignment.revision_id());
  const bool only_remove = assignment.desired_state() >= v1::TaskStatus::STATE_REMOVE;
  if (revision == revisions_.end() && !only_remove) {
    return absl::InvalidArgumentError(absl::StrCat("task ", assignment.task_id(), " uses revision ",
                                                   assignment.revision_id(),
                                                   ", which this node does not have"));
  }
  Task& task = tasks_[assignment.task_id()];
  if (!known) task.status.set_state(v1::TaskStatus::STATE_ASSIGNED);
  task.spec.task_id = assignment.task_id();
  task.spec.slot = assignment.slot();
  const bool claimed_now = std::exchange(task.unclaimed, false);
  task.spec.generic_resources.assign(assignment.generic_resources().begin(),
                                     assignment.generic_resources().end());
  task.spec.networks.assign(assignment.networks().begin(), assignment.networks().end());
  task.usage.reset();
  if (assignment.has_usage()) task.usage = assignment.usage();
  if (revision != revisions_.end()) {
    task.spec.revision = revision->second;
    task.machine.memory_limit_bytes = revision->second->task().resources().limits().memory_bytes();
  }
  if (claimed_now && task.machine.running) executor_.Adopt(task.spec);
  MarkDirty(assignment.task_id());
  Handle(assignment.task_id(), TaskEvent::Desired(assignment.desired_state()));
  return absl::OkStatus();
}

void Worker::Unassign(const std::string& task_id) {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return;
  it->second.unassigned = true;
  it->second.unclaimed = false;
  MarkDirty(task_id);
  Handle(task_id, TaskEvent::Desired(v1::TaskStatus::STATE_REMOVE));
}

void Worker::RetryPulls() {
  std::vector<std::string> ids;
  for (auto& [id, task] : tasks_) {
    if (task.machine.pulled || task.machine.timer != TaskMachine::Timer::kRetry) continue;
    env_.loop.Cancel(std::exchange(task.timer, 0));
    ids.push_back(id);
  }
  for (const std::string& id : ids) Handle(id, TaskEvent::Timer(TaskEvent::Kind::kRetryTimer));
}

void Worker::StopAll(const std::string& reason) {
  std::vector<std::string> ids;
  for (const auto& [id, task] : tasks_) {
    if (!IsTerminal(task.machine.observed)) ids.push_back(id);
  }
  for (const std::string& id : ids) {
    tasks_.at(id).stop_reason = reason;
    Handle(id, TaskEvent::Desired(v1::TaskStatus::STATE_SHUTDOWN));
  }
}

void Worker::RemoveAll(absl::AnyInvocable<void()> done) {
  removed_all_ = std::move(done);
  for (const auto& [id, revision] : revisions_) removed_revisions_.insert(id);
  std::vector<std::string> ids;
  for (const auto& [id, task] : tasks_) ids.push_back(id);
  for (const std::string& id : ids) Unassign(id);
  DropUnusedRevisions();
  FlushSoon();
  env_.loop.Post([this, alive = alive_] {
    if (*alive) CheckRemovedAll();
  });
}

void Worker::CheckRemovedAll() {
  if (!removed_all_ || !tasks_.empty()) return;
  if (flushing_ || flush_posted_) return;  // OnFlushed comes here again
  auto done = std::move(removed_all_);
  removed_all_ = nullptr;
  done();
}

void Worker::ForgetIfDone(const std::string& task_id) {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end() || !it->second.unassigned) return;
  if (it->second.machine.observed < v1::TaskStatus::STATE_REMOVE) return;
  env_.loop.Cancel(it->second.timer);
  if (health_ != nullptr) health_->Forget(task_id);
  tasks_.erase(it);
  dirty_.erase(task_id);
  next_.delete_tasks.push_back(task_id);
  DropUnusedRevisions();
  FlushSoon();
}

void Worker::DropUnusedRevisions() {
  if (removed_revisions_.empty()) return;
  std::set<std::string> used;
  for (const auto& [id, task] : tasks_) {
    if (task.spec.revision != nullptr) used.insert(task.spec.revision->id());
  }
  for (auto it = removed_revisions_.begin(); it != removed_revisions_.end();) {
    if (used.contains(*it)) {
      ++it;
      continue;
    }
    if (revisions_.erase(*it) > 0) {
      next_.delete_revisions.push_back(*it);
      std::erase_if(next_.put_revisions, [&](const auto& r) { return r->id() == *it; });
    }
    it = removed_revisions_.erase(it);
  }
}

// ------------------------------------------------------------------------------ events and actions

void Worker::Handle(const std::string& task_id, const TaskEvent& event) {
  DCHECK(env_.loop.InLoop());
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return;
  Task& task = it->second;
  TaskStep step = Advance(task.machine, event);
  if (step.next.desired != task.machine.desired) MarkDirty(task_id);
  task.machine = step.next;
  for (const TaskAction& action : step.actions) Do(task, action);
  ForgetIfDone(std::string(task_id));
}

void Worker::Do(Task& task, const TaskAction& action) {
  using Kind = TaskAction::Kind;
  const std::string& id = task.spec.task_id;
  switch (action.kind) {
    case Kind::kPull:
    case Kind::kPrepare:
    case Kind::kStart:
    case Kind::kRemove:
      return Ask(task, action.kind);
    case Kind::kWait:
      return Wait(id);
    case Kind::kStop:
      return executor_.Stop(task.spec, [id](absl::Status status) {
        if (!status.ok())
          LogWarning(kComponent, absl::StrCat("stop task ", id, ": ", status.message()));
      });
    case Kind::kKill:
      return Kill(id);
    case Kind::kWatchHealth:
      return WatchHealth(task);
    case Kind::kUnwatchHealth:
      return health_->Forget(id);
    case Kind::kReport:
      return SetStatus(task, action);
    case Kind::kStartGraceTimer:
      return StartTimer(task, GraceOf(task), TaskEvent::Kind::kGraceTimer);
    case Kind::kStartRetryTimer:
      return StartTimer(task, RetryDelay(task.machine.attempts), TaskEvent::Kind::kRetryTimer);
    case Kind::kCancelTimer:
      env_.loop.Cancel(std::exchange(task.timer, 0));
      return;
  }
}

// Prepare and Start are preceded by the record; Pull and Remove do no harm without one.
void Worker::Ask(Task& task, TaskAction::Kind kind) {
  const std::string id = task.spec.task_id;
  if (kind == TaskAction::Kind::kPull) return RunVerb(id, kind);
  if (kind == TaskAction::Kind::kRemove) return Enqueue(id, kind);
  MarkDirty(id);
  after_flush_.push_back([this, id, kind] { Enqueue(id, kind); });
}

void Worker::Enqueue(const std::string& task_id, TaskAction::Kind kind) {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return;
  if (it->second.machine.cancelled) {
    return Handle(task_id, TaskEvent::Answer(AnswerTo(kind), absl::CancelledError("stopped")));
  }
  verbs_.Add(task_id, [this, task_id, kind] { RunVerb(task_id, kind); });
}

void Worker::RunVerb(const std::string& task_id, TaskAction::Kind kind) {
  const Task& task = tasks_.at(task_id);  // stays at least until the answer
  const bool queued = kind != TaskAction::Kind::kPull;
  auto answer = [this, alive = alive_, task_id, kind, queued](absl::Status status,
                                                              int64_t pid = 0) {
    if (!*alive) return;
    if (queued) verbs_.Finished();
    Handle(task_id, TaskEvent::Answer(AnswerTo(kind), std::move(status), pid));
  };
  switch (kind) {
    case TaskAction::Kind::kPull:
      return executor_.Pull(task.spec, std::move(answer));
    case TaskAction::Kind::kPrepare:
      return executor_.Prepare(task.spec, std::move(answer));
    case TaskAction::Kind::kStart:
      return executor_.Start(task_id, [this, alive = alive_, answer,
                                       task_id](absl::StatusOr<RunningContainer> started) mutable {
        if (!started.ok() || !*alive) return answer(started.status());
        verbs_.Finished();
        Handle(task_id, RunsEvent(task_id, TaskEvent::Kind::kStarted, *started));
      });
    default:
      return executor_.Remove(task_id, std::move(answer));
  }
}

TaskEvent Worker::RunsEvent(const std::string& task_id, TaskEvent::Kind kind,
                            const RunningContainer& process) {
  const auto it = tasks_.find(task_id);
  const bool checked = health_ != nullptr && process.health_check != nullptr;
  if (it != tasks_.end() && checked) it->second.health_check = process.health_check;
  if (checked) return TaskEvent::Checked(kind, process.init.pid);
  return TaskEvent::Answer(kind, absl::OkStatus(), process.init.pid);
}

// A task that runs was healthy once, whatever is written of it.
void Worker::WatchHealth(Task& task) {
  v1::Health recorded = task.status.health();
  if (task.machine.observed >= v1::TaskStatus::STATE_RUNNING) {
    recorded.set_state(v1::Health::STATE_HEALTHY);
  } else {
    recorded.set_state(v1::Health::STATE_STARTING);
  }
  health_->Watch(task.spec.task_id, task.health_check, recorded);
}

void Worker::OnHealthChanged(const std::string& task_id, const v1::Health& health) {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return;
  *it->second.status.mutable_health() = health;
  MarkDirty(task_id);
  Tell(it->second);
}

void Worker::Wait(const std::string& task_id) {
  executor_.Wait(task_id, [this, alive = alive_, task_id](ContainerExit exit) {
    if (*alive) Handle(task_id, TaskEvent::Exit(TaskEvent::Kind::kExited, std::move(exit)));
  });
}

void Worker::Kill(const std::string& task_id) {
  const Task& task = tasks_.at(task_id);
  if (task.machine.cancelled && verbs_.Withdraw(task_id)) {
    const auto kind = task.machine.open == TaskMachine::Verb::kStart ? TaskEvent::Kind::kStarted
                                                                     : TaskEvent::Kind::kPrepared;
    env_.loop.Post([this, alive = alive_, task_id, kind] {
      if (*alive) Handle(task_id, TaskEvent::Answer(kind, absl::CancelledError("stopped")));
    });
    return;
  }
  executor_.Kill(task_id, [task_id](absl::Status status) {
    if (!status.ok())
      LogWarning(kComponent, absl::StrCat("kill task ", task_id, ": ", status.message()));
  });
}

void Worker::SetStatus(Task& task, const TaskAction& report) {
  v1::TaskStatus& status = task.status;
  status.set_state(report.state);
  *status.mutable_timestamp() = ToProto(env_.clock.WallNow());
  status.set_message(report.message);
  status.set_error(report.error);
  if (report.state == v1::TaskStatus::STATE_SHUTDOWN && report.error.empty()) {
    status.set_error(task.stop_reason);
  }
  status.set_oom_killed(report.oom_killed);
  if (report.has_pid || report.has_exit) {
    status.mutable_container()->set_container_id(task.spec.task_id);
  }
  if (report.has_pid) status.mutable_container()->set_pid(report.pid);
  if (report.has_exit) status.mutable_container()->set_exit_code(report.exit_code);
  MarkDirty(task.spec.task_id);
  Tell(task);
}

void Worker::Tell(const Task& task) {
  if (!listener_) return;
  v1::TaskReport report;
  report.set_task_id(task.spec.task_id);
  *report.mutable_status() = task.status;
  listener_(report);
}

void Worker::StartTimer(Task& task, absl::Duration delay, TaskEvent::Kind event) {
  env_.loop.Cancel(task.timer);
  task.timer = env_.loop.RunAfter(delay, [this, id = task.spec.task_id, event] {
    tasks_.at(id).timer = 0;
    Handle(id, TaskEvent::Timer(event));
  });
}

absl::Duration Worker::GraceOf(const Task& task) const {
  if (task.spec.revision == nullptr) return options_.default_grace;
  const v1::ContainerSpec& container = task.spec.revision->task().container();
  if (!container.has_stop_grace_period()) return options_.default_grace;
  return FromProto(container.stop_grace_period());
}

absl::Duration Worker::RetryDelay(int attempts) {
  absl::Duration delay = options_.retry_base;
  for (int i = 1; i < attempts && delay < options_.retry_cap; ++i) delay *= 2;
  return std::min(delay, options_.retry_cap) * (0.5 + env_.random.Fraction() / 2);
}

// ------------------------------------------------------------------------------------------ views

std::vector<v1::TaskReport> Worker::Reports() const {
  std::vector<v1::TaskReport> reports;
  for (const auto& [id, task] : tasks_) {
    v1::TaskReport& report = reports.emplace_back();
    report.set_task_id(id);
    *report.mutable_status() = task.status;
  }
  return reports;
}

absl::StatusOr<TaskView> Worker::Find(const std::string& task_id) const {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) {
    return absl::NotFoundError(absl::StrCat("task ", task_id, " is not on this node"));
  }
  return TaskView{it->second.spec, it->second.status};
}

std::set<std::string> Worker::ImagesInUse() const {
  std::set<std::string> digests;
  for (const auto& [id, task] : tasks_) {
    const bool needs_image = task.machine.prepared || !IsTerminal(task.machine.observed);
    if (!needs_image) continue;
    if (task.spec.revision != nullptr) digests.insert(task.spec.revision->image_digest());
    if (!task.image_digest.empty()) digests.insert(task.image_digest);
  }
  return digests;
}

std::map<std::string, v1::UsageWatch> Worker::UsageWatches() const {
  std::map<std::string, v1::UsageWatch> watches;
  for (const auto& [id, task] : tasks_) {
    if (task.machine.running && task.usage.has_value()) watches[id] = *task.usage;
  }
  return watches;
}

size_t Worker::containers_running() const {
  return std::count_if(tasks_.begin(), tasks_.end(),
                       [](const auto& entry) { return entry.second.machine.running; });
}

size_t Worker::containers_total() const {
  return std::count_if(tasks_.begin(), tasks_.end(),
                       [](const auto& entry) { return entry.second.machine.prepared; });
}

// ---------------------------------------------------------------------------------------- records

void Worker::MarkDirty(const std::string& task_id) {
  dirty_.insert(task_id);
  FlushSoon();
}

void Worker::FlushSoon() {
  if (flush_posted_ || flushing_) return;
  flush_posted_ = true;
  env_.loop.Post([this, alive = alive_] {
    if (!*alive) return;
    flush_posted_ = false;
    Flush();
  });
}

TaskRecord Worker::RecordOf(const Task& task) const {
  TaskRecord record;
  record.task_id = task.spec.task_id;
  if (task.spec.revision != nullptr) record.revision_id = task.spec.revision->id();
  record.slot = task.spec.slot;
  record.desired = task.machine.desired;
  record.unassigned = task.unassigned;
  record.status = task.status;
  record.generic_resources = task.spec.generic_resources;
  record.networks = task.spec.networks;
  return record;
}

void Worker::Flush() {
  if (flushing_) return;
  for (const std::string& id : dirty_) {
    const auto it = tasks_.find(id);
    if (it != tasks_.end() && !it->second.unclaimed)
      next_.put_tasks.push_back(RecordOf(it->second));
  }
  dirty_.clear();
  if (next_.empty() && after_flush_.empty()) return CheckRemovedAll();
  flushing_ = true;
  flushing_batch_ = std::exchange(next_, {});
  after_flushing_ = std::exchange(after_flush_, {});
  database_.Write(flushing_batch_, [this, alive = alive_](absl::Status status) {
    if (*alive) OnFlushed(std::move(status));
  });
}

void Worker::OnFlushed(absl::Status status) {
  if (!status.ok()) return KeepForRetry(status);
  flushing_ = false;
  flushing_batch_ = {};
  for (auto& then : std::exchange(after_flushing_, {})) then();
  if (!dirty_.empty() || !next_.empty() || !after_flush_.empty()) FlushSoon();
  CheckRemovedAll();
}

// The same batch again, later. What waits for it says why.
void Worker::KeepForRetry(const absl::Status& why) {
  const std::string error = absl::StrCat("cannot write the task database: ", why.message());
  LogError(kComponent, error);
  for (auto& [id, task] : tasks_) {
    const bool waits = task.machine.open == TaskMachine::Verb::kPrepare ||
                       task.machine.open == TaskMachine::Verb::kStart;
    if (!waits || task.status.error() == error) continue;
    task.status.set_error(error);
    Tell(task);
  }
  env_.loop.RunAfter(options_.database_retry, [this, alive = alive_] {
    if (!*alive) return;
    database_.Write(flushing_batch_, [this, alive](absl::Status status) {
      if (*alive) OnFlushed(std::move(status));
    });
  });
}

}  // namespace swarm::agent
