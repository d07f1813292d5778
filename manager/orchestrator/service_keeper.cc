#include "manager/orchestrator/service_keeper.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/strings.h"
#include "manager/black_box.h"
#include "manager/orchestrator/update_status.h"
#include "manager/placement.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

// A paused update whose state was cleared goes on.
bool IsResumed(const Service& before, const Service& after) {
  return CurrentUpdate(after) == v1::UpdateStatus::STATE_UNSPECIFIED &&
         CurrentUpdate(before) != v1::UpdateStatus::STATE_UNSPECIFIED;
}

bool AsksTheSame(const Service& a, const Service& b) {
  return WantedReplicas(a) == WantedReplicas(b) && a.revision_id() == b.revision_id() &&
         a.removing() == b.removing() && IsQuarantined(a) == IsQuarantined(b) && !IsResumed(a, b) &&
         JobKeeper::AsksTheSame(a.spec(), b.spec());
}

// May a task of the service be there? Not: is there room now.
bool IsPlaceFor(const Node& node, const PlacementRules& rules) {
  return !IsDrained(node) && rules.BrokenConstraint(SubjectOf(node)).empty() &&
         rules.PlatformMatches(node.description().platform());
}

bool HasTasks(const View& view, Id service) {
  bool any = false;
  view.EachTaskOfService(service, [&](const Ref<Task>&) {
    any = true;
    return false;
  });
  return any;
}

}  // namespace

// ------------------------------------------------------------------------------- what changed

void ServiceKeeper::OnService(const Ref<Service>& before, const Ref<Service>& after) {
  const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
  if (after == nullptr) {
    books_.erase(id);
    jobs_.Forget(id);
    globals_.erase(id);
    dirty_.erase(id);
    return;
  }
  if (IsGlobal(after->spec())) globals_.insert(id);
  if (before != nullptr && AsksTheSame(*before, *after)) return;
  books_[id].scan = true;
  dirty_.insert(id);
}

void ServiceKeeper::OnTask(const Ref<Task>& before, const Ref<Task>& after, absl::Duration now) {
  slots_.OnTask(before.get(), after.get(), now);
  if (before == nullptr || after == nullptr) return;
  const bool ended = IsTerminal(after->state) && !IsTerminal(before->state);
  if (ended || (after->gone && !before->gone)) {
    Touch(after->service_id, after->slot);
    return;
  }
  if (before->state == after->state && before->error() == after->error()) return;
  auto it = books_.find(after->service_id);
  if (it == books_.end()) return;
  // What a change-over waits for: READY, RUNNING, or that there is no place for two.
  if (it->second.changing.contains(after->slot) ||
      (it->second.rollout.has_value() && it->second.rollout->flights.contains(after->slot))) {
    Touch(after->service_id, after->slot);
  }
}

void ServiceKeeper::OnRevision(const Ref<Revision>& after) {
  if (after != nullptr) {
    Touch(Id::ParseOrZero(after->revision().service_id()), Alarms::kWholeService);
  }
}

void ServiceKeeper::OnNode(Id node) {
  for (Id id : globals_) {
    books_[id].dirty_nodes.insert(node);
    dirty_.insert(id);
  }
}

void ServiceKeeper::ScanAll() {
  for (auto& [id, book] : books_) {
    book.scan = true;
    dirty_.insert(id);
  }
}

void ServiceKeeper::StartOver() {
  slots_.ForgetTimes();
  ScanAll();
}

void ServiceKeeper::Touch(Id service, Slot slot) {
  auto it = books_.find(service);
  if (it == books_.end()) return;
  if (slot != Alarms::kWholeService) {
    it->second.dirty_slots.insert(slot);
    if (it->second.rollout.has_value()) it->second.rollout->look.insert(slot);
  }
  dirty_.insert(service);
}

// -------------------------------------------------------------------------------------- turns

void ServiceKeeper::Keep(Turn& turn) {
  while (!dirty_.empty() && !turn.Exhausted()) {
    auto next = dirty_.upper_bound(last_kept_);
    if (next == dirty_.end()) next = dirty_.begin();
    last_kept_ = *next;
    dirty_.erase(next);
    auto book = books_.find(last_kept_);
    if (book == books_.end()) continue;
    const Ref<Service> service = turn.view().GetService(last_kept_);
    if (service == nullptr) continue;       // its ChangeSet comes
    if (IsQuarantined(*service)) continue;  // scanned once it is let out
    const Deciding deciding(turn.env(), "orchestrator", last_kept_);
    KeepService(turn, {last_kept_, service, book->second});
    const bool cut_short = turn.Exhausted() && book->second.rollout.has_value();
    if (book->second.HasWork() || cut_short) dirty_.insert(last_kept_);
  }
}

void ServiceKeeper::KeepService(Turn& turn, const ServiceView& view) {
  if (view.service->removing()) {
    TakeApart(turn, view);
    return;
  }
  if (IsJob(view.service->spec())) {
    if (jobs_.Keep(turn, view)) dirty_.insert(view.id);
    return;
  }
  Ref<Revision> wanted = turn.view().GetRevision(Id::ParseOrZero(view.service->revision_id()));
  if (wanted == nullptr) {
    LogError("orchestrator", StrCat("service ", view.service->spec().name(), " wants revision ",
                                    view.service->revision_id(), ", which is not there"));
    view.book = {};
    view.book.scan = false;
    return;
  }
  RevisionJudge judge(std::move(wanted));
  const bool scanned = view.book.scan;
  if (scanned) Scan(turn, view, judge);
  if (IsGlobal(view.service->spec())) KeepNodes(turn, view, judge, scanned);
  KeepSlots(turn, view, judge);
  if (!view.book.rollout.has_value() || view.book.scan || turn.Exhausted()) return;
  rollouts_.Advance(turn, {view.id, turn.view().GetService(view.id), view.book}, judge);
}

void ServiceKeeper::TakeApart(Turn& turn, const ServiceView& view) {
  ServiceBook& book = view.book;
  if (book.scan) {
    book = {};
    book.scan = false;
    turn.view().EachTaskOfService(view.id, [&](const Ref<Task>& task) {
      book.to_stop.push_back(task->id);
      return true;
    });
  }
  for (; !book.to_stop.empty() && !turn.Exhausted(); book.to_stop.pop_back()) {
    const Ref<Task> task = turn.view().GetTask(book.to_stop.back());
    if (task == nullptr) continue;
    if (!task->node_id.IsZero() && turn.view().GetNode(task->node_id) == nullptr) {
      turn.Remove(task->id);
    } else if (!IsRemoved(*task) || task->gone) {
      turn.Stop(*task, TaskState::kRemove, "");
    }
  }
  while (!book.dirty_slots.empty() && !turn.Exhausted()) {
    const Slot slot = *book.dirty_slots.begin();
    book.dirty_slots.erase(slot);
    const SlotTasks tasks(turn.view(), view.id, slot);
    for (const Ref<Task>& task : tasks.tasks()) {
      if (task->gone) turn.Remove(task->id);
    }
  }
  if (!book.HasWork() && !HasTasks(turn.view(), view.id)) {
    LogInfo("orchestrator", StrCat("service ", view.service->spec().name(), " is removed"));
    turn.RemoveServiceRecords(view.id);
  }
}

void ServiceKeeper::Scan(Turn& turn, const ServiceView& view, RevisionJudge& judge) {
  ServiceBook& book = view.book;
  Census census;
  std::vector<Ref<Task>> lost;
  absl::btree_map<Id, bool> node_exists;
  turn.view().EachTaskOfService(view.id, [&](const Ref<Task>& task) {
    CountTask(task, census);
    if (!task->node_id.IsZero() && !task->gone) {
      auto [it, added] = node_exists.try_emplace(task->node_id, true);
      if (added) it->second = turn.view().GetNode(task->node_id) != nullptr;
      if (!it->second) lost.push_back(task);
    }
    return true;
  });
  for (const Ref<Task>& task : lost) {
    if (turn.Exhausted()) return;  // scanned again
    turn.Orphan(*task, "its node was removed from the cluster");
    book.dirty_slots.insert(task->slot);
  }
  const Ref<Cluster> cluster = turn.view().GetCluster();
  const size_t asked = cluster == nullptr ? 0 : cluster->spec().task_history_limit();
  const size_t history_limit = asked == 0 ? SlotKeeper::kDefaultHistory : asked;
  book.changing.clear();
  for (const auto& [slot, entry] : census) {
    if (entry.actives > 1) book.changing.insert(slot);
    const bool active_needs_care =
        entry.active != nullptr &&
        (IsTerminal(entry.active->state) || entry.active->desired == TaskState::kReady);
    if (active_needs_care || entry.actives > 1 || entry.has_removed_and_gone ||
        entry.history > history_limit) {
      book.dirty_slots.insert(slot);
    }
  }
  std::vector<Slot> leaving;
  book.to_create.clear();
  if (IsGlobal(view.service->spec())) {
    ScanGlobal(turn, view, census);
  } else {
    const uint64_t replicas = WantedReplicas(*view.service);
    if (replicas > kMostReplicas) {
      LogWarning("orchestrator", StrCat("service ", view.service->spec().name(), " asks for ",
                                        replicas, " replicas and gets ", kMostReplicas));
    }
    const ScalePlan plan = PlanScale(census, std::min(replicas, kMostReplicas));
    for (auto it = plan.create.rbegin(); it != plan.create.rend(); ++it) {
      book.to_create.push_back({*it, Id{}});
    }
    book.to_remove.assign(plan.remove.rbegin(), plan.remove.rend());
    leaving = plan.remove;
  }
  rollouts_.Plan(turn, view, census, leaving, judge);
  GiveUpLostMoves(turn, view, census);
  book.scan = false;
}

// A move that found no place before the manager was restarted: nobody waits for it any more.
void ServiceKeeper::GiveUpLostMoves(Turn& turn, const ServiceView& view, const Census& census) {
  if (view.book.rollout.has_value()) return;
  for (Slot slot : view.book.changing) {
    const Ref<Task>& newer = census.at(slot).active;
    if (newer != nullptr && newer->node_id.IsZero()) slots_.GiveUpChange(turn, view.id, slot, "");
  }
}

void ServiceKeeper::ScanGlobal(Turn& turn, const ServiceView& view, const Census& census) {
  ServiceBook& book = view.book;
  book.slot_of_node.clear();
  for (const auto& [slot, entry] : census) {
    book.last_number = std::max(book.last_number, NumberOf(slot));
    if (!entry.in_service) continue;
    auto [it, added] = book.slot_of_node.try_emplace(entry.newest->wanted_node, slot);
    if (!added) book.to_remove.push_back(slot);
    book.dirty_nodes.insert(entry.newest->wanted_node);
  }
  turn.view().EachNode([&](const Ref<Node>& node) {
    book.dirty_nodes.insert(Id::ParseOrZero(node->id()));
    return true;
  });
}

void ServiceKeeper::KeepNodes(Turn& turn, const ServiceView& view, RevisionJudge& judge,
                              bool scanned) {
  const Ref<Revision>& wanted = judge.wanted();
  ServiceBook& book = view.book;
  if (book.scan || book.dirty_nodes.empty()) return;
  const PlacementRules rules(wanted->revision().task().placement());
  bool passed_over = false;
  while (!book.dirty_nodes.empty() && !turn.Exhausted()) {
    const Id id = *book.dirty_nodes.begin();
    book.dirty_nodes.erase(id);
    const Ref<Node> node = turn.view().GetNode(id);
    const bool fits = node != nullptr && IsPlaceFor(*node, rules);
    auto it = book.slot_of_node.find(id);
    if (it != book.slot_of_node.end() && !fits) {
      book.to_remove.push_back(it->second);
      book.slot_of_node.erase(it);
    } else if (it != book.slot_of_node.end() && !scanned && TakesNewTasks(*node)) {
      // An update passed it over while it took no tasks.
      const Ref<Task> newest = SlotTasks(turn.view(), view.id, it->second).Newest();
      if (newest != nullptr && !judge.IsClean(turn.view(), *newest)) passed_over = true;
    } else if (it == book.slot_of_node.end() && fits && TakesNewTasks(*node)) {
      const Slot slot = MakeSlot(0, ++book.last_number);
      book.slot_of_node[id] = slot;
      book.to_create.push_back({slot, id});
    }
  }
  if (passed_over) book.scan = true;
}

// A change-over of the slot is over, what runs is still the old, and nobody means to try again: its
// new task was late, so that the update went on without it, and then lost its node, say.
bool ServiceKeeper::IsLeftBehind(const Turn& turn, const ServiceView& view, Slot slot,
                                 RevisionJudge& judge) {
  if (view.book.rollout.has_value() && view.book.rollout->Knows(slot)) return false;
  const Ref<Service> service = turn.view().GetService(view.id);
  if (IsPaused(CurrentUpdate(*service))) return false;
  const Ref<Task> active = SlotTasks(turn.view(), view.id, slot).Active();
  return active != nullptr && !judge.IsClean(turn.view(), *active);
}

void ServiceKeeper::KeepSlots(Turn& turn, const ServiceView& view, RevisionJudge& judge) {
  ServiceBook& book = view.book;
  if (book.scan) return;
  for (; !book.to_remove.empty() && !turn.Exhausted(); book.to_remove.pop_back()) {
    slots_.Empty(turn, view.id, book.to_remove.back());
    book.dirty_slots.erase(book.to_remove.back());
  }
  // A rollback asks for a new look at the service.
  while (!book.dirty_slots.empty() && !book.scan && !turn.Exhausted()) {
    const Slot slot = *book.dirty_slots.begin();
    book.dirty_slots.erase(slot);
    const std::optional<SlotKeeper::Ended> ended = slots_.Keep(turn, view.id, slot, judge);
    if (ended.has_value()) {
      rollouts_.OnEnded(turn, {view.id, turn.view().GetService(view.id), book}, *ended, judge);
    }
    if (SlotTasks(turn.view(), view.id, slot).Predecessor() != nullptr) continue;
    if (book.changing.erase(slot) == 0 || !IsLeftBehind(turn, view, slot, judge)) continue;
    // One that ended by itself is tried again as often as the restart policy allows.
    if (!ended.has_value() || slots_.DelayOfRetry(turn, *ended).has_value()) book.scan = true;
  }
  for (; !book.to_create.empty() && !book.scan && !turn.Exhausted(); book.to_create.pop_back()) {
    const NewSlot& next = book.to_create.back();
    slots_.Fill(turn, view.id, next.slot, judge.wanted(), next.node);
  }
}

void ServiceKeeper::MoveAway(Turn& turn, const Task& task, std::string_view reason) {
  const Ref<Service> service = turn.view().GetService(task.service_id);
  if (service != nullptr && IsQuarantined(*service)) return;
  const Deciding deciding(turn.env(), "orchestrator", task.service_id);
  if (service == nullptr || service->removing()) {
    turn.Stop(task, TaskState::kRemove, reason);
    return;
  }
  Ref<Revision> wanted = turn.view().GetRevision(Id::ParseOrZero(service->revision_id()));
  // A run of a job stays with its revision.
  const bool keeps_revision = wanted == nullptr || IsJob(service->spec());
  Ref<Revision> next =
      keeps_revision ? task.revision : RevisionJudge(std::move(wanted)).ReplacementFor(task);
  if (!task.wanted_node.IsZero()) {
    // It can go nowhere else. A node that does not fit loses its slot; one that is DOWN keeps it.
    const Ref<Node> node = turn.view().GetNode(task.wanted_node);
    const bool fits =
        node != nullptr && IsPlaceFor(*node, PlacementRules(next->revision().task().placement()));
    if (!fits || IsDown(*node)) {
      books_[task.service_id].dirty_nodes.insert(task.wanted_node);
      dirty_.insert(task.service_id);
      return;
    }
  }
  slots_.Move(turn, task, std::move(next), reason);
  Touch(task.service_id, task.slot);
}

bool ServiceKeeper::MoveStartFirst(Turn& turn, const Task& task) {
  const Ref<Service> service = turn.view().GetService(task.service_id);
  auto book = books_.find(task.service_id);
  if (service == nullptr || service->removing() || book == books_.end()) return false;
  if (book->second.changing.contains(task.slot)) return false;
  Ref<Revision> wanted = turn.view().GetRevision(Id::ParseOrZero(service->revision_id()));
  if (wanted == nullptr) return false;
  slots_.ChangeOver(turn, task.service_id, task.slot,
                    RevisionJudge(std::move(wanted)).ReplacementFor(task), /*start_first=*/true);
  book->second.changing.insert(task.slot);
  return true;
}

void ServiceKeeper::GiveUpMove(Turn& turn, Id service, Slot slot) {
  slots_.GiveUpChange(turn, service, slot, "no better place was found for it");
}

}  // namespace swarm::manager
