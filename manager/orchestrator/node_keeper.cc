#include "manager/orchestrator/node_keeper.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/log.h"
#include "common/strings.h"
#include "manager/black_box.h"
#include "manager/heartbeat.h"
#include "manager/orchestrator/slots.h"

namespace swarm::manager {
namespace {

// Nothing that decides over tasks differs.
bool SameForTasks(const Node& a, const Node& b) {
  return IsDown(a) == IsDown(b) && TakesNewTasks(a) == TakesNewTasks(b) && SameFacts(a, b);
}

std::string NameOf(const Node& node) {
  const std::string& hostname = node.description().hostname();
  return hostname.empty() ? node.id() : hostname;
}

bool IsActiveAndAlive(const Task& task) { return IsActive(task) && !IsTerminal(task.state); }

// The constraints of each service (of jobs: revision) whose tasks are on one node, parsed once.
class RulesByService {
 public:
  explicit RulesByService(const View& view) : view_(view) {}

  const PlacementRules* operator()(const Task& task) {
    const bool is_job = RunOf(task.slot) != 0;  // a run stays with its revision
    const Id key = is_job ? Id::ParseOrZero(task.revision->revision().id()) : task.service_id;
    auto [it, added] = rules_.try_emplace(key);
    if (!added) return it->second.get();
    const Ref<Revision> wanted = is_job ? task.revision : WantedBy(task);
    if (wanted == nullptr) return nullptr;
    it->second = std::make_unique<PlacementRules>(wanted->revision().task().placement());
    return it->second.get();
  }

 private:
  Ref<Revision> WantedBy(const Task& task) const {
    const Ref<Service> service = view_.GetService(task.service_id);
    if (service == nullptr) return nullptr;
    Ref<Revision> wanted = view_.GetRevision(Id::ParseOrZero(service->revision_id()));
    return wanted == nullptr ? task.revision : wanted;
  }

  const View& view_;
  absl::btree_map<Id, std::unique_ptr<PlacementRules>> rules_;
};

// Why a task cannot go on holding this beside what older ones hold; empty when it can.
std::string WhatNodeLacks(const Reservation& held, const Reservation& taken,
                          const Reservation& capacity) {
  const std::string vanished = held.generic.Vanished(capacity.generic);
  if (!vanished.empty()) return StrCat(" does not have ", vanished, " any more");
  if (Fits(held, taken, capacity)) return "";
  std::string names;
  for (const std::string_view what : Shortages(held, taken, capacity)) {
    StrAppend(&names, names.empty() ? "" : ", ", what);
  }
  return StrCat(" has not enough resources left (", names, ")");
}

}  // namespace

std::vector<Misfit> FindMisfits(const Node& node, std::vector<Ref<Task>> tasks, RulesOf rules) {
  const ConstraintSubject subject = SubjectOf(node);
  const Reservation capacity = CapacityOf(node);
  Reservation taken;
  std::vector<Misfit> misfits;
  std::sort(tasks.begin(), tasks.end(),
            [](const Ref<Task>& a, const Ref<Task>& b) { return IsNewer(*b, *a); });
  for (const Ref<Task>& task : tasks) {
    if (!IsActiveAndAlive(*task)) continue;
    const PlacementRules* placement = rules(*task);
    const std::string_view broken =
        placement == nullptr ? std::string_view() : placement->BrokenConstraint(subject);
    if (!broken.empty()) {
      misfits.push_back({task, StrCat("node ", NameOf(node), " does not satisfy ", broken)});
      continue;
    }
    const Reservation held = HeldBy(*task);
    if (node.description().has_resources()) {
      std::string lacking = WhatNodeLacks(held, taken, capacity);
      if (!lacking.empty()) {
        misfits.push_back({task, StrCat("node ", NameOf(node), lacking)});
        continue;
      }
    }
    taken += held;
  }
  return misfits;
}

NodeKeeper::NodeKeeper(EventLoop& loop, ServiceKeeper& services, std::function<void()> wake)
    : loop_(loop), services_(services), wake_(std::move(wake)) {}

NodeKeeper::~NodeKeeper() {
  loop_.Cancel(timer_);
  for (const auto& [id, timer] : expiry_) loop_.Cancel(timer);
}

bool NodeKeeper::OnNode(const View& view, const Ref<Node>& before, const Ref<Node>& after) {
  const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
  if (after != nullptr && IsDown(*after)) {
    OnDown(view, id);
  } else {
    OnNotDown(view, id);
  }
  if (before != nullptr && after != nullptr && SameForTasks(*before, *after)) return false;
  to_sweep_.insert(id);
  return true;
}

void NodeKeeper::SweepAll(const View& view) {
  view.EachNode([this](const Ref<Node>& node) {
    to_sweep_.insert(Id::ParseOrZero(node->id()));
    return true;
  });
}

void NodeKeeper::OnDown(const View& view, Id node) {
  const bool was_closed = gate_.closed();
  gate_.OnDown(node, loop_.Now(), LivenessWindow(view.GetCluster().get()), view.CountNodes());
  if (gate_.closed() && !was_closed) {
    LogWarning("orchestrator",
               StrCat("replacement of tasks is paused: more than half of ", view.CountNodes(),
                      " nodes were lost at once; it goes on when at most half of them are DOWN: "
                      "bring nodes back, or drain or remove the lost ones"));
  }
  if (expiry_.contains(node)) return;
  expiry_[node] = loop_.RunAfter(kOrphanedAfter, [this, node] {
    expired_.insert(node);
    to_sweep_.insert(node);
    wake_();
  });
}

void NodeKeeper::OnNotDown(const View& view, Id node) {
  const bool was_closed = gate_.closed();
  gate_.OnNotDown(node, view.CountNodes());
  if (!gate_.closed()) {
    if (was_closed) LogInfo("orchestrator", "replacement of tasks goes on");
    to_sweep_.insert(held_.begin(), held_.end());
    held_.clear();
  }
  held_.erase(node);
  expired_.erase(node);
  auto it = expiry_.find(node);
  if (it == expiry_.end()) return;
  loop_.Cancel(it->second);
  expiry_.erase(it);
}

void NodeKeeper::Sweep(Turn& turn) {
  size_t moves = 0;
  while (timer_ == 0 && !to_sweep_.empty() && !turn.Exhausted()) {
    const Id id = *to_sweep_.begin();
    if (SweepNode(turn, id, moves)) to_sweep_.erase(id);
    if (moves < kMovesPerSweep) continue;
    timer_ = loop_.RunAfter(kSweepPause, [this] {
      timer_ = 0;
      wake_();
    });
  }
}

bool NodeKeeper::SweepNode(Turn& turn, Id id, size_t& moves) {
  const Ref<Node> node = turn.view().GetNode(id);
  // Nobody will say that what has ended is gone, either: it would block its service's removal.
  const bool is_lost = node == nullptr || expired_.contains(id);
  std::vector<Ref<Task>> tasks;
  turn.view().EachTaskOfNode(id, [&](const Ref<Task>& task) {
    if (is_lost ? !task->gone : !IsTerminal(task->state)) tasks.push_back(task);
    return true;
  });
  if (is_lost) {
    OrphanAll(turn, tasks,
              node == nullptr ? "its node was removed from the cluster"
                              : "its node has been down for 24 hours");
    return true;
  }
  std::erase_if(tasks, [&](const Ref<Task>& task) {
    const Ref<Service> service = turn.view().GetService(task->service_id);
    return service != nullptr && IsQuarantined(*service);  // looked at once it is let out
  });
  std::vector<Misfit> leaving;
  if (!IsDown(*node) && !IsDrained(*node)) {
    RulesByService rules(turn.view());
    std::optional<Deciding> deciding;
    leaving = FindMisfits(*node, std::move(tasks), [&](const Task& task) {
      deciding.emplace(turn.env(), "orchestrator", task.service_id);
      return rules(task);
    });
  } else {
    const std::string reason =
        StrCat("node ", NameOf(*node), IsDrained(*node) ? " is drained" : " is down");
    for (const Ref<Task>& task : tasks) {
      // What waits for this one to stop need not wait for a node that is lost.
      if (IsDown(*node) && !IsActive(*task)) services_.Touch(task->service_id, task->slot);
      if (IsActive(*task)) leaving.push_back({task, reason});
    }
    if (IsDown(*node) && !IsDrained(*node) && gate_.closed()) {
      held_.insert(id);
      return true;
    }
  }
  for (const Misfit& misfit : leaving) {
    if (moves >= kMovesPerSweep || turn.Exhausted()) return false;
    services_.MoveAway(turn, *misfit.task, misfit.reason);
    ++moves;
  }
  return true;
}

void NodeKeeper::OrphanAll(Turn& turn, const std::vector<Ref<Task>>& tasks,
                           std::string_view reason) {
  for (const Ref<Task>& task : tasks) turn.Orphan(*task, reason);
}

}  // namespace swarm::manager
