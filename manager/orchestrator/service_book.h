// What the orchestrator still has to do for one service. Nothing here is lost with the process: a
// look at the whole service (`scan`) finds it all again.
#ifndef SWARM_MANAGER_ORCHESTRATOR_SERVICE_BOOK_H_
#define SWARM_MANAGER_ORCHESTRATOR_SERVICE_BOOK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "common/ids.h"
#include "manager/store/store.h"

namespace swarm::manager {

// Changing the slots over to the service's revision.
struct Rollout {
  // A slot that is being changed over; it takes one of the places that parallelism gives.
  struct Flight {
    absl::Duration since;
    std::optional<absl::Duration> running_at;  // done, but for the delay after it
  };
  std::vector<Slot> todo;  // slots that were dirty, the next one last
  absl::btree_map<Slot, Flight> flights;
  absl::btree_set<Slot> look;                   // flights whose tasks or times changed
  absl::btree_map<Slot, absl::Duration> later;  // failed: changed over again, not before
  absl::btree_set<Slot> unchanged;              // slots that the restart policy gave up
  absl::Duration settled_at;                    // when the last slot became RUNNING (monotonic)
  std::string revision_id;                      // that it changes over to

  bool Knows(Slot slot) const {
    return flights.contains(slot) || later.contains(slot) || unchanged.contains(slot);
  }
};

// A slot to be filled, and the only node that it may be on (zero: any).
struct NewSlot {
  Slot slot;
  Id node;
};

struct ServiceBook {
  bool scan = true;
  absl::btree_set<Slot> dirty_slots;
  std::vector<NewSlot> to_create;  // the next one last
  std::vector<Slot> to_remove;
  std::vector<Id> to_stop;  // of a service that is being removed
  std::optional<Rollout> rollout;
  absl::btree_set<Slot> changing;  // with two active tasks

  // Global services: the slot of each node, nodes to look at, the highest number given.
  absl::btree_map<Id, Slot> slot_of_node;
  absl::btree_set<Id> dirty_nodes;
  uint32_t last_number = 0;

  bool HasWork() const {
    return scan || !dirty_slots.empty() || !to_create.empty() || !to_remove.empty() ||
           !to_stop.empty() || !dirty_nodes.empty();
  }
};

// One service while it is looked at.
struct ServiceView {
  Id id;
  Ref<Service> service;
  ServiceBook& book;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_SERVICE_BOOK_H_
