// How a Worker begins: the node's records against what is really there.
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/worker.h"
#include "common/log.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "worker";
// How often containers that no task knows are looked for (F15).
constexpr absl::Duration kSweepInterval = absl::Minutes(5);

TaskEvent FoundNotRunning(const FoundContainer& found) {
  if (found.created) return TaskEvent{TaskEvent::Kind::kFoundCreated};
  return TaskEvent::Exit(TaskEvent::Kind::kFoundExited, found.exit);
}

TaskEvent FoundNothing(const std::string& why) {
  return TaskEvent::Answer(TaskEvent::Kind::kFoundNothing, absl::NotFoundError(why));
}

}  // namespace

TaskEvent Worker::FoundEvent(const FoundContainer& found) {
  if (!found.running) return FoundNotRunning(found);
  return RunsEvent(found.task_id, TaskEvent::Kind::kFoundRunning, found.process);
}

void Worker::Start(const std::string& boot_id, absl::AnyInvocable<void(absl::Status)> ready) {
  absl::StatusOr<TaskDatabaseContents> contents = database_.Load();
  if (!contents.ok()) {
    env_.loop.Post(
        [ready = std::move(ready), status = contents.status()]() mutable { ready(status); });
    return;
  }
  next_.boot_id = boot_id;
  executor_.Inventory([this, alive = alive_, contents = *std::move(contents),
                       ready = std::move(ready)](auto found) mutable {
    if (!*alive) return;
    if (!found.ok()) return ready(found.status());
    started_ = true;
    Reconcile(std::move(contents), *std::move(found));
    SweepLater();
    ready(absl::OkStatus());
  });
}

void Worker::Reconcile(TaskDatabaseContents contents, std::vector<FoundContainer> containers) {
  Found found;
  for (FoundContainer& container : containers) {
    std::string id = container.task_id;
    found.emplace(std::move(id), std::move(container));
  }
  for (v1::Revision& revision : contents.revisions) {
    std::string id = revision.id();
    revisions_[std::move(id)] = std::make_shared<const v1::Revision>(std::move(revision));
  }
  const bool rebooted = !contents.boot_id.empty() && contents.boot_id != next_.boot_id;
  if (rebooted) LogInfo(kComponent, "the node has rebooted: nothing of before is adopted");
  for (const TaskRecord& record : contents.tasks) Restore(record, found, rebooted);
  if (contents.rebuilt) {
    LogError(kComponent, absl::StrCat("the task database was damaged (", contents.damage,
                                      "): moved aside, going on with the ", found.size(),
                                      " containers that are there"));
    AdoptUnclaimed(found);
  } else {
    Sweep(found);
  }
  FlushSoon();
}

void Worker::Restore(const TaskRecord& record, Found& found, bool rebooted) {
  Task& task = tasks_[record.task_id];
  task.spec.task_id = record.task_id;
  task.spec.slot = record.slot;
  task.spec.generic_resources = record.generic_resources;
  task.spec.networks = record.networks;
  const auto revision = revisions_.find(record.revision_id);
  if (revision != revisions_.end()) {
    task.spec.revision = revision->second;
    task.machine.memory_limit_bytes = revision->second->task().resources().limits().memory_bytes();
  }
  task.machine.observed = record.status.state();
  task.machine.desired = record.desired;
  task.unassigned = record.unassigned;
  task.status = record.status;
  if (record.status.health().state() == v1::Health::STATE_UNHEALTHY) {
    task.machine.unhealthy = true;  // and was being stopped for it
    task.machine.unhealthy_reason = UnhealthyReason(record.status.health());
  }

  const auto there = found.find(record.task_id);
  if (there == found.end()) {
    // Without its revision it cannot be run; the manager will see it fail.
    if (revision == revisions_.end() && task.machine.observed < v1::TaskStatus::STATE_STARTING) {
      task.machine.observed = v1::TaskStatus::STATE_STARTING;
    }
    return Handle(record.task_id, FoundNothing(rebooted ? "node rebooted" : "container is gone"));
  }
  FoundContainer container = std::move(there->second);
  found.erase(there);
  task.image_digest = container.image_digest;
  if (container.created && revision == revisions_.end()) {  // cannot be prepared anew
    container.created = false;
    container.exit = {0, false, "its revision is gone"};
  }
  if (!rebooted) {
    if (container.running) executor_.Adopt(task.spec);
    return Handle(record.task_id, FoundEvent(container));
  }
  const bool had_begun = task.machine.observed >= v1::TaskStatus::STATE_STARTING;
  if (!had_begun) return Handle(record.task_id, FoundNothing("node rebooted"));
  FoundContainer dead = container;
  dead.exit = {0, false, "node rebooted"};
  dead.running = dead.created = false;
  Handle(record.task_id, FoundEvent(dead));
  // Cannot run after a true reboot; if anything of it does, it goes.
  Kill(record.task_id);
  if (container.running) Handle(record.task_id, FoundEvent(container));
}

void Worker::AdoptUnclaimed(Found& found) {
  for (const auto& [id, container] : found) {
    // Of no use to anybody: prepared anew when its task is assigned, else swept as a stray.
    if (container.created) continue;
    Task& task = tasks_[id];
    task.spec.task_id = id;
    task.unclaimed = true;
    task.image_digest = container.image_digest;
    task.machine.desired = v1::TaskStatus::STATE_RUNNING;
    // What it was is lost; what runs counts as healthy until proven otherwise.
    if (container.running) task.machine.observed = v1::TaskStatus::STATE_RUNNING;
    Handle(id, FoundEvent(container));
  }
}

void Worker::SweepLater() {
  sweep_timer_ = env_.loop.RunAfter(kSweepInterval, [this] {
    sweep_timer_ = 0;
    std::set<std::string> known;
    for (const auto& [id, task] : tasks_) known.insert(id);
    executor_.ListIds([this, alive = alive_, known = std::move(known)](auto there) {
      if (!*alive) return;
      if (there.ok()) {
        SweepStrays(known, *there);
      } else {
        LogWarning(kComponent, absl::StrCat("look for strays: ", there.status().message()));
      }
      SweepLater();
    });
  });
}

// What was ours before we looked may have gone meanwhile, what came meanwhile is ours now.
void Worker::SweepStrays(const std::set<std::string>& known_before,
                         const std::vector<std::string>& there) {
  for (const std::string& id : there) {
    if (known_before.contains(id) || tasks_.contains(id)) continue;
    LogWarning(kComponent, absl::StrCat("removing container ", id, ", which no task knows"));
    Task& task = tasks_[id];
    task.spec.task_id = id;
    task.unassigned = true;
    Handle(id, TaskEvent::Desired(v1::TaskStatus::STATE_REMOVE));
  }
}

void Worker::Sweep(const Found& unknown) {
  for (const auto& [id, container] : unknown) {
    LogWarning(kComponent, absl::StrCat("removing container ", id, ", which no record knows"));
    Task& task = tasks_[id];
    task.spec.task_id = id;
    task.unassigned = true;
    task.image_digest = container.image_digest;
    Handle(id, FoundEvent(container));
    Handle(id, TaskEvent::Desired(v1::TaskStatus::STATE_REMOVE));
  }
}

}  // namespace swarm::agent
