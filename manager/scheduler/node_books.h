// NodeBooks: what the scheduler knows of each node without asking the store: its facts, what is
// reserved on it and how many tasks of which service it has. Kept by adding and subtracting single
// tasks, so that a change costs what it changed.
//
// A task that is to stop frees its cpu and memory at once, for the one that comes after it, but
// keeps its generic resources and host ports until it has ended: no two containers share a GPU.
//
// Pure; one thread.
#ifndef SWARM_MANAGER_SCHEDULER_NODE_BOOKS_H_
#define SWARM_MANAGER_SCHEDULER_NODE_BOOKS_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/constraint.h"
#include "common/ids.h"
#include "manager/network_rules.h"
#include "manager/placement.h"
#include "manager/store/store.h"

namespace swarm::manager {

// Tasks of one service and revision are placed together.
struct GroupKey {
  Id service;
  Id revision;
  friend auto operator<=>(const GroupKey&, const GroupKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const GroupKey& key) {
    return H::combine(std::move(h), key.service, key.revision);
  }
};

// That tasks of the revision need on their node.
std::vector<Port> HostPortsOf(const Revision& revision);

class NodeInfo {
 public:
  // A group that failed this often here within this time ranks last here.
  static constexpr size_t kFailuresThatMatter = 5;
  static constexpr absl::Duration kFailuresKept = absl::Minutes(5);

  Id id;
  Ref<Node> node;
  bool takes_new_tasks = false;
  ConstraintSubject subject;
  std::vector<std::string> volumes;  // sorted names of those that it holds
  Reservation capacity;
  Reservation taken;
  uint32_t tasks = 0;
  uint32_t usage = 0;  // as UsageOf

  uint32_t TasksOf(Id service) const;
  void Count(Id service, const Reservation& held);
  void Discount(Id service, const Reservation& held);
  // How many of these it holds.
  size_t CountVolumes(const std::vector<std::string>& names) const;
  // What there is of one of its tasks, as NodeBooks::Add and Subtract.
  void Add(const Task& task);
  void Subtract(const Task& task);
  void HoldPorts(const std::vector<Port>& ports);
  void FreePorts(const std::vector<Port>& ports);
  bool HasPort(const Port& port) const { return host_ports_.contains(port); }
  void NoteFailure(const GroupKey& group, absl::Duration now);
  bool FailsOften(const GroupKey& group, absl::Duration now) const;

 private:
  absl::flat_hash_map<Id, uint32_t> tasks_of_service_;
  absl::btree_map<Port, uint32_t> host_ports_;  // in use, by how many tasks
  // Newest last, at most kFailuresThatMatter of each; looked up, never iterated in order.
  absl::flat_hash_map<GroupKey, std::deque<absl::Duration>> failures_;
};

class NodeBooks {
 public:
  using Map = absl::btree_map<Id, std::unique_ptr<NodeInfo>>;

  // New or changed facts. What is counted on the node stays.
  void PutNode(Id id, Ref<Node> node);
  void RemoveNode(Id id) { nodes_.erase(id); }
  // The nodes as `view` has them now.
  void PutAllNodes(const View& view);
  // Null when there is none.
  NodeInfo* Find(Id id);
  const Map& nodes() const { return nodes_; }

  // Assigned and runnable: one of its node's tasks, with its cpu and memory.
  static bool Counts(const Task& task) { return !task.node_id.IsZero() && IsRunnable(task); }
  // Assigned and not ended, with generic resources or host ports.
  static bool Holds(const Task& task) {
    return !task.node_id.IsZero() && !IsTerminal(task.state) && !task.gone &&
           (HoldsGeneric(task) || task.revision->revision().host_ports_size() > 0);
  }
  // What there is of the task on its node: it Counts, Holds, both or neither. Tasks of unknown
  // nodes change nothing.
  void Add(const Task& task);
  void Subtract(const Task& task);

 private:
  Map nodes_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_NODE_BOOKS_H_
