#include "manager/scheduler/node_books.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace swarm::manager {
namespace {

// Groups remembered per node before the forgotten ones are swept out.
constexpr size_t kFailingGroupsSwept = 256;

}  // namespace

std::vector<Port> HostPortsOf(const Revision& revision) {
  std::vector<Port> ports;
  for (const v1::PortConfig& port : revision.revision().host_ports()) {
    ports.push_back(PublishedOf(port));
  }
  return ports;
}

uint32_t NodeInfo::TasksOf(Id service) const {
  auto it = tasks_of_service_.find(service);
  return it == tasks_of_service_.end() ? 0 : it->second;
}

void NodeInfo::Count(Id service, const Reservation& held) {
  ++tasks;
  ++tasks_of_service_[service];
  taken += held;
}

void NodeInfo::Discount(Id service, const Reservation& held) {
  auto it = tasks_of_service_.find(service);
  if (it == tasks_of_service_.end()) return;  // counted on an earlier node of this id
  if (--it->second == 0) tasks_of_service_.erase(it);
  --tasks;
  taken -= held;
}

void NodeInfo::Add(const Task& task) {
  Reservation held = HeldBy(task);
  if (NodeBooks::Holds(task)) {
    taken.generic += held.generic;
    HoldPorts(HostPortsOf(*task.revision));
  }
  held.generic = {};
  if (NodeBooks::Counts(task)) Count(task.service_id, held);
}

void NodeInfo::Subtract(const Task& task) {
  Reservation held = HeldBy(task);
  if (NodeBooks::Holds(task)) {
    taken.generic -= held.generic;
    FreePorts(HostPortsOf(*task.revision));
  }
  held.generic = {};
  if (NodeBooks::Counts(task)) Discount(task.service_id, held);
}

size_t NodeInfo::CountVolumes(const std::vector<std::string>& names) const {
  return static_cast<size_t>(
      std::count_if(names.begin(), names.end(), [this](const std::string& name) {
        return std::binary_search(volumes.begin(), volumes.end(), name);
      }));
}

void NodeInfo::HoldPorts(const std::vector<Port>& ports) {
  for (const Port& port : ports) ++host_ports_[port];
}

void NodeInfo::FreePorts(const std::vector<Port>& ports) {
  for (const Port& port : ports) {
    const auto found = host_ports_.find(port);
    if (found != host_ports_.end() && --found->second == 0) host_ports_.erase(found);
  }
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
  info->volumes.clear();
  for (const v1::NodeVolume& volume : node->description().volumes()) {
    if (!volume.anonymous()) info->volumes.push_back(volume.name());
  }
  std::sort(info->volumes.begin(), info->volumes.end());
  info->capacity = CapacityOf(*node);
  info->usage = UsageOf(*node);
  info->node = std::move(node);
}

void NodeBooks::PutAllNodes(const View& view) {
  auto known = nodes_.begin();
  std::vector<std::pair<Id, Ref<Node>>> changed;
  std::vector<Id> removed;
  view.EachNode([&](const Ref<Node>& node) {
    // Both are in the order of their ids; a node that is known as it is needs no parsing of its id.
    if (known != nodes_.end() && known->second->node == node) {
      ++known;
      return true;
    }
    const Id id = Id::ParseOrZero(node->id());
    while (known != nodes_.end() && known->first < id) removed.push_back((known++)->first);
    if (known != nodes_.end() && known->first == id) ++known;
    changed.emplace_back(id, node);
    return true;
  });
  while (known != nodes_.end()) removed.push_back((known++)->first);
  for (const Id id : removed) RemoveNode(id);
  for (auto& [id, node] : changed) PutNode(id, std::move(node));
}

NodeInfo* NodeBooks::Find(Id id) {
  auto it = nodes_.find(id);
  return it == nodes_.end() ? nullptr : it->second.get();
}

void NodeBooks::Add(const Task& task) {
  if (NodeInfo* node = Find(task.node_id)) node->Add(task);
}

void NodeBooks::Subtract(const Task& task) {
  if (NodeInfo* node = Find(task.node_id)) node->Subtract(task);
}

}  // namespace swarm::manager
