// VolumeHomes: where the data are of a group whose tasks use volumes of a node. Asked before the
// GroupPlacer: what it knows no place for is placed as any task, and makes its volumes anew there.
//
//   1. A slot goes back to the node where its last task with data ran, when that node takes it: all
//      of the slot's volumes are there. Tasks that ended before their node had any of them say
//      nothing while there is another; those that failed so never do.
//      When the node refuses it only for what the slot's own older tasks have there (a host port, a
//      GPU, the one replica per node), it waits for them to end, if they are to: they are being
//      stopped, or it is wanted READY and they are stopped for it.
//   2. A slot that never ran (a service that was removed and came back) goes to a node that holds
//      all of the volumes, else as many as any does (a service that came back with one more), and
//      no task of the service yet, as long as there are such nodes. Each replica so gets data of
//      its own, and replicas still spread.
//
// A node that is UNKNOWN is waited for: a manager that has just started would else place tasks
// beside their data, on nodes that were quicker to come back. It is READY or DOWN before long.
//
// The order of preferences and of the spread counts less than the data. Pure, but for the view;
// lives within one pass.
#ifndef SWARM_MANAGER_SCHEDULER_VOLUME_HOMES_H_
#define SWARM_MANAGER_SCHEDULER_VOLUME_HOMES_H_

#include <optional>
#include <vector>

#include "manager/scheduler/node_books.h"
#include "manager/scheduler/node_filters.h"
#include "manager/store/store.h"

namespace swarm::manager {

class VolumeHomes {
 public:
  // All outlive it. `behind`: changes of `view` are not on the books yet.
  VolumeHomes(const View& view, NodeBooks& books, const GroupDemand& demand, bool behind)
      : view_(view), books_(books), demand_(demand), behind_(behind) {}

  enum class WaitsFor {
    kNothing,
    kNode,   // to come back
    kOlder,  // tasks of its slot to end there
    kBooks,  // which may still have what has ended: to be asked again when they are up to date
  };
  struct Home {
    NodeInfo* node = nullptr;  // null: there is none
    WaitsFor waits_for = WaitsFor::kNothing;
  };
  // None: its slot never ran, or cannot there any more.
  Home OfSlot(const Task& task);
  // The one with the most of the volumes first, then those that need not be awaited, then the one
  // with the fewest tasks. Each node once; none when none is left.
  Home NextWithData();

 private:
  enum class Fitness { kNot, kAwaited, kTakes };
  Fitness FitnessOf(const NodeInfo& node) const;
  Home HomeAt(NodeInfo* node) const;
  // At a node that refuses the task as it is.
  Home HomeAfterOlder(const Task& task, NodeInfo& node) const;
  bool MayHoldSome(const NodeInfo& node) const;
  // The one whose node has the slot's data, as far as can be known, or null.
  Ref<Task> LastOfSlot(const Task& task) const;

  const View& view_;
  NodeBooks& books_;
  const GroupDemand& demand_;
  const bool behind_;
  std::optional<std::vector<NodeInfo*>> with_data_;  // the best last; found when first asked for
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_VOLUME_HOMES_H_
