#include "manager/orchestrator/turn.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

std::shared_ptr<const TaskDetail> WithError(const Task& task, std::string_view reason) {
  if (reason.empty()) return task.detail;
  TaskDetail detail = task.detail == nullptr ? TaskDetail{} : *task.detail;
  detail.error = std::string(reason);
  return std::make_shared<const TaskDetail>(std::move(detail));
}

// What a task that should run is wanted to be: one of a job is wanted to end well.
TaskState Started(Slot slot) {
  return RunOf(slot) == 0 ? TaskState::kRunning : TaskState::kComplete;
}

}  // namespace

Turn::Turn(const Env& env, WriteTx& tx, size_t budget)
    : env_(env),
      tx_(tx),
      budget_(budget),
      now_(env.loop.Now()),
      wall_now_(env.clock.WallNow()),
      now_unix_ms_(absl::ToUnixMillis(wall_now_)) {}

Id Turn::Create(NewTask wanted) {
  Task task;
  task.id = Id::Make(env_.random);
  task.service_id = wanted.service;
  task.revision = std::move(wanted.revision);
  task.slot = wanted.slot;
  task.desired = wanted.desired == TaskState::kRunning ? Started(wanted.slot) : wanted.desired;
  task.wanted_node = wanted.wanted_node;
  task.created_unix_ms = std::max(now_unix_ms_, wanted.after_unix_ms + 1);
  task.status_unix_ms = task.created_unix_ms;
  const Id id = task.id;
  tx_.Put(std::move(task));
  ++writes_;
  return id;
}

void Turn::Stop(const Task& task, TaskState desired, std::string_view reason) {
  Task stopped = task;
  stopped.desired = desired;
  stopped.detail = WithError(task, reason);
  if (stopped.node_id.IsZero()) {
    stopped.state = std::max(stopped.state, TaskState::kShutdown);
    stopped.status_unix_ms = now_unix_ms_;
    stopped.gone = true;
  }
  if (stopped.gone && desired == TaskState::kRemove) {
    Remove(task.id);
    return;
  }
  tx_.Put(std::move(stopped));
  ++writes_;
}

void Turn::Promote(const Task& task) {
  Task promoted = task;
  promoted.desired = Started(task.slot);
  tx_.Put(std::move(promoted));
  ++writes_;
}

void Turn::Orphan(const Task& task, std::string_view reason) {
  if (IsRunnable(task) || !task.gone) {
    Task orphan = task;
    orphan.gone = true;
    if (!IsTerminal(task.state)) {
      orphan.state = TaskState::kOrphaned;
      orphan.status_unix_ms = now_unix_ms_;
      orphan.detail = WithError(task, reason);
    }
    tx_.Put(std::move(orphan));
    ++writes_;
  }
}

void Turn::Remove(Id task) {
  tx_.RemoveTask(task);
  ++writes_;
}

void Turn::Put(Service service) {
  const std::string name = service.spec().name();
  const absl::Status status = tx_.Put(std::move(service));
  ++writes_;
  if (!status.ok()) {
    LogError("orchestrator", StrCat("could not write service ", name, ": ", status.ToString()));
  }
}

void Turn::Put(RestartHistory history) {
  tx_.PutRestartHistory(std::move(history));
  ++writes_;
}

void Turn::RemoveRestartHistory(const Task& task) {
  tx_.RemoveRestartHistory(task.service_id, Id::ParseOrZero(task.revision->revision().id()),
                           task.slot);
}

void Turn::RemoveServiceRecords(Id service) {
  std::vector<Id> revisions;
  view().EachRevisionOfService(service, [&](const Ref<Revision>& revision) {
    revisions.push_back(Id::ParseOrZero(revision->revision().id()));
    return true;
  });
  for (Id revision : revisions) RemoveRevision(revision);
  tx_.RemoveRestartHistories(service);
  tx_.RemoveService(service);
  ++writes_;
}

void Turn::RemoveRevision(Id revision) {
  tx_.RemoveRevision(revision);
  ++writes_;
}

}  // namespace swarm::manager
