#include "manager/scheduler/group_placer.h"

#include <limits>

namespace swarm::manager {
namespace {

// The fullest is the smallest.
uint32_t RoomLeftAfter(const Reservation& asked, const NodeInfo& node) {
  const Reservation after{
      node.taken.nano_cpus + asked.nano_cpus, node.taken.memory_bytes + asked.memory_bytes, {}};
  return std::numeric_limits<uint32_t>::max() - LargerShare(after, node.capacity);
}

}  // namespace

GroupPlacer::GroupPlacer(const NodeBooks& books, const GroupDemand& demand, absl::Duration now)
    : demand_(demand), now_(now), tree_(demand.rules) {
  for (const auto& [id, node] : books.nodes()) {
    tree_.Add(*node, node->TasksOf(demand.key.service), Consider(*node));
  }
  tree_.Build();
}

std::optional<NodeRank> GroupPlacer::Consider(const NodeInfo& node) {
  const Filter failed = FirstFailed(demand_, node);
  if (failed != Filter::kNone) {
    refusals_.Add(demand_, node, failed);
    return std::nullopt;
  }
  const bool fails_often = node.FailsOften(demand_.key, now_);
  if (demand_.rules.packs()) {
    return NodeRank{fails_often, RoomLeftAfter(demand_.reservation, node), 0, 0, node.id};
  }
  return NodeRank{fails_often, node.TasksOf(demand_.key.service), node.tasks, node.usage, node.id};
}

void GroupPlacer::Place(const Reservation& held) {
  NodeInfo& node = *Next();
  node.Count(demand_.key.service, held);
  node.HoldPorts(demand_.host_ports);
  tree_.ReplaceBest(1, Consider(node));
}

}  // namespace swarm::manager
