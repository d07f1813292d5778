#include "manager/scheduler/pass.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "common/strings.h"
#include "manager/black_box.h"
#include "manager/scheduler/group_placer.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

std::shared_ptr<const TaskDetail> Reason(std::string why) {
  auto detail = std::make_shared<TaskDetail>();
  detail->error = std::move(why);
  return detail;
}

// `extras` with these generic resources instead of its own.
std::shared_ptr<const TaskExtras> WithGeneric(const std::shared_ptr<const TaskExtras>& extras,
                                              std::vector<v1::GenericResource> given) {
  auto changed =
      extras == nullptr ? std::make_shared<TaskExtras>() : std::make_shared<TaskExtras>(*extras);
  changed->generic = std::move(given);
  return changed;
}

}  // namespace

bool Pass::Schedule(const GroupKey& key, Group& group) {
  const Ref<Service> service = tx_.view().GetService(key.service);
  if (service != nullptr && IsQuarantined(*service)) {
    return ExplainAll(group, QuarantineReason(*service));
  }
  const Deciding deciding(env_, "scheduler", key.service);
  if (service != nullptr && !service->waiting_for().empty()) {
    return ExplainAll(group, StrCat("waiting for ", service->waiting_for()));
  }
  const Ref<Revision> revision = tx_.view().GetRevision(key.revision);
  if (revision == nullptr) return ExplainAll(group, "its revision is gone");
  if (revision->revision().image_digest().empty()) {
    const std::string& why = revision->pending_reason();
    return ExplainAll(group, why.empty() ? "the image is not resolved yet" : why);
  }
  const GroupDemand demand(key, *revision, tx_.view());
  return PlacePinned(demand, revision, group) && PlaceFloating(demand, revision, group);
}

bool Pass::PlacePinned(const GroupDemand& demand, const Ref<Revision>& revision, Group& group) {
  while (!group.pinned_fresh.empty()) {
    if (budget_ == 0) return false;
    const PendingTask pending = *group.pinned_fresh.begin();
    group.pinned_fresh.erase(group.pinned_fresh.begin());
    const Ref<Task> task = StillPending(pending);
    if (task == nullptr) continue;
    NodeInfo* node = books_.Find(task->wanted_node);
    const Filter failed = node == nullptr ? Filter::kAvailable : FirstFailed(demand, *node);
    if (failed == Filter::kNone) {
      node->Count(demand.key.service, Assign(*task, demand, revision, *node));
      node->HoldPorts(demand.host_ports);
      continue;
    }
    group.pinned_waiting.insert(pending);
    Explain(*task,
            Reason(node == nullptr ? StrCat("no suitable node (node ", task->wanted_node.ToString(),
                                            " is not in the cluster)")
                                   : ExplainRefusal(demand, *node, failed)));
  }
  return true;
}

bool Pass::PlaceFloating(const GroupDemand& demand, const Ref<Revision>& revision, Group& group) {
  if (group.fresh.empty() && group.waiting.empty()) return true;
  absl::btree_set<PendingTask> awaiting;
  const absl::Cleanup stay = [&] { group.fresh.merge(awaiting); };
  if (!demand.volumes.empty() && !PlaceByVolumes(demand, revision, group, awaiting)) return false;
  GroupPlacer placer(books_, demand, env_.loop.Now());
  for (auto* tasks : {&group.waiting, &group.fresh}) {
    while (!tasks->empty()) {
      if (budget_ == 0) return false;
      const NodeInfo* node = placer.Next();
      if (node == nullptr) return ExplainFloating(group, placer.Explain());
      const Ref<Task> task = StillPending(*tasks->begin());
      tasks->erase(tasks->begin());
      if (task != nullptr) placer.Place(Assign(*task, demand, revision, *node));
    }
  }
  return true;
}

bool Pass::PlaceByVolumes(const GroupDemand& demand, const Ref<Revision>& revision, Group& group,
                          absl::btree_set<PendingTask>& awaiting) {
  VolumeHomes homes(tx_.view(), books_, demand, behind_);
  for (const bool by_slot : {true, false}) {
    for (auto* tasks : {&group.waiting, &group.fresh}) {
      for (auto it = tasks->begin(); it != tasks->end();) {
        if (budget_ == 0) return false;
        const Ref<Task> task = StillPending(*it);
        VolumeHomes::Home home;
        if (task != nullptr) home = by_slot ? homes.OfSlot(*task) : homes.NextWithData();
        if (task != nullptr && home.node == nullptr) {
          ++it;
          continue;
        }
        const bool waits = home.waits_for != VolumeHomes::WaitsFor::kNothing;
        if (waits) awaiting.insert(*it);
        it = tasks->erase(it);
        if (task == nullptr) continue;
        if (waits) {
          ExplainHome(*task, home);
          continue;
        }
        home.node->Count(demand.key.service, Assign(*task, demand, revision, *home.node));
        home.node->HoldPorts(demand.host_ports);
      }
    }
  }
  return true;
}

bool Pass::ExplainAll(Group& group, const std::string& why) {
  return ExplainEach(group.pinned_fresh, group.pinned_waiting, Reason(why)) &&
         ExplainFloating(group, why);
}

bool Pass::ExplainFloating(Group& group, const std::string& why) {
  if (group.reason->error != why) {
    group.fresh.merge(group.waiting);
    group.reason = Reason(why);
  }
  return ExplainEach(group.fresh, group.waiting, group.reason);
}

bool Pass::ExplainEach(absl::btree_set<PendingTask>& fresh, absl::btree_set<PendingTask>& waiting,
                       const std::shared_ptr<const TaskDetail>& reason) {
  while (!fresh.empty()) {
    if (budget_ == 0) return false;
    const PendingTask pending = *fresh.begin();
    fresh.erase(fresh.begin());
    const Ref<Task> task = StillPending(pending);
    if (task == nullptr) continue;
    waiting.insert(pending);
    Explain(*task, reason);
  }
  return true;
}

Ref<Task> Pass::StillPending(const PendingTask& pending) const {
  Ref<Task> task = tx_.view().GetTask(pending.id);
  return task != nullptr && IsPending(*task) ? task : nullptr;
}

Reservation Pass::Assign(const Task& pending, const GroupDemand& demand,
                         const Ref<Revision>& revision, const NodeInfo& node) {
  Task task = pending;
  task.revision = revision;
  task.node_id = node.id;
  task.state = TaskState::kAssigned;
  task.status_unix_ms = absl::ToUnixMillis(env_.clock.WallNow());
  task.detail = nullptr;
  Reservation held = demand.reservation;
  if (!held.generic.empty()) {
    task.extras =
        WithGeneric(task.extras, held.generic.Choose(node.taken.generic, node.capacity.generic));
    held.generic = GenericAmounts::Held(held.generic, task.extras->generic);
  }
  tx_.Put(std::move(task));
  --budget_;
  return held;
}

void Pass::ExplainHome(const Task& pending, const VolumeHomes::Home& home) {
  switch (home.waits_for) {
    case VolumeHomes::WaitsFor::kNode:
      return Explain(pending, Reason(ExplainAwaiting(*home.node)));
    case VolumeHomes::WaitsFor::kOlder:
      return Explain(pending, Reason(ExplainFollowing(*home.node)));
    case VolumeHomes::WaitsFor::kBooks:
      deferred_ = true;
      return;
    case VolumeHomes::WaitsFor::kNothing:
      return;
  }
}

void Pass::Explain(const Task& pending, std::shared_ptr<const TaskDetail> reason) {
  if (pending.error() == reason->error) return;
  Task explained = pending;
  explained.detail = std::move(reason);
  tx_.PutSoft(std::move(explained));
  --budget_;
}

}  // namespace swarm::manager
