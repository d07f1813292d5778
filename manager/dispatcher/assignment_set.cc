#include "manager/dispatcher/assignment_set.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "google/protobuf/util/message_differencer.h"
#include "manager/network_rules.h"

namespace swarm::manager {
namespace {

constexpr size_t kTagBytes = 6;
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

bool UsageWatches::Set(Id service, const v1::Autoscale* autoscale) {
  auto it = watches_.find(service);
  if (autoscale == nullptr) {
    if (it == watches_.end()) return false;
    watches_.erase(it);
    return true;
  }
  v1::UsageWatch wishes;
  *wishes.mutable_metrics() = autoscale->metrics();
  if (it != watches_.end() &&
      google::protobuf::util::MessageDifferencer::Equals(it->second.wishes, wishes)) {
    return false;
  }
  watches_[service] = {++last_number_, std::move(wishes)};
  return true;
}

const UsageWatches::Watch* UsageWatches::Find(Id service) const {
  auto it = watches_.find(service);
  return it == watches_.end() ? nullptr : &it->second;
}

void AssignmentSet::AddRevision(const v1::Revision& revision, Chunks& chunks) const {
  v1::Revision& added = *chunks.Room(revision.ByteSizeLong() + kIdBytes).add_revisions();
  added = revision;
  volumes_.Settle(added);
}

void AssignmentSet::AddTask(const Task& task, const UsageWatches& watches, Chunks& chunks) {
  const v1::Revision& revision = task.revision->revision();
  const Id revision_id = RevisionId(task);
  const UsageWatches::Watch* watch = watches.Find(task.service_id);
  const Sent sent{revision_id, WantedState(task), watch == nullptr ? 0 : watch->number};
  auto [it, added] = tasks_.try_emplace(task.id, sent);
  if (added) {
    Held& held = revisions_[revision_id];
    if (held.tasks++ == 0) {
      held.record = task.revision;
      AddContents(revision, chunks);
      AddRevision(revision, chunks);
    }
  } else {
    it->second = sent;
  }
  v1::TaskAssignment out;
  out.set_task_id(task.id.ToString());
  out.set_revision_id(revision.id());
  out.set_slot(PublicSlot(task));
  if (task.extras != nullptr) {
    out.mutable_generic_resources()->Assign(task.extras->generic.begin(),
                                            task.extras->generic.end());
  }
  // What has ended holds no addresses: others may have them by now.
  if (HoldsAddresses(task)) {
    for (const TaskAddress& address : task.addresses()) *out.add_networks() = ToApi(address);
  }
  out.set_desired_state(ToProto(WantedState(task)));
  if (watch != nullptr) *out.mutable_usage() = watch->wishes;
  *chunks.Room(out.ByteSizeLong() + kTagBytes).add_tasks() = std::move(out);
}

void AssignmentSet::AddContents(const v1::Revision& revision, Chunks& chunks) {
  for (const v1::SecretReference& secret : revision.task().container().secrets()) {
    const Id id = Id::ParseOrZero(secret.secret_id());
    if (secrets_[id]++ > 0) continue;
    const size_t bytes = contents_.SecretBytesOf(id);
    if (bytes == 0) continue;
    chunks.Room(bytes + kTagBytes).add_secrets()->set_secret_id(secret.secret_id());
  }
  for (const v1::ConfigReference& config : revision.task().container().configs()) {
    const Id id = Id::ParseOrZero(config.config_id());
    if (configs_[id]++ > 0) continue;
    const size_t bytes = contents_.ConfigBytesOf(id);
    if (bytes == 0) continue;
    chunks.Room(bytes + kTagBytes).add_configs()->set_config_id(config.config_id());
  }
}

void AssignmentSet::RemoveContents(const v1::Revision& revision, Chunks& chunks) {
  // True when nothing else mounts it.
  const auto let_go = [](absl::btree_map<Id, uint32_t>& uses, Id id) {
    auto use = uses.find(id);
    CHECK(use != uses.end()) << id.ToString();
    if (--use->second > 0) return false;
    uses.erase(use);
    return true;
  };
  for (const v1::SecretReference& secret : revision.task().container().secrets()) {
    if (!let_go(secrets_, Id::ParseOrZero(secret.secret_id()))) continue;
    chunks.Room(kIdBytes).add_removed_secrets(secret.secret_id());
  }
  for (const v1::ConfigReference& config : revision.task().container().configs()) {
    if (!let_go(configs_, Id::ParseOrZero(config.config_id()))) continue;
    chunks.Room(kIdBytes).add_removed_configs(config.config_id());
  }
}

void AssignmentSet::AddNetworks(v1::NetworkChanges& networks, Chunks& chunks) {
  const auto move = [&](auto& from, auto& (*to)(v1::NetworkChanges&)) {
    for (auto& piece : from) {
      v1::Assignment& chunk = chunks.Room(piece.ByteSizeLong() + kTagBytes);
      *to(*chunk.mutable_networks()).Add() = std::move(piece);
    }
  };
  for (const v1::NodeNetwork& network : networks.networks()) {
    networks_.insert(Id::ParseOrZero(network.network().id()));
  }
  move(
      *networks.mutable_networks(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_networks(); });
  move(
      *networks.mutable_peers(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_peers(); });
  move(
      *networks.mutable_removed_peers(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_removed_peers(); });
  move(
      *networks.mutable_members(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_members(); });
  move(
      *networks.mutable_removed_members(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_removed_members(); });
  move(
      *networks.mutable_endpoints(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_endpoints(); });
  move(
      *networks.mutable_removed_endpoints(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_removed_endpoints(); });
  move(
      *networks.mutable_ports(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_ports(); });
  move(
      *networks.mutable_removed_ports(),
      +[](v1::NetworkChanges & c) -> auto& { return *c.mutable_removed_ports(); });
}

void AssignmentSet::RemoveNetworks(v1::NetworkChanges& networks, Chunks& chunks) {
  for (std::string& id : *networks.mutable_removed_networks()) {
    if (networks_.erase(Id::ParseOrZero(id)) == 0) continue;
    chunks.Room(kIdBytes).mutable_networks()->add_removed_networks(std::move(id));
  }
}

std::deque<v1::Assignment> AssignmentSet::Complete(const std::vector<Ref<Task>>& tasks,
                                                   v1::NetworkChanges networks,
                                                   const UsageWatches& watches) {
  tasks_.clear();
  revisions_.clear();
  secrets_.clear();
  configs_.clear();
  networks_.clear();
  Chunks chunks(v1::Assignment::KIND_COMPLETE);
  AddNetworks(networks, chunks);
  for (const Ref<Task>& task : tasks) AddTask(*task, watches, chunks);
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
    const absl::btree_map<Id, Ref<Revision>>& revisions, v1::NetworkChanges networks,
    const UsageWatches& watches) {
  Chunks chunks(v1::Assignment::KIND_INCREMENT);
  AddNetworks(networks, chunks);
  for (const auto& [id, revision] : revisions) {
    if (!HoldsRevision(id)) continue;
    AddRevision(revision->revision(), chunks);
  }
  for (const auto& [id, task] : tasks) {
    if (task == nullptr) continue;
    auto sent = tasks_.find(id);
    const UsageWatches::Watch* watch = watches.Find(task->service_id);
    const uint64_t number = watch == nullptr ? 0 : watch->number;
    if (sent == tasks_.end() || sent->second.desired != WantedState(*task) ||
        sent->second.watch != number) {
      AddTask(*task, watches, chunks);
    }
  }
  std::vector<Ref<Revision>> unused;
  for (const auto& [id, task] : tasks) {
    if (task != nullptr) continue;
    auto sent = tasks_.find(id);
    if (sent == tasks_.end()) continue;
    chunks.Room(kIdBytes).add_removed_tasks(id.ToString());
    auto uses = revisions_.find(sent->second.revision);
    CHECK(uses != revisions_.end()) << sent->second.revision.ToString();
    if (--uses->second.tasks == 0) {
      unused.push_back(uses->second.record);
      revisions_.erase(uses);
    }
    tasks_.erase(sent);
  }
  for (const Ref<Revision>& revision : unused) {
    chunks.Room(kIdBytes).add_removed_revisions(revision->revision().id());
  }
  for (const Ref<Revision>& revision : unused) RemoveContents(revision->revision(), chunks);
  RemoveNetworks(networks, chunks);
  std::deque<v1::Assignment> all = chunks.Take();
  for (v1::Assignment& part : all) {
    part.set_previous(sequence_);
    part.set_sequence(++sequence_);
  }
  return all;
}

}  // namespace swarm::manager
