#include "manager/scheduler/pending_groups.h"

namespace swarm::manager {

size_t PendingGroups::CountLooks(size_t nodes) const {
  size_t looks = 0;
  for (const auto& [key, group] : groups_) {
    if (!group.fresh.empty() || !group.waiting.empty()) looks += nodes;
    looks += group.pinned_fresh.size() + group.pinned_waiting.size();
  }
  return looks;
}

void PendingGroups::Add(const GroupKey& key, const Task& task) {
  Group& group = groups_[key];
  (task.wanted_node.IsZero() ? group.fresh : group.pinned_fresh).insert({task.slot, task.id});
  dirty_.insert(key);
}

void PendingGroups::Remove(const GroupKey& key, const Task& task) {
  auto it = groups_.find(key);
  if (it == groups_.end()) return;
  Group& group = it->second;
  for (auto* tasks : {&group.fresh, &group.waiting, &group.pinned_fresh, &group.pinned_waiting}) {
    tasks->erase({task.slot, task.id});
  }
  if (!group.empty()) return;
  dirty_.erase(key);
  groups_.erase(it);
}

void PendingGroups::Retry(Map::value_type& entry) {
  Group& group = entry.second;
  group.pinned_fresh.merge(group.pinned_waiting);
  dirty_.insert(entry.first);
}

void PendingGroups::Retry(const GroupKey& key) {
  auto it = groups_.find(key);
  if (it != groups_.end()) Retry(*it);
}

void PendingGroups::RetryService(Id service) {
  for (auto it = groups_.lower_bound({service, Id{}});
       it != groups_.end() && it->first.service == service; ++it) {
    Retry(*it);
  }
}

void PendingGroups::RetryAll() {
  for (auto& entry : groups_) Retry(entry);
}

Group* PendingGroups::Find(const GroupKey& key) {
  auto it = groups_.find(key);
  return it == groups_.end() ? nullptr : &it->second;
}

void PendingGroups::SetClean(const GroupKey& key) {
  dirty_.erase(key);
  auto it = groups_.find(key);
  if (it != groups_.end() && it->second.empty()) groups_.erase(it);
}

}  // namespace swarm::manager
