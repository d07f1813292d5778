#include "manager/scheduler/spread_tree.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/strings.h"

namespace swarm::manager {
namespace {

// For the heaps of the standard library, which have the largest in front.
constexpr auto kLeafIsWorse = [](const auto& a, const auto& b) { return b.rank < a.rank; };
constexpr auto kLimbIsWorse = [](const auto& a, const auto& b) {
  return std::tie(b.best.fails_often, b.tasks, b.best) <
         std::tie(a.best.fails_often, a.tasks, a.best);
};

}  // namespace

void SpreadTree::Add(NodeInfo& node, uint32_t tasks_of_service,
                     const std::optional<NodeRank>& rank) {
  Branch* branch = &root_;
  branch->tasks += tasks_of_service;
  for (size_t preference = 0; preference < rules_.preferences(); ++preference) {
    const std::string_view value = rules_.BranchOf(preference, node.subject);
    auto part = branch->parts.find(ToAbsl(value));
    if (part == branch->parts.end()) {
      part = branch->parts.emplace(std::string(value), std::make_unique<Branch>()).first;
    }
    branch = part->second.get();
    branch->tasks += tasks_of_service;
  }
  if (rank.has_value()) branch->leaves.push_back({*rank, &node});
}

void SpreadTree::Build(Branch& branch) {
  for (auto& [value, part] : branch.parts) {
    Build(*part);
    if (!part->empty()) branch.limbs.push_back(Weigh(*part));
  }
  std::make_heap(branch.limbs.begin(), branch.limbs.end(), kLimbIsWorse);
  std::make_heap(branch.leaves.begin(), branch.leaves.end(), kLeafIsWorse);
}

const SpreadTree::Leaf& SpreadTree::BestLeaf(const Branch& branch) {
  const Branch* at = &branch;
  while (!at->limbs.empty()) at = at->limbs.front().branch;
  return at->leaves.front();
}

SpreadTree::Limb SpreadTree::Weigh(Branch& branch) {
  return {branch.tasks, BestLeaf(branch).rank, &branch};
}

NodeInfo* SpreadTree::Best() const { return root_.empty() ? nullptr : BestLeaf(root_).node; }

void SpreadTree::ReplaceBest(uint32_t more, const std::optional<NodeRank>& rank) {
  ReplaceBestIn(root_, more, rank);
}

void SpreadTree::ReplaceBestIn(Branch& branch, uint32_t more, const std::optional<NodeRank>& rank) {
  branch.tasks += more;
  if (branch.limbs.empty()) {
    std::pop_heap(branch.leaves.begin(), branch.leaves.end(), kLeafIsWorse);
    if (!rank.has_value()) return branch.leaves.pop_back();
    branch.leaves.back().rank = *rank;
    std::push_heap(branch.leaves.begin(), branch.leaves.end(), kLeafIsWorse);
    return;
  }
  std::pop_heap(branch.limbs.begin(), branch.limbs.end(), kLimbIsWorse);
  Branch& best = *branch.limbs.back().branch;
  ReplaceBestIn(best, more, rank);
  if (best.empty()) return branch.limbs.pop_back();
  branch.limbs.back() = Weigh(best);
  std::push_heap(branch.limbs.begin(), branch.limbs.end(), kLimbIsWorse);
}

}  // namespace swarm::manager
