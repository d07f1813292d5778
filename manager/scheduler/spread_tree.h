// SpreadTree: the nodes that a group of tasks may go to, in the branches of its placement
// preferences, and the best of them.
//
//   SpreadTree tree(rules);
//   tree.Add(node, tasks_of_service, rank);   … every node; without a rank it is only counted
//   tree.Build();
//   while (NodeInfo* node = tree.Best()) tree.ReplaceBest(1, new_rank);
//
// Of two branches the one with fewer tasks of the service is the better, whatever is in them; of
// equals the one with the better node; and so on down to the node of the best rank. Nodes where the
// group fails often come after all others, whatever branch they are in.
//
// A heap per branch: building it looks at every node once, replacing the best costs a heap
// operation per level. Without preferences it is one heap. Pure; lives within one pass.
#ifndef SWARM_MANAGER_SCHEDULER_SPREAD_TREE_H_
#define SWARM_MANAGER_SCHEDULER_SPREAD_TREE_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "manager/placement.h"
#include "manager/scheduler/node_books.h"

namespace swarm::manager {

// The smallest is the best; the strategy says what first, second and third are.
struct NodeRank {
  bool fails_often = false;
  uint32_t first = 0;
  uint32_t second = 0;
  uint32_t third = 0;
  Id id;
  friend auto operator<=>(const NodeRank&, const NodeRank&) = default;
};

class SpreadTree {
 public:
  // `rules` outlive it.
  explicit SpreadTree(const PlacementRules& rules) : rules_(rules) {}

  void Add(NodeInfo& node, uint32_t tasks_of_service, const std::optional<NodeRank>& rank);
  void Build() { Build(root_); }

  // Null when there is none left.
  NodeInfo* Best() const;
  // The best node got `more` tasks of the service and has `rank` now; none: it takes no more.
  void ReplaceBest(uint32_t more, const std::optional<NodeRank>& rank);

 private:
  struct Branch;
  struct Leaf {
    NodeRank rank;
    NodeInfo* node;
  };
  // What a branch is worth to the one that it is in.
  struct Limb {
    uint32_t tasks;
    NodeRank best;
    Branch* branch;
  };
  // Has limbs or, at the last level, leaves: heaps with the best in front.
  struct Branch {
    uint32_t tasks = 0;  // of the service, on all nodes of the branch
    absl::btree_map<std::string, std::unique_ptr<Branch>> parts;
    std::vector<Limb> limbs;
    std::vector<Leaf> leaves;

    bool empty() const { return limbs.empty() && leaves.empty(); }
  };

  static const Leaf& BestLeaf(const Branch& branch);
  static Limb Weigh(Branch& branch);
  void Build(Branch& branch);
  void ReplaceBestIn(Branch& branch, uint32_t more, const std::optional<NodeRank>& rank);

  const PlacementRules& rules_;
  Branch root_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_SPREAD_TREE_H_
