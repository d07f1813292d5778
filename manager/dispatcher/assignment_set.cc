#include "manager/dispatcher/assignment_set.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"

namespace swarm::manager {
namespace {

constexpr size_t kTaskBytes = 72;  // two ids, slot, state, tags
constexpr size_t kIdBytes = 27;

Id RevisionId(const Task& task) { return Id::ParseOrZero(task.revision->revision().id()); }

}  // namespace

TaskState WantedState(const Task& task) {
  if (task.state == TaskState::kOrphaned) return TaskState::kRemove;
  return IsTerminal(task.state) ? std::max(task.desired, TaskState::kShutdown) : task.desired;
}

// The messages under construction; begins a new one when the last is full.
class AssignmentSet::Chunks {
 public:
  explicit Chunks(v1::Assignment::Kind kind) : kind_(kind) {}

  // A message with room for `bytes` more.
  v1::Assignment& Room(size_t bytes) {
    if (all_.empty() || bytes_ + bytes > kChunkBytes) {
      all_.emplace_back().set_kind(kind_);
      bytes_ = 0;
    }
    bytes_ += bytes;
    return all_.back();
  }
  std::deque<v1::Assignment> Take() { return std::move(all_); }

 private:
  const v1::Assignment::Kind kind_;
  std::deque<v1::Assignment> all_;
  size_t bytes_ = 0;
};

void AssignmentSet::AddTask(const Task& task, Chunks& chunks) {
  const v1::Revision& revision = task.revision->revision();
  const Id revision_id = RevisionId(task);
  auto [it, added] = tasks_.try_emplace(task.id, Sent{revision_id, WantedState(task)});
  if (added) {
    if (revisions_[revision_id]++ == 0) {
      *chunks.Room(revision.ByteSizeLong() + kIdBytes).add_revisions() = revision;
    }
  } else {
    it->second.desired = WantedState(task);
  }
  v1::TaskAssignment& out = *chunks.Room(kTaskBytes).add_tasks();
  out.set_task_id(task.id.ToString());
  out.set_revision_id(revision.id());
  out.set_slot(task.slot);
  out.set_desired_state(ToProto(WantedState(task)));
}

std::deque<v1::Assignment> AssignmentSet::Complete(const std::vector<Ref<Task>>& tasks) {
  tasks_.clear();
  revisions_.clear();
  Chunks chunks(v1::Assignment::KIND_COMPLETE);
  for (const Ref<Task>& task : tasks) AddTask(*task, chunks);
  chunks.Room(0);  // an empty node is told so
  std::deque<v1::Assignment> all = chunks.Take();
  ++sequence_;
  for (v1::Assignment& part : all) {
    part.set_sequence(sequence_);
    part.set_more(&part != &all.back());
  }
  return all;
}

std::deque<v1::Assignment> AssignmentSet::Increment(
    const absl::btree_map<Id, Ref<Task>>& tasks,
    const absl::btree_map<Id, Ref<Revision>>& revisions) {
  Chunks chunks(v1::Assignment::KIND_INCREMENT);
  for (const auto& [id, revision] : revisions) {
    if (!HoldsRevision(id)) continue;
    *chunks.Room(revision->revision().ByteSizeLong() + kIdBytes).add_revisions() =
        revision->revision();
  }
  for (const auto& [id, task] : tasks) {
    if (task == nullptr) continue;
    auto sent = tasks_.find(id);
    if (sent == tasks_.end() || sent->second.desired != WantedState(*task)) AddTask(*task, chunks);
  }
  std::vector<Id> unused;
  for (const auto& [id, task] : tasks) {
    if (task != nullptr) continue;
    auto sent = tasks_.find(id);
    if (sent == tasks_.end()) continue;
    chunks.Room(kIdBytes).add_removed_tasks(id.ToString());
    auto uses = revisions_.find(sent->second.revision);
    CHECK(uses != revisions_.end()) << sent->second.revision.ToString();
    if (--uses->second == 0) {
      unused.push_back(uses->first);
      revisions_.erase(uses);
    }
    tasks_.erase(sent);
  }
  for (const Id& id : unused) chunks.Room(kIdBytes).add_removed_revisions(id.ToString());
  std::deque<v1::Assignment> all = chunks.Take();
  for (v1::Assignment& part : all) {
    part.set_previous(sequence_);
    part.set_sequence(++sequence_);
  }
  return all;
}

}  // namespace swarm::manager
