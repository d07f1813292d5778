#include "manager/orchestrator/rollout_keeper.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/strings.h"
#include "manager/orchestrator/update_status.h"
#include "manager/placement.h"

namespace swarm::manager {
namespace {

constexpr double kRatioTolerance = 1e-9;

UpdateState Started(const Service& service) {
  return IsRollback(service) ? v1::UpdateStatus::STATE_ROLLBACK_STARTED
                             : v1::UpdateStatus::STATE_UPDATING;
}

std::string InProgress(const Service& service) {
  if (!IsRollback(service)) return "update in progress";
  const std::string& reason = service.rollout().reason();
  return reason.empty() ? "rollback in progress" : StrCat("rollback in progress: ", reason);
}

// An end that says something about the revision: not one that somebody asked for.
bool IsFailedEnd(const Task& task) {
  return task.state == TaskState::kFailed || task.state == TaskState::kRejected ||
         (task.state == TaskState::kComplete &&
          ConditionAllowsRestart(task.revision->revision().task().restart(), task.state));
}

// It was updated or rolled back, and that is more than its scale.
bool ChangesSomething(const Service& service) {
  if (service.previous_revision_id().empty()) return false;
  return IsRollback(service) || service.previous_revision_id() != service.revision_id();
}

// It may go to one node alone, and that takes no tasks just now: what runs there goes on, and is
// changed over when the node takes tasks again.
bool IsPinnedWhereNothingStarts(const View& view, const Task& task) {
  if (task.wanted_node.IsZero()) return false;
  const Ref<Node> node = view.GetNode(task.wanted_node);
  return node == nullptr || !TakesNewTasks(*node);
}

// A slot whose newest task will do and that is not changed over yet: of an update that a restart of
// the manager cut in two, or a revision that changes nothing but constraints. A move is none.
bool IsHalfDone(const View& view, Id service, Slot slot, const SlotCensus& entry,
                RevisionJudge& judge) {
  if (entry.active == nullptr) return false;
  if (entry.actives == 1) {
    return entry.active->state < TaskState::kRunning && !judge.RunsWanted(*entry.oldest);
  }
  return !judge.IsClean(view, *SlotTasks(view, service, slot).Predecessor());
}

bool PassesRatio(const Service& service, const UpdateRules& rules) {
  const double total = static_cast<double>(std::max<uint64_t>(1, service.rollout().total()));
  const double failed = static_cast<double>(service.rollout().failed());
  return failed / total > rules.max_failure_ratio + kRatioTolerance;
}

std::string WhyLate(const Task& task, const UpdateRules& rules) {
  std::string why = StrCat("task ", task.id.ToString(), ", which is not running after ",
                           absl::FormatDuration(rules.progress_deadline));
  if (!task.error().empty()) StrAppend(&why, ": ", task.error());
  return why;
}

}  // namespace

void RolloutKeeper::Plan(Turn& turn, const ServiceView& view, const Census& census,
                         const std::vector<Slot>& leaving, RevisionJudge& judge) {
  const absl::btree_set<Slot> gone(leaving.begin(), leaving.end());
  const UpdateState state = CurrentUpdate(*view.service);
  const bool is_new = state == v1::UpdateStatus::STATE_UNSPECIFIED;
  const bool updating = IsUnderWay(state) || (is_new && ChangesSomething(*view.service));
  Rollout rollout = CarriedOver(turn, view, census, gone, judge);
  std::vector<std::pair<bool, Slot>> dirty;
  for (const auto& [slot, entry] : census) {
    if (!entry.in_service || gone.contains(slot) || rollout.Knows(slot)) continue;
    const Task& current = entry.active != nullptr ? *entry.active : *entry.newest;
    if (!judge.IsClean(turn.view(), current)) {
      const bool running = entry.active != nullptr && entry.active->state == TaskState::kRunning;
      if (!IsPinnedWhereNothingStarts(turn.view(), current)) dirty.emplace_back(running, slot);
      continue;
    }
    if (updating && IsHalfDone(turn.view(), view.id, slot, entry, judge)) {
      rollout.flights[slot] = {turn.now(), std::nullopt};
      rollout.look.insert(slot);
    }
  }
  std::sort(dirty.rbegin(), dirty.rend());
  for (const auto& [running, slot] : dirty) rollout.todo.push_back(slot);
  if (!view.book.rollout) rollout.settled_at = turn.now();

  view.book.rollout.reset();
  if (IsPaused(state)) return;
  const size_t slots = rollout.todo.size() + rollout.flights.size() + rollout.later.size();
  if (slots == 0 && !IsUnderWay(state)) {
    if (is_new && ChangesSomething(*view.service)) Complete(turn, view);
    return;
  }
  if (!IsUnderWay(state)) {
    Service begun = WithUpdate(*view.service, Started(*view.service), InProgress(*view.service),
                               turn.wall_now());
    begun.mutable_rollout()->set_total(slots);
    begun.mutable_rollout()->set_failed(0);
    turn.Put(std::move(begun));
  }
  slots_.RememberRunsFor(CurrentRules(*view.service).monitor);
  rollout.revision_id = view.service->revision_id();
  view.book.rollout = std::move(rollout);
}

// What another look at the service, because of its scale, say, must not forget: times, and what was
// given up. Of the same revision only.
Rollout RolloutKeeper::CarriedOver(const Turn& turn, const ServiceView& view, const Census& census,
                                   const absl::btree_set<Slot>& gone, RevisionJudge& judge) {
  Rollout carried;
  if (!view.book.rollout.has_value() || !IsUnderWay(CurrentUpdate(*view.service))) return carried;
  const Rollout& before = *view.book.rollout;
  carried.settled_at = before.settled_at;
  if (before.revision_id != view.service->revision_id()) return carried;
  const auto stays = [&](Slot slot) { return census.contains(slot) && !gone.contains(slot); };
  for (const auto& [slot, flight] : before.flights) {
    if (!stays(slot)) continue;
    const Ref<Task>& active = census.at(slot).active;
    if (active == nullptr || !judge.IsClean(turn.view(), *active)) continue;
    carried.flights[slot] = flight;
    carried.look.insert(slot);
  }
  for (const auto& [slot, at] : before.later) {
    if (stays(slot)) carried.later[slot] = at;
  }
  for (Slot slot : before.unchanged) {
    if (stays(slot)) carried.unchanged.insert(slot);
  }
  return carried;
}

void RolloutKeeper::Advance(Turn& turn, const ServiceView& view, RevisionJudge& judge) {
  const UpdateRules rules = CurrentRules(*view.service);
  LookAtFlights(turn, view, rules, judge);
  if (!view.book.rollout.has_value()) return;
  TakeUpAgain(view, turn.now());
  Rollout& rollout = *view.book.rollout;
  while (!rollout.todo.empty() && rollout.flights.size() < rules.parallelism) {
    if (turn.Exhausted() || !BeginNext(turn, view, rules, judge)) return;
  }
  if (!rollout.todo.empty() || !rollout.flights.empty() || !rollout.later.empty()) return;
  const absl::Duration end = rollout.settled_at + rules.monitor;
  if (turn.now() < end) {
    alarms_.Set(end, view.id, Alarms::kWholeService);
  } else {
    Complete(turn, view);
  }
}

void RolloutKeeper::LookAtFlights(Turn& turn, const ServiceView& view, const UpdateRules& rules,
                                  RevisionJudge& judge) {
  while (view.book.rollout.has_value() && !view.book.rollout->look.empty()) {
    const Slot slot = *view.book.rollout->look.begin();
    view.book.rollout->look.erase(slot);
    LookAt(turn, view, slot, rules, judge);
  }
}

void RolloutKeeper::LookAt(Turn& turn, const ServiceView& view, Slot slot, const UpdateRules& rules,
                           RevisionJudge& judge) {
  Rollout& rollout = *view.book.rollout;
  auto it = rollout.flights.find(slot);
  if (it == rollout.flights.end()) return;
  const SlotTasks tasks(turn.view(), view.id, slot);
  const Ref<Task> active = tasks.Active();
  if (active == nullptr) {  // scaled away, or over by its restart policy
    rollout.flights.erase(it);
    return;
  }
  const bool changing = tasks.Predecessor() != nullptr;
  if (!changing && !judge.IsClean(turn.view(), *active)) {  // the new one had to leave its node
    rollout.flights.erase(it);
    rollout.todo.push_back(slot);
    return;
  }
  Rollout::Flight& flight = it->second;
  if (!changing && active->state == TaskState::kRunning) {
    if (!flight.running_at.has_value()) flight.running_at = turn.now();
    rollout.settled_at = std::max(rollout.settled_at, *flight.running_at);
    const absl::Duration free_at = *flight.running_at + rules.delay;
    if (turn.now() >= free_at || rollout.todo.empty()) {
      rollout.flights.erase(it);
    } else {
      alarms_.Set(free_at, view.id, slot);
    }
    return;
  }
  const absl::Duration deadline = flight.since + rules.progress_deadline;
  if (turn.now() < deadline) {
    alarms_.Set(deadline, view.id, slot);
    return;
  }
  rollout.flights.erase(it);
  Fail(turn, view, WhyLate(*active, rules));
  if (!view.book.rollout.has_value()) slots_.GiveUpChange(turn, view.id, slot, "");
}

void RolloutKeeper::TakeUpAgain(const ServiceView& view, absl::Duration now) {
  Rollout& rollout = *view.book.rollout;
  for (auto it = rollout.later.begin(); it != rollout.later.end();) {
    if (it->second > now) {
      alarms_.Set(it->second, view.id, Alarms::kWholeService);
      ++it;
    } else {
      rollout.todo.insert(rollout.todo.begin(), it->first);
      it = rollout.later.erase(it);
    }
  }
}

bool RolloutKeeper::BeginNext(Turn& turn, const ServiceView& view, const UpdateRules& rules,
                              RevisionJudge& judge) {
  Rollout& rollout = *view.book.rollout;
  const Slot slot = rollout.todo.back();
  const SlotTasks tasks(turn.view(), view.id, slot);
  // What runs, else what ran last.
  const Ref<Task> current = tasks.Active() != nullptr ? tasks.Active() : tasks.Newest();
  if (current == nullptr || judge.IsClean(turn.view(), *current)) {
    rollout.todo.pop_back();
    return true;
  }
  const Ref<Task> older = tasks.Predecessor();
  if (older != nullptr && judge.IsClean(turn.view(), *older)) {  // back to what still runs
    rollout.todo.pop_back();
    slots_.GiveUpChange(turn, view.id, slot, "");
    return true;
  }
  if (judge.wanted()->revision().image_digest().empty()) {
    Say(turn, view, StrCat("waiting for the image: ", judge.wanted()->pending_reason()));
    return false;
  }
  Say(turn, view, InProgress(*view.service));
  rollout.todo.pop_back();
  slots_.ChangeOver(turn, view.id, slot, judge.wanted(), rules.start_first);
  view.book.changing.insert(slot);
  rollout.flights[slot] = {turn.now(), std::nullopt};
  alarms_.Set(turn.now() + rules.progress_deadline, view.id, slot);
  return true;
}

void RolloutKeeper::OnEnded(Turn& turn, const ServiceView& view, const SlotKeeper::Ended& ended,
                            RevisionJudge& judge) {
  if (!view.book.rollout.has_value() || !IsFailedEnd(*ended.task)) return;
  const Slot slot = ended.task->slot;
  const bool is_new = judge.IsWanted(*ended.task) ||
                      (view.book.rollout->flights.contains(slot) && judge.RunsWanted(*ended.task));
  if (!is_new) return;
  if (ended.lived.has_value() && *ended.lived > CurrentRules(*view.service).monitor) return;
  // Its place is free for the next slot.
  view.book.rollout->flights.erase(slot);
  Fail(turn, view, WhyFailed(*ended.task));
  if (!view.book.rollout.has_value()) return;
  const Ref<Task> active = SlotTasks(turn.view(), view.id, slot).Active();
  if (active == nullptr || judge.IsWanted(*active)) return;  // restarted in its slot
  if (const auto delay = slots_.DelayOfRetry(turn, ended); delay.has_value()) {
    view.book.rollout->later[slot] = turn.now() + *delay;
  } else {
    view.book.rollout->unchanged.insert(slot);
  }
}

void RolloutKeeper::Fail(Turn& turn, const ServiceView& view, const std::string& why) {
  // As it is by now: this turn may have written it.
  Service service = *turn.view().GetService(view.id);
  const UpdateRules rules = CurrentRules(service);
  service.mutable_rollout()->set_failed(service.rollout().failed() + 1);
  LogWarning("orchestrator", StrCat("service ", service.spec().name(), ": ", why));
  if (!PassesRatio(service, rules) ||
      rules.on_failure == v1::UpdateConfig::FAILURE_ACTION_CONTINUE) {
    service.mutable_update_status()->set_message(
        StrCat(InProgress(service), " (", service.rollout().failed(), " of ",
               service.rollout().total(), " failed; the last: ", why, ")"));
    turn.Put(std::move(service));
    return;
  }
  if (rules.on_failure == v1::UpdateConfig::FAILURE_ACTION_ROLLBACK) {
    absl::StatusOr<Service> back = RolledBack(service, StrCat("update rolled back due to ", why));
    if (back.ok()) {
      view.book.rollout.reset();
      view.book.scan = true;
      turn.Put(*std::move(back));
      return;
    }
  }
  Pause(turn, view, service, why);
}

void RolloutKeeper::Pause(Turn& turn, const ServiceView& view, const Service& service,
                          const std::string& why) {
  const bool rollback = IsRollback(service);
  turn.Put(WithUpdate(
      service, rollback ? v1::UpdateStatus::STATE_ROLLBACK_PAUSED : v1::UpdateStatus::STATE_PAUSED,
      StrCat(rollback ? "rollback" : "update", " paused due to ", why), turn.wall_now()));
  for (const auto& [slot, flight] : view.book.rollout->flights) {
    slots_.GiveUpChange(turn, view.id, slot, "the update is paused");
  }
  view.book.rollout.reset();
}

void RolloutKeeper::Complete(Turn& turn, const ServiceView& view) {
  const Ref<Service> service = turn.view().GetService(view.id);
  const bool rollback = IsRollback(*service);
  std::string message = rollback ? "rollback completed" : "update completed";
  if (rollback && !service->rollout().reason().empty()) {
    StrAppend(&message, ": ", service->rollout().reason());
  }
  const size_t unchanged = view.book.rollout.has_value() ? view.book.rollout->unchanged.size() : 0;
  if (unchanged > 0) StrAppend(&message, "; ", unchanged, " tasks could not be changed over");
  if (service->rollout().failed() > 0) {
    StrAppend(&message, "; ", service->rollout().failed(), " failures on the way");
  }
  turn.Put(WithUpdate(
      *service,
      rollback ? v1::UpdateStatus::STATE_ROLLBACK_COMPLETED : v1::UpdateStatus::STATE_COMPLETED,
      message, turn.wall_now()));
  view.book.rollout.reset();
}

void RolloutKeeper::Say(Turn& turn, const ServiceView& view, const std::string& message) {
  const Ref<Service> service = turn.view().GetService(view.id);
  const std::string& said = service->update_status().message();
  // "… (1 of 4 failed …)" says more.
  if (said == message || said.compare(0, message.size() + 2, StrCat(message, " (")) == 0) return;
  turn.Put(WithUpdate(*service, Started(*service), message, turn.wall_now()));
}

}  // namespace swarm::manager
