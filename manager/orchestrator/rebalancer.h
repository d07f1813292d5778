// Rebalancer: moves tasks of replicated services to nodes that have fewer of them, start-first, so
// that a service is never below its replicas by it.
//
//   by hand    ServiceRecord.rebalance_moves says how many moves there may still be; one at a time
//   by policy  (ClusterSpec.rebalance slow) after a node joined or came back, at most
//              moves_per_minute over all services
//
// A move that finds no other place within kPatience is given up: the task stays where it is. A
// service that is being updated waits. Loop thread only; what it does is in the store, so that a
// restart of the manager loses at most that nodes have joined.
#ifndef SWARM_MANAGER_ORCHESTRATOR_REBALANCER_H_
#define SWARM_MANAGER_ORCHESTRATOR_REBALANCER_H_

#include <functional>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "common/event_loop.h"
#include "manager/orchestrator/service_keeper.h"
#include "manager/orchestrator/turn.h"

namespace swarm::manager {

class Rebalancer {
 public:
  static constexpr uint32_t kDefaultMovesPerMinute = 6;
  static constexpr absl::Duration kPatience = absl::Minutes(1);

  // `wake` is called when something became due by time alone.
  Rebalancer(EventLoop& loop, ServiceKeeper& services, std::function<void()> wake)
      : loop_(loop), services_(services), wake_(std::move(wake)) {}
  ~Rebalancer() { loop_.Cancel(timer_); }

  // Either may be null, not both.
  void OnService(const Ref<Service>& before, const Ref<Service>& after);
  void OnTask(const Ref<Task>& before, const Ref<Task>& after);
  // A node takes new tasks that did not before.
  void OnMoreNodes(const View& view);
  bool HasWork() const { return !due_.empty() || policy_due_; }
  // What was decided was not written.
  void StartOver(const View& view);
  void Step(Turn& turn);

 private:
  struct Move {
    Slot slot;
    absl::Duration since;
  };
  // True when a move was begun.
  bool Begin(Turn& turn, const Ref<Service>& service);
  // The move of the service that is under way, if any, still is.
  bool IsMoving(Turn& turn, Id service);
  void StepByHand(Turn& turn, const Ref<Service>& service);
  void StepByPolicy(Turn& turn);
  void WakeAt(absl::Duration at);

  EventLoop& loop_;
  ServiceKeeper& services_;
  const std::function<void()> wake_;
  absl::btree_set<Id> due_;  // by hand
  absl::btree_map<Id, Move> moving_;
  absl::btree_map<Id, size_t> left_;  // moves that it took when the last was begun
  absl::btree_set<Id> to_even_out_;   // by policy
  absl::Duration next_by_policy_ = -absl::InfiniteDuration();
  bool policy_due_ = false;
  TimerId timer_ = 0;
  absl::Duration timer_at_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_REBALANCER_H_
