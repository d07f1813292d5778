// GroupPlacer: places the tasks of one group that may go to any node, best node first, and explains
// what it could not place.
//
//   GroupPlacer placer(books, demand, now);
//   while (NodeInfo* node = placer.Next()) { … assign …; placer.Place(held); }
//   task.error = placer.Explain();  // "no suitable node (2 nodes not available for new tasks)"
//
// The best node, of those that no filter refuses:
//
//   spread    where the group does not fail often, in the branch with the fewest tasks of the
//   service
//             for each placement preference, with the fewest tasks of the service, with the fewest
//             tasks, the least busy by what it reported, of the lowest id
//   binpack   likewise up to the preferences, then the fullest: with the task on it, the larger of
//             its reserved shares of cpu and memory is the largest; of the lowest id
//
// Costs one look at every node, then a heap operation per task and preference. Pure; lives within
// one pass.
#ifndef SWARM_MANAGER_SCHEDULER_GROUP_PLACER_H_
#define SWARM_MANAGER_SCHEDULER_GROUP_PLACER_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "manager/scheduler/node_books.h"
#include "manager/scheduler/node_filters.h"
#include "manager/scheduler/spread_tree.h"

namespace swarm::manager {

class GroupPlacer {
 public:
  // `now` is monotonic. `books` and `demand` outlive it, and only Place changes the books
  // meanwhile.
  GroupPlacer(const NodeBooks& books, const GroupDemand& demand, absl::Duration now);

  // The best node for one more task; null when none is left. The same again until Place.
  NodeInfo* Next() const { return tree_.Best(); }
  // Counts one task of the group, which holds `held`, on what Next gives.
  void Place(const Reservation& held);

  std::string Explain() const { return refusals_.Explain(); }

 private:
  // Nothing when a filter refuses it, which is noted then.
  std::optional<NodeRank> Consider(const NodeInfo& node);

  const GroupDemand& demand_;
  const absl::Duration now_;
  SpreadTree tree_;
  Refusals refusals_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_GROUP_PLACER_H_
