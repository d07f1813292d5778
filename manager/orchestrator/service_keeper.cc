#include "manager/orchestrator/service_keeper.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/strings.h"
#include "manager/orchestrator/update_status.h"

namespace swarm::manager {
namespace {

constexpr char kInProgress[] = "update in progress";

// What a service without a mode asks for: docker's default.
uint64_t ReplicasOf(const Service& service) {
  return service.spec().has_replicated() ? service.spec().replicated().replicas() : 1;
}

bool AsksTheSame(const Service& a, const Service& b) {
  return ReplicasOf(a) == ReplicasOf(b) && a.revision_id() == b.revision_id() &&
         a.removing() == b.removing();
}

bool HasTasks(const View& view, Id service) {
  bool any = false;
  view.EachTaskOfService(service, [&](const Ref<Task>&) {
    any = true;
    return false;
  });
  return any;
}

// An end that says something about the revision: not one that somebody asked for.
bool IsFailedEnd(const Task& task) {
  return task.state == TaskState::kFailed || task.state == TaskState::kRejected ||
         (task.state == TaskState::kComplete &&
          ConditionAllowsRestart(task.revision->revision().task().restart(), task.state));
}

}  // namespace

// ------------------------------------------------------------------------------- what changed

void ServiceKeeper::OnService(const Ref<Service>& before, const Ref<Service>& after) {
  const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
  if (after == nullptr) {
    books_.erase(id);
    dirty_.erase(id);
    return;
  }
  if (before != nullptr && AsksTheSame(*before, *after)) return;
  books_[id].scan = true;
  dirty_.insert(id);
}

void ServiceKeeper::OnTask(const Ref<Task>& before, const Ref<Task>& after, absl::Duration now) {
  slots_.OnTask(before.get(), after.get(), now);
  if (before == nullptr || after == nullptr) return;
  const bool ended = IsTerminal(after->state) && !IsTerminal(before->state);
  if (ended || (after->gone && !before->gone)) Touch(after->service_id, after->slot);
  if (after->state == TaskState::kRunning && before->state != TaskState::kRunning) {
    auto it = books_.find(after->service_id);
    if (it != books_.end() && it->second.rollout.has_value()) dirty_.insert(after->service_id);
  }
}

void ServiceKeeper::OnRevision(const Ref<Revision>& after) {
  if (after != nullptr) {
    Touch(Id::ParseOrZero(after->revision().service_id()), Alarms::kWholeService);
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

void ServiceKeeper::Touch(Id service, uint32_t slot) {
  auto it = books_.find(service);
  if (it == books_.end()) return;
  if (slot != Alarms::kWholeService) it->second.dirty_slots.insert(slot);
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
    if (service == nullptr) continue;  // its ChangeSet comes
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
  Ref<Revision> wanted = turn.view().GetRevision(Id::ParseOrZero(view.service->revision_id()));
  if (wanted == nullptr) {
    LogError("orchestrator", StrCat("service ", view.service->spec().name(), " wants revision ",
                                    view.service->revision_id(), ", which is not there"));
    view.book = {};
    view.book.scan = false;
    return;
  }
  RevisionJudge judge(std::move(wanted));
  if (view.book.scan) Scan(turn, view, judge);
  KeepSlots(turn, view, judge);
  if (view.book.rollout.has_value() && !turn.Exhausted()) AdvanceRollout(turn, view, judge);
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
    const uint32_t slot = *book.dirty_slots.begin();
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
  for (const auto& [slot, entry] : census) {
    const bool active_needs_care =
        entry.active != nullptr &&
        (IsTerminal(entry.active->state) || entry.active->desired == TaskState::kReady);
    if (active_needs_care || entry.actives > 1 || entry.has_removed_and_gone ||
        entry.history > history_limit) {
      book.dirty_slots.insert(slot);
    }
  }
  const uint64_t replicas = ReplicasOf(*view.service);
  if (replicas > kMostReplicas) {
    LogWarning("orchestrator", StrCat("service ", view.service->spec().name(), " asks for ",
                                      replicas, " replicas and gets ", kMostReplicas));
  }
  const ScalePlan plan = PlanScale(census, std::min(replicas, kMostReplicas));
  book.to_create.assign(plan.create.rbegin(), plan.create.rend());
  book.to_remove.assign(plan.remove.rbegin(), plan.remove.rend());
  PlanRollout(turn, view, census, plan, judge);
  book.scan = false;
}

void ServiceKeeper::KeepSlots(Turn& turn, const ServiceView& view, RevisionJudge& judge) {
  ServiceBook& book = view.book;
  if (book.scan) return;
  for (; !book.to_remove.empty() && !turn.Exhausted(); book.to_remove.pop_back()) {
    slots_.Empty(turn, view.id, book.to_remove.back());
    book.dirty_slots.erase(book.to_remove.back());
  }
  while (!book.dirty_slots.empty() && !turn.Exhausted()) {
    const uint32_t slot = *book.dirty_slots.begin();
    book.dirty_slots.erase(slot);
    const std::optional<SlotKeeper::Ended> ended = slots_.Keep(turn, view.id, slot, judge);
    if (ended.has_value()) PauseIfFailed(turn, view, *ended, judge);
  }
  for (; !book.to_create.empty() && !turn.Exhausted(); book.to_create.pop_back()) {
    slots_.Fill(turn, view.id, book.to_create.back(), judge.wanted());
  }
}

void ServiceKeeper::MoveAway(Turn& turn, const Task& task, std::string_view reason) {
  const Ref<Service> service = turn.view().GetService(task.service_id);
  if (service == nullptr || service->removing()) {
    turn.Stop(task, TaskState::kRemove, reason);
    return;
  }
  Ref<Revision> wanted = turn.view().GetRevision(Id::ParseOrZero(service->revision_id()));
  Ref<Revision> next =
      wanted == nullptr ? task.revision : RevisionJudge(std::move(wanted)).ReplacementFor(task);
  slots_.Move(turn, task, std::move(next), reason);
  Touch(task.service_id, Alarms::kWholeService);
}

// ------------------------------------------------------------------------------------ rollout

void ServiceKeeper::PlanRollout(Turn& turn, const ServiceView& view, const Census& census,
                                const ScalePlan& plan, RevisionJudge& judge) {
  const absl::btree_set<uint32_t> leaving(plan.remove.begin(), plan.remove.end());
  Rollout rollout;
  rollout.settled_at = view.book.rollout ? view.book.rollout->settled_at : turn.now();
  std::vector<std::pair<bool, uint32_t>> dirty;
  for (const auto& [slot, entry] : census) {
    if (!entry.in_service || leaving.contains(slot)) continue;
    if (!judge.IsClean(turn.view(), *entry.newest)) {
      const bool running = entry.active != nullptr && entry.active->state == TaskState::kRunning;
      dirty.emplace_back(running, slot);
    } else if (entry.active != nullptr && judge.IsWanted(*entry.active) &&
               entry.active->state < TaskState::kRunning && !judge.RunsWanted(*entry.oldest)) {
      rollout.in_flight = slot;  // of an update that a restart of the manager cut in two
    }
  }
  std::sort(dirty.rbegin(), dirty.rend());
  for (const auto& [running, slot] : dirty) rollout.todo.push_back(slot);

  view.book.rollout.reset();
  const UpdateState state = CurrentUpdate(*view.service);
  if (state == v1::UpdateStatus::STATE_PAUSED) return;
  const bool is_new = state == v1::UpdateStatus::STATE_UNSPECIFIED;
  if (!rollout.todo.empty() || state == v1::UpdateStatus::STATE_UPDATING) {
    if (state != v1::UpdateStatus::STATE_UPDATING) {
      turn.Put(WithUpdate(*view.service, v1::UpdateStatus::STATE_UPDATING, kInProgress,
                          turn.wall_now()));
    }
    view.book.rollout = std::move(rollout);
  } else if (is_new && !view.service->previous_revision_id().empty()) {
    turn.Put(WithUpdate(*view.service, v1::UpdateStatus::STATE_COMPLETED, "update completed",
                        turn.wall_now()));
  }
}

bool ServiceKeeper::IsSettled(Turn& turn, const ServiceView& view, uint32_t slot,
                              RevisionJudge& judge) const {
  const Ref<Task> active = SlotTasks(turn.view(), view.id, slot).Active();
  if (active == nullptr) return true;  // scaled away, or over by its restart policy
  return active->state == TaskState::kRunning && judge.IsClean(turn.view(), *active);
}

void ServiceKeeper::AdvanceRollout(Turn& turn, const ServiceView& view, RevisionJudge& judge) {
  Rollout& rollout = *view.book.rollout;
  // As it is by now: this turn may have written it.
  const Ref<Service> service = turn.view().GetService(view.id);
  if (rollout.in_flight.has_value()) {
    if (!IsSettled(turn, view, *rollout.in_flight, judge)) return;
    rollout.in_flight.reset();
    rollout.settled_at = turn.now();
  }
  for (; !rollout.todo.empty(); rollout.todo.pop_back()) {
    const uint32_t slot = rollout.todo.back();
    const Ref<Task> newest = SlotTasks(turn.view(), view.id, slot).Newest();
    if (newest == nullptr || judge.IsClean(turn.view(), *newest)) continue;
    if (judge.wanted()->revision().image_digest().empty()) {
      const std::string why = StrCat("waiting for the image: ", judge.wanted()->pending_reason());
      if (service->update_status().message() != why) {
        turn.Put(WithUpdate(*service, v1::UpdateStatus::STATE_UPDATING, why, turn.wall_now()));
      }
      return;
    }
    if (service->update_status().message() != kInProgress) {
      turn.Put(
          WithUpdate(*service, v1::UpdateStatus::STATE_UPDATING, kInProgress, turn.wall_now()));
    }
    slots_.Replace(turn, *newest, judge.wanted(), "");
    rollout.in_flight = slot;
    rollout.todo.pop_back();
    return;
  }
  const absl::Duration end = rollout.settled_at + kMonitor;
  if (turn.now() < end) {
    alarms_.Set(end, view.id, Alarms::kWholeService);
    return;
  }
  turn.Put(
      WithUpdate(*service, v1::UpdateStatus::STATE_COMPLETED, "update completed", turn.wall_now()));
  view.book.rollout.reset();
}

void ServiceKeeper::PauseIfFailed(Turn& turn, const ServiceView& view,
                                  const SlotKeeper::Ended& ended, const RevisionJudge& judge) {
  if (!view.book.rollout.has_value() || !judge.IsWanted(*ended.task)) return;
  if (!IsFailedEnd(*ended.task)) return;
  if (ended.lived.has_value() && *ended.lived > kMonitor) return;
  const Ref<Service> service = turn.view().GetService(view.id);
  const std::string why = WhyPaused(*ended.task);
  LogWarning("orchestrator", StrCat("service ", service->spec().name(), ": ", why));
  turn.Put(WithUpdate(*service, v1::UpdateStatus::STATE_PAUSED, why, turn.wall_now()));
  view.book.rollout.reset();
}

}  // namespace swarm::manager
