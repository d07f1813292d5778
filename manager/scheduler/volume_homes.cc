#include "manager/scheduler/volume_homes.h"

#include <algorithm>
#include <tuple>

namespace swarm::manager {

NodeInfo* VolumeHomes::OfSlot(const Task& task) {
  Ref<Task> last;
  view_.EachTaskOfSlot(task.service_id, task.slot, [&](const Ref<Task>& other) {
    const bool ran = !other->node_id.IsZero() && other->id != task.id;
    if (ran && (last == nullptr || std::tie(last->created_unix_ms, last->id) <
                                       std::tie(other->created_unix_ms, other->id))) {
      last = other;
    }
    return true;
  });
  if (last == nullptr) return nullptr;
  NodeInfo* const node = books_.Find(last->node_id);
  return node != nullptr && Takes(*node) ? node : nullptr;
}

NodeInfo* VolumeHomes::NextWithData() {
  const auto is_free = [&](const NodeInfo& node) {
    return node.TasksOf(demand_.key.service) == 0 && Takes(node);
  };
  if (!with_data_.has_value()) {
    with_data_.emplace();
    for (const auto& [id, node] : books_.nodes()) {
      if (node->HasVolumes(demand_.volumes) && is_free(*node)) with_data_->push_back(node.get());
    }
    std::sort(with_data_->begin(), with_data_->end(), [](const NodeInfo* a, const NodeInfo* b) {
      return std::tie(a->tasks, a->id) > std::tie(b->tasks, b->id);
    });
  }
  while (!with_data_->empty()) {
    NodeInfo* const node = with_data_->back();
    with_data_->pop_back();
    if (is_free(*node)) return node;
  }
  return nullptr;
}

}  // namespace swarm::manager
