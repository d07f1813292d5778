// What a revision asks of a node and what a node is, as values: shared by the scheduler (where may
// a task go?) and the orchestrator (may it stay?), which never call each other. Pure; any thread.
#ifndef SWARM_MANAGER_PLACEMENT_H_
#define SWARM_MANAGER_PLACEMENT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/constraint.h"
#include "manager/generic_resources.h"
#include "manager/store/objects.h"

namespace swarm::manager {

struct Reservation {
  int64_t nano_cpus = 0;
  int64_t memory_bytes = 0;
  GenericAmounts generic;

  Reservation& operator+=(const Reservation& other);
  Reservation& operator-=(const Reservation& other);
  friend bool operator==(const Reservation&, const Reservation&) = default;
};

// What one task of `revision` asks of its node.
Reservation ReservationOf(const Revision& revision);
// What `task` holds on its node: as above, with the generic resources that it was given.
Reservation HeldBy(const Task& task);
// HeldBy has generic resources in it.
bool HoldsGeneric(const Task& task);
// What the node has; a node that has not described itself has nothing.
Reservation CapacityOf(const Node& node);
// An amount that is not asked for always fits, however much is taken.
bool Fits(const Reservation& asked, const Reservation& taken, const Reservation& capacity);
// Why it does not fit: "cpu", "memory" and kinds of `asked`, which they point into.
std::vector<std::string_view> Shortages(const Reservation& asked, const Reservation& taken,
                                        const Reservation& capacity);
// The larger of the shares of cpu and memory that `used` is of `capacity`, in billionths, at most
// 2e9. What the node does not have counts as nothing.
uint32_t LargerShare(const Reservation& used, const Reservation& capacity);
// How busy the node is by what it reported, as LargerShare; 0 when it did not.
uint32_t UsageOf(const Node& node);

// What constraints may ask of a node. `node.ip` is the address without its port.
ConstraintSubject SubjectOf(const Node& node);

// READY and its availability active: it takes new tasks.
bool TakesNewTasks(const Node& node);
// It would take them, and whether it is READY or DOWN will be known before long.
bool IsAwaited(const Node& node);
bool IsDown(const Node& node);
// Spec, description and address: what constraints, resources and platforms are asked of. State and
// reported usage may differ.
bool SameFacts(const Node& a, const Node& b);
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

  // The outermost preference is 0.
  size_t preferences() const { return spread_over_.size(); }
  // The branch of a preference that `node` is in: the label's value. Nodes without it are one
  // branch, "", and so are all of them when the preference is not about a label.
  std::string_view BranchOf(size_t preference, const ConstraintSubject& node) const;
  bool packs() const { return packs_; }

 private:
  struct Rule {
    std::string text;
    bool valid;
    Constraint constraint;
  };
  struct Label {
    bool of_engine;
    std::string name;  // empty: not a label
  };
  static Label ParseSpread(const std::string& descriptor);

  std::vector<Rule> rules_;
  std::vector<v1::Platform> platforms_;
  std::vector<Label> spread_over_;
  uint64_t max_replicas_per_node_;
  bool packs_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_PLACEMENT_H_
