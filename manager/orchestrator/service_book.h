// What the orchestrator still has to do for one service. Nothing here is lost with the process: a
// look at the whole service (`scan`) finds it all again.
#ifndef SWARM_MANAGER_ORCHESTRATOR_SERVICE_BOOK_H_
#define SWARM_MANAGER_ORCHESTRATOR_SERVICE_BOOK_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "common/ids.h"
#include "manager/store/store.h"

namespace swarm::manager {

// Changing the slots over to the service's revision, one at a time.
struct Rollout {
  std::vector<uint32_t> todo;         // slots that were dirty, the next one last
  std::optional<uint32_t> in_flight;  // replaced, and its new task is not RUNNING yet
  absl::Duration settled_at;          // when the last slot became RUNNING (monotonic)
};

struct ServiceBook {
  bool scan = true;
  absl::btree_set<uint32_t> dirty_slots;
  std::vector<uint32_t> to_create;  // the next one last
  std::vector<uint32_t> to_remove;
  std::vector<Id> to_stop;  // of a service that is being removed
  std::optional<Rollout> rollout;

  bool HasWork() const {
    return scan || !dirty_slots.empty() || !to_create.empty() || !to_remove.empty() ||
           !to_stop.empty();
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
