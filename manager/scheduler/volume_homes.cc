#include "manager/scheduler/volume_homes.h"

#include <algorithm>
#include <cstdint>
#include <optional>
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
  return {node, fitness == Fitness::kAwaited ? WaitsFor::kNode : WaitsFor::kNothing};
}

VolumeHomes::Home VolumeHomes::HomeAfterOlder(const Task& task, NodeInfo& node) const {
  std::optional<NodeInfo> later;  // as `node` when none has anything there
  bool all_end = true;
  view_.EachTaskOfSlot(task.service_id, task.slot, [&](const Ref<Task>& other) {
    if (other->node_id != node.id || other->id == task.id) return true;
    all_end &= !IsRunnable(*other) || task.desired == TaskState::kReady;
    if (!NodeBooks::Counts(*other) && !NodeBooks::Holds(*other)) return true;
    if (!later.has_value()) later = node;
    later->Subtract(*other);
    return true;
  });
  if (!all_end || !later.has_value()) return {};
  switch (FitnessOf(*later)) {
    case Fitness::kTakes:
      return {&node, WaitsFor::kOlder};
    case Fitness::kAwaited:
      return {&node, WaitsFor::kNode};
    case Fitness::kNot:
      break;
  }
  return {};
}

// What a template becomes is known on the node alone.
bool VolumeHomes::MayHoldSome(const NodeInfo& node) const {
  const auto& names = demand_.volumes;
  return node.CountVolumes(names) > 0 ||
         std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name.find("{{") != name.npos; });
}

Ref<Task> VolumeHomes::LastOfSlot(const Task& task) const {
  Ref<Task> last;
  std::tuple<bool, int64_t, Id> best;
  view_.EachTaskOfSlot(task.service_id, task.slot, [&](const Ref<Task>& other) {
    const NodeInfo* node = other->id == task.id ? nullptr : books_.Find(other->node_id);
    if (node == nullptr) return true;
    // A node says what it holds a moment after it made it.
    const bool has_data = other->state == TaskState::kRunning ||
                          other->state == TaskState::kComplete || MayHoldSome(*node);
    const bool failed = other->state == TaskState::kFailed || other->state == TaskState::kRejected;
    if (failed && !has_data) return true;
    const std::tuple rank(has_data, other->created_unix_ms, other->id);
    if (last != nullptr && rank < best) return true;
    best = rank;
    last = other;
    return true;
  });
  return last;
}

VolumeHomes::Home VolumeHomes::OfSlot(const Task& task) {
  const Ref<Task> last = LastOfSlot(task);
  if (last == nullptr) return {};
  NodeInfo* const node = books_.Find(last->node_id);
  Home home = HomeAt(node);
  if (home.node == nullptr) home = HomeAfterOlder(task, *node);
  if (home.node == nullptr && behind_) return {node, WaitsFor::kBooks};
  return home;
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
