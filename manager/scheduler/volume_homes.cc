#include "manager/scheduler/volume_homes.h"

#include <algorithm>
#include <cstdint>
#include <tuple>

namespace swarm::manager {

VolumeHomes::Fitness VolumeHomes::FitnessOf(const NodeInfo& node) const {
  const bool awaited = IsAwaited(*node.node);
  if (!node.takes_new_tasks && !awaited) return Fitness::kNot;
  if (FirstFailedOfAvailable(demand_, node) != Filter::kNone) return Fitness::kNot;
  return awaited ? Fitness::kAwaited : Fitness::kTakes;
}

VolumeHomes::Home VolumeHomes::HomeAt(NodeInfo* node) const {
  const Fitness fitness = node == nullptr ? Fitness::kNot : FitnessOf(*node);
  if (fitness == Fitness::kNot) return {};
  return {node, fitness == Fitness::kAwaited};
}

// What a template becomes is known on the node alone.
bool VolumeHomes::MayHoldSome(const NodeInfo& node) const {
  const auto& names = demand_.volumes;
  return node.CountVolumes(names) > 0 ||
         std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name.find("{{") != name.npos; });
}

VolumeHomes::Home VolumeHomes::OfSlot(const Task& task) {
  Ref<Task> last;
  view_.EachTaskOfSlot(task.service_id, task.slot, [&](const Ref<Task>& other) {
    const bool ran = !other->node_id.IsZero() && other->id != task.id;
    if (ran && (last == nullptr || std::tie(last->created_unix_ms, last->id) <
                                       std::tie(other->created_unix_ms, other->id))) {
      last = other;
    }
    return true;
  });
  if (last == nullptr) return {};
  NodeInfo* const node = books_.Find(last->node_id);
  const bool failed = last->state == TaskState::kFailed || last->state == TaskState::kRejected;
  if (failed && node != nullptr && !MayHoldSome(*node)) return {};
  return HomeAt(node);
}

VolumeHomes::Home VolumeHomes::NextWithData() {
  const auto is_free = [&](const NodeInfo& node) {
    return node.TasksOf(demand_.key.service) == 0 && FitnessOf(node) != Fitness::kNot;
  };
  if (!with_data_.has_value()) {
    with_data_.emplace();
    for (const auto& [id, node] : books_.nodes()) {
      if (node->CountVolumes(demand_.volumes) > 0 && is_free(*node)) {
        with_data_->push_back(node.get());
      }
    }
    const auto rank = [&](const NodeInfo* node) {
      return std::tuple(node->CountVolumes(demand_.volumes), FitnessOf(*node) == Fitness::kTakes,
                        -static_cast<int64_t>(node->tasks), node->id);
    };
    std::sort(with_data_->begin(), with_data_->end(),
              [&](const NodeInfo* a, const NodeInfo* b) { return rank(a) < rank(b); });
  }
  while (!with_data_->empty()) {
    NodeInfo* const node = with_data_->back();
    with_data_->pop_back();
    if (is_free(*node)) return HomeAt(node);
  }
  return {};
}

}  // namespace swarm::manager
