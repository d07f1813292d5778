// NodeLossGate (F13): when many nodes vanish at once it is more likely that the manager is cut off
// than that they all died; starting everything again on the rest would bury it. Pure.
//
// Closed when, of at least four nodes, more than half went DOWN within one liveness window; open
// again once at most half of the nodes are DOWN (they came back, or an operator removed them).
// While it is closed, tasks of DOWN nodes stay as they are; draining or removing a lost node moves
// them anyway.
#ifndef SWARM_MANAGER_ORCHESTRATOR_NODE_LOSS_GATE_H_
#define SWARM_MANAGER_ORCHESTRATOR_NODE_LOSS_GATE_H_

#include <cstddef>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "common/ids.h"

namespace swarm::manager {

class NodeLossGate {
 public:
  static constexpr size_t kSmallestCluster = 4;

  // `nodes` counts the lost one. Of a node that is DOWN already: nothing new.
  void OnDown(Id node, absl::Duration now, absl::Duration window, size_t nodes);
  // Back, or removed.
  void OnNotDown(Id node, size_t nodes);

  bool closed() const { return closed_; }
  size_t down() const { return down_since_.size(); }

 private:
  absl::btree_map<Id, absl::Duration> down_since_;
  bool closed_ = false;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_NODE_LOSS_GATE_H_
