#include "manager/scheduler/group_placer.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace swarm::manager {
namespace {

// In the words that users of Swarm know, by the order of the filters.
std::string Words(size_t filter, uint32_t nodes) {
  const char* const on = nodes == 1 ? " node" : " nodes";
  switch (filter) {
    case 0:
      return absl::StrCat(nodes, on, " not available for new tasks");
    case 1:
      return absl::StrCat("insufficient resources on ", nodes, on);
    case 2:
      return absl::StrCat("scheduling constraints not satisfied on ", nodes, on);
    case 3:
      return absl::StrCat("unsupported platform on ", nodes, on);
    default:
      return absl::StrCat("max replicas per node limit reached on ", nodes, on);
  }
}

}  // namespace

GroupPlacer::GroupPlacer(const NodeBooks& books, const GroupDemand& demand, absl::Duration now)
    : demand_(demand), now_(now) {
  for (const auto& [id, node] : books.nodes()) Consider(*node);
}

GroupPlacer::Filter GroupPlacer::FirstFailed(const NodeInfo& node) const {
  if (!node.takes_new_tasks) return kAvailable;
  if (!Fits(demand_.reservation, node.taken, node.capacity)) return kResources;
  if (!demand_.rules.BrokenConstraint(node.subject).empty()) return kConstraints;
  if (!demand_.rules.PlatformMatches(node.node->description().platform())) return kPlatform;
  const uint64_t limit = demand_.rules.max_replicas_per_node();
  if (limit > 0 && node.TasksOf(demand_.key.service) >= limit) return kMaxReplicas;
  return kFilterCount;
}

void GroupPlacer::Consider(NodeInfo& node) {
  const Filter failed = FirstFailed(node);
  if (failed != kFilterCount) {
    ++refused_[failed];
    return;
  }
  heap_.emplace(node.FailsOften(demand_.key, now_), node.TasksOf(demand_.key.service), node.tasks,
                node.id, &node);
}

NodeInfo* GroupPlacer::Next() { return heap_.empty() ? nullptr : std::get<4>(heap_.top()); }

void GroupPlacer::Place(NodeInfo& node) {
  node.Count(demand_.key.service, demand_.reservation);
  Reconsider(node);
}

void GroupPlacer::Reconsider(NodeInfo& node) {
  heap_.pop();
  Consider(node);
}

std::string GroupPlacer::Explain() const {
  std::array<size_t, kFilterCount> order;
  std::iota(order.begin(), order.end(), 0);
  // Most nodes first, as Swarm writes it; of equals the earlier filter.
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return refused_[a] > refused_[b]; });
  std::string reasons;
  for (size_t filter : order) {
    if (refused_[filter] == 0) break;
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", Words(filter, refused_[filter]));
  }
  return reasons.empty() ? "no suitable node" : absl::StrCat("no suitable node (", reasons, ")");
}

}  // namespace swarm::manager
