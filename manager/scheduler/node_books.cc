#include "manager/scheduler/node_books.h"

#include <utility>

namespace swarm::manager {
namespace {

// Groups remembered per node before the forgotten ones are swept out.
constexpr size_t kFailingGroupsSwept = 256;

}  // namespace

uint32_t NodeInfo::TasksOf(Id service) const {
  auto it = tasks_of_service_.find(service);
  return it == tasks_of_service_.end() ? 0 : it->second;
}

void NodeInfo::Count(Id service, const Reservation& reservation) {
  ++tasks;
  ++tasks_of_service_[service];
  taken += reservation;
}

void NodeInfo::Discount(Id service, const Reservation& reservation) {
  auto it = tasks_of_service_.find(service);
  if (it == tasks_of_service_.end()) return;  // counted on an earlier node of this id
  if (--it->second == 0) tasks_of_service_.erase(it);
  --tasks;
  taken -= reservation;
}

void NodeInfo::NoteFailure(const GroupKey& group, absl::Duration now) {
  if (failures_.size() >= kFailingGroupsSwept) {
    absl::erase_if(failures_,
                   [&](const auto& entry) { return now - entry.second.back() > kFailuresKept; });
  }
  std::deque<absl::Duration>& times = failures_[group];
  times.push_back(now);
  if (times.size() > kFailuresThatMatter) times.pop_front();
}

bool NodeInfo::FailsOften(const GroupKey& group, absl::Duration now) const {
  auto it = failures_.find(group);
  return it != failures_.end() && it->second.size() == kFailuresThatMatter &&
         now - it->second.front() <= kFailuresKept;
}

void NodeBooks::PutNode(Id id, Ref<Node> node) {
  std::unique_ptr<NodeInfo>& info = nodes_[id];
  if (info == nullptr) info = std::make_unique<NodeInfo>();
  if (info->node == node) return;
  info->id = id;
  info->takes_new_tasks = TakesNewTasks(*node);
  info->subject = SubjectOf(*node);
  info->capacity = CapacityOf(*node);
  info->node = std::move(node);
}

NodeInfo* NodeBooks::Find(Id id) {
  auto it = nodes_.find(id);
  return it == nodes_.end() ? nullptr : it->second.get();
}

void NodeBooks::Add(const Task& task) {
  if (NodeInfo* node = Find(task.node_id)) {
    node->Count(task.service_id, ReservationOf(*task.revision));
  }
}

void NodeBooks::Subtract(const Task& task) {
  if (NodeInfo* node = Find(task.node_id)) {
    node->Discount(task.service_id, ReservationOf(*task.revision));
  }
}

}  // namespace swarm::manager
