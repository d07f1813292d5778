#include "manager/rebalancing.h"

#include <algorithm>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "manager/placement.h"
#include "manager/volume_rules.h"

namespace swarm::manager {
namespace {

struct Place {
  std::vector<Ref<Task>> running;  // may be moved; the newest last
  size_t tasks = 0;
  bool takes_more = false;
};

}  // namespace

std::vector<Ref<Task>> MovesToBalance(const View& view, const Service& service) {
  const Ref<Revision> wanted = view.GetRevision(Id::ParseOrZero(service.revision_id()));
  if (wanted == nullptr) return {};
  // What fills one node after the other is not to be evened out.
  const v1::Placement& placement = wanted->revision().task().placement();
  if (placement.strategy() == v1::Placement::STRATEGY_BINPACK) return {};
  // Even over branches is not even over nodes: what the scheduler would do is not known here.
  if (placement.preferences_size() > 0) return {};
  // A task that uses volumes goes where its data are.
  if (!VolumesOfNode(wanted->revision().task(), view).empty()) return {};
  const PlacementRules rules(placement);
  absl::btree_map<Id, Place> places;
  view.EachNode([&](const Ref<Node>& node) {
    places[Id::ParseOrZero(node->id())].takes_more =
        TakesNewTasks(*node) && rules.BrokenConstraint(SubjectOf(*node)).empty() &&
        rules.PlatformMatches(node->description().platform());
    return true;
  });
  view.EachTaskOfService(Id::ParseOrZero(service.id()), [&](const Ref<Task>& task) {
    if (!IsRunnable(*task) || task->node_id.IsZero()) return true;
    Place& place = places[task->node_id];
    ++place.tasks;
    if (task->state == TaskState::kRunning) place.running.push_back(task);
    return true;
  });

  // (tasks, node) of those that may get more, and of all that may lose one.
  absl::btree_set<std::pair<size_t, Id>> takers;
  absl::btree_set<std::pair<size_t, Id>> givers;
  for (auto& [id, place] : places) {
    std::sort(place.running.begin(), place.running.end(),
              [](const auto& a, const auto& b) { return a->created_unix_ms < b->created_unix_ms; });
    if (place.takes_more) takers.insert({place.tasks, id});
    if (!place.running.empty()) givers.insert({place.tasks, id});
  }
  std::vector<Ref<Task>> moves;
  while (!takers.empty() && !givers.empty()) {
    const auto [least, taker] = *takers.begin();
    const auto [most, giver] = *givers.rbegin();
    if (most < least + 2) break;
    Place& from = places[giver];
    moves.push_back(from.running.back());
    from.running.pop_back();
    givers.erase({most, giver});
    if (takers.erase({most, giver}) > 0) takers.insert({most - 1, giver});
    --from.tasks;
    if (!from.running.empty()) givers.insert({most - 1, giver});
    Place& to = places[taker];
    takers.erase({least, taker});
    if (givers.erase({least, taker}) > 0) givers.insert({least + 1, taker});
    ++to.tasks;
    takers.insert({least + 1, taker});
  }
  return moves;
}

}  // namespace swarm::manager
