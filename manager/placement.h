// What a revision asks of a node and what a node is, as values: shared by the scheduler (where may
// a task go?) and the orchestrator (may it stay?), which never call each other. Pure; any thread.
#ifndef SWARM_MANAGER_PLACEMENT_H_
#define SWARM_MANAGER_PLACEMENT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/constraint.h"
#include "manager/store/objects.h"

namespace swarm::manager {

struct Reservation {
  int64_t nano_cpus = 0;
  int64_t memory_bytes = 0;

  Reservation& operator+=(const Reservation& other);
  Reservation& operator-=(const Reservation& other);
  friend bool operator==(const Reservation&, const Reservation&) = default;
};

// What one task of `revision` holds on its node.
Reservation ReservationOf(const Revision& revision);
// What the node has; a node that has not described itself has nothing.
Reservation CapacityOf(const Node& node);
// An amount that is not asked for always fits, however much is taken.
bool Fits(const Reservation& asked, const Reservation& taken, const Reservation& capacity);

// What constraints may ask of a node. `node.ip` is the address without its port.
ConstraintSubject SubjectOf(const Node& node);

// READY and its availability active: it takes new tasks.
bool TakesNewTasks(const Node& node);
bool IsDown(const Node& node);
bool IsDrained(const Node& node);

// The placement of one revision, parsed once.
class PlacementRules {
 public:
  // A constraint that does not parse (the API refuses those) is one that no node satisfies.
  explicit PlacementRules(const v1::Placement& placement);

  // The first constraint that `node` breaks, as the user wrote it; empty when all hold.
  std::string_view BrokenConstraint(const ConstraintSubject& node) const;
  // No platforms named: any. An empty field of a named platform matches everything.
  bool PlatformMatches(const v1::Platform& platform) const;
  // 0 is no limit.
  uint64_t max_replicas_per_node() const { return max_replicas_per_node_; }

 private:
  struct Rule {
    std::string text;
    bool valid;
    Constraint constraint;
  };
  std::vector<Rule> rules_;
  std::vector<v1::Platform> platforms_;
  uint64_t max_replicas_per_node_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_PLACEMENT_H_
