// NodeKeeper: what nodes mean for the tasks on them. Sweeps a node when something about it changed:
//
//   removed, DOWN for 24 h      its tasks are ORPHANED and those that have ended gone: nobody will
//                               report about them
//   drained                     its tasks move
//   DOWN                        its tasks are replaced; the old ones stay in its books, to be
//                               stopped when it returns
//   labels, resources changed   tasks that break a constraint of their service, or for which there
//                               is no room any more (newest first), move
//   paused, UNKNOWN             nothing
//
// F13: at most kMovesPerSweep tasks are moved per kSweepPause, and while the NodeLossGate is closed
// the tasks of DOWN nodes wait. Loop thread only.
#ifndef SWARM_MANAGER_ORCHESTRATOR_NODE_KEEPER_H_
#define SWARM_MANAGER_ORCHESTRATOR_NODE_KEEPER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/event_loop.h"
#include "manager/orchestrator/node_loss_gate.h"
#include "manager/orchestrator/service_keeper.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

// Why a task must leave `node` by what the node is; tasks of one node, in any order. Pure. `rules`
// gives the placement that a task's service wants now.
struct Misfit {
  Ref<Task> task;
  std::string reason;
};
using RulesOf = absl::FunctionRef<const PlacementRules*(const Task&)>;
std::vector<Misfit> FindMisfits(const Node& node, std::vector<Ref<Task>> tasks, RulesOf rules);

class NodeKeeper {
 public:
  static constexpr size_t kMovesPerSweep = 1'000;
  static constexpr absl::Duration kSweepPause = absl::Milliseconds(100);
  static constexpr absl::Duration kOrphanedAfter = absl::Hours(24);

  // `wake` is called when a sweep became due by time alone.
  NodeKeeper(EventLoop& loop, ServiceKeeper& services, std::function<void()> wake);
  ~NodeKeeper();

  // Either may be null, not both. False when nothing that decides over tasks differs.
  bool OnNode(const View& view, const Ref<Node>& before, const Ref<Node>& after);
  void SweepAll(const View& view);
  bool HasWork() const { return !to_sweep_.empty() && timer_ == 0; }
  void Sweep(Turn& turn);

 private:
  void OnDown(const View& view, Id node);
  void OnNotDown(const View& view, Id node);
  // False when there is more to do on this node.
  bool SweepNode(Turn& turn, Id id, size_t& moves);
  void OrphanAll(Turn& turn, const std::vector<Ref<Task>>& tasks, std::string_view reason);

  EventLoop& loop_;
  ServiceKeeper& services_;
  const std::function<void()> wake_;
  NodeLossGate gate_;
  absl::btree_set<Id> to_sweep_;
  absl::btree_set<Id> held_;     // DOWN while the gate is closed
  absl::btree_set<Id> expired_;  // DOWN for too long
  absl::btree_map<Id, TimerId> expiry_;
  TimerId timer_ = 0;  // set: sweeping pauses
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_NODE_KEEPER_H_
