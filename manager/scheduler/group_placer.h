// GroupPlacer: places the tasks of one group, best node first, and explains what it could not
// place.
//
//   GroupPlacer placer(books, demand, now);
//   while (NodeInfo* node = placer.Next()) { … assign …; placer.Place(*node); }
//   task.error = placer.Explain();  // "no suitable node (2 nodes not available for new tasks)"
//
// Filters, in this order; a node counts for the first that it fails: available, resources,
// constraints, platform, max replicas per node. Costs one look at every node, then a heap operation
// per task. Pure; lives within one pass.
#ifndef SWARM_MANAGER_SCHEDULER_GROUP_PLACER_H_
#define SWARM_MANAGER_SCHEDULER_GROUP_PLACER_H_

#include <array>
#include <cstdint>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "manager/placement.h"
#include "manager/scheduler/node_books.h"

namespace swarm::manager {

struct GroupDemand {
  GroupDemand(const GroupKey& group_key, const Revision& revision)
      : key(group_key),
        reservation(ReservationOf(revision)),
        rules(revision.revision().task().placement()) {}

  GroupKey key;
  Reservation reservation;
  PlacementRules rules;
};

class GroupPlacer {
 public:
  // `now` is monotonic. `books` and `demand` outlive it, and only Place changes the books
  // meanwhile.
  GroupPlacer(const NodeBooks& books, const GroupDemand& demand, absl::Duration now);

  // The best node for one more task; null when none is left. The same again until Place or Refuse.
  NodeInfo* Next();
  // Counts one task of the group on what Next gave.
  void Place(NodeInfo& node);
  // What Next gave is not what the books say any more: filter it anew.
  void Reconsider(NodeInfo& node);

  std::string Explain() const;

 private:
  enum Filter { kAvailable, kResources, kConstraints, kPlatform, kMaxReplicas, kFilterCount };
  // Fails often, tasks of the service, all tasks, id: the smallest is the best.
  using Rank = std::tuple<bool, uint32_t, uint32_t, Id, NodeInfo*>;

  // kFilterCount when all let it through.
  Filter FirstFailed(const NodeInfo& node) const;
  void Consider(NodeInfo& node);

  const GroupDemand& demand_;
  const absl::Duration now_;
  std::priority_queue<Rank, std::vector<Rank>, std::greater<Rank>> heap_;
  std::array<uint32_t, kFilterCount> refused_ = {};
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_GROUP_PLACER_H_
