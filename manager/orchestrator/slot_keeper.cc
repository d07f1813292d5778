#include "manager/orchestrator/slot_keeper.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/log.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

// May still hold its slot's resources and files on a node that could answer.
bool IsAlive(const View& view, const Task& task) {
  if (IsTerminal(task.state) || task.node_id.IsZero()) return false;
  const Ref<Node> node = view.GetNode(task.node_id);
  return node != nullptr && !IsDown(*node);
}

bool AnyAlive(const View& view, const SlotTasks& slot, Id except) {
  return std::any_of(slot.tasks().begin(), slot.tasks().end(), [&](const Ref<Task>& task) {
    return task->id != except && IsAlive(view, *task);
  });
}

Id RevisionId(const Task& task) { return Id::ParseOrZero(task.revision->revision().id()); }

// For jobs "any" means on-failure: what is complete is done.
v1::RestartPolicy PolicyOf(const Task& task) {
  v1::RestartPolicy policy = task.revision->revision().task().restart();
  if (RunOf(task.slot) != 0 && policy.condition() != v1::RestartPolicy::CONDITION_NONE) {
    policy.set_condition(v1::RestartPolicy::CONDITION_ON_FAILURE);
  }
  return policy;
}

// The scheduler has looked and found no place for it, though some node takes tasks: right after a
// failover none does, and then that says nothing.
bool HasNoPlace(const View& view, const Task& task) {
  if (task.state > TaskState::kPending || task.error().empty()) return false;
  if (!task.wanted_node.IsZero()) {
    const Ref<Node> node = view.GetNode(task.wanted_node);
    return node != nullptr && TakesNewTasks(*node);
  }
  bool any = false;
  view.EachNode([&](const Ref<Node>& node) {
    any = TakesNewTasks(*node);
    return !any;
  });
  return any;
}

bool IsFinishedJob(const Task& task) {
  return RunOf(task.slot) != 0 && task.state == TaskState::kComplete;
}

RestartHistory HistoryOf(const View& view, const Task& task) {
  const Id revision = RevisionId(task);
  std::optional<RestartHistory> found =
      view.GetRestartHistory(task.service_id, revision, task.slot);
  if (found.has_value()) return *std::move(found);
  RestartHistory history;
  history.set_service_id(task.service_id.ToBytes());
  history.set_revision_id(revision.ToBytes());
  history.set_slot(NumberOf(task.slot));
  history.set_run(RunOf(task.slot));
  return history;
}

// Nobody waits for a node that is lost or being emptied.
bool NodeIsLeft(const View& view, const Task& task) {
  if (task.state == TaskState::kOrphaned) return true;
  if (task.node_id.IsZero()) return false;
  const Ref<Node> node = view.GetNode(task.node_id);
  return node == nullptr || IsDown(*node) || IsDrained(*node);
}

std::string Describe(const Task& task) {
  return StrCat(task.revision->revision().service_name(), ".", NumberOf(task.slot), " (task ",
                task.id.ToString(), ")");
}

}  // namespace

void SlotKeeper::OnTask(const Task* before, const Task* after, absl::Duration now) {
  if (after == nullptr) {
    if (before != nullptr) {
      holds_.erase(before->id);
      runs_.Forget(before->id);
    }
    return;
  }
  if (before == nullptr || before->state == after->state || !IsActive(*after)) return;
  if (after->state == TaskState::kRunning) {
    runs_.OnRunning(after->id, now);
  } else if (IsTerminal(after->state) && !IsTerminal(before->state)) {
    runs_.OnEnded(after->id, before->state == TaskState::kRunning, now);
  }
}

std::optional<SlotKeeper::Ended> SlotKeeper::Keep(Turn& turn, Id service, Slot slot,
                                                  RevisionJudge& judge) {
  const SlotTasks before(turn.view(), service, slot);
  for (const Ref<Task>& task : before.tasks()) {
    if (IsRemoved(*task) && task->gone) turn.Remove(task->id);
  }
  const Ref<Task> active = before.Active();
  const Ref<Task> older = before.Predecessor();
  for (const Ref<Task>& task : before.tasks()) {
    if (IsActive(*task) && task != active && task != older) {
      turn.Stop(*task, TaskState::kShutdown, "");
    }
  }
  std::optional<Ended> ended;
  if (active == nullptr || IsFinishedJob(*active)) {
    // Nothing to do for it, and how long it ran is nobody's question.
    if (active != nullptr) runs_.Forget(active->id);
  } else if (older != nullptr) {
    ended = KeepChange(turn, older, active, judge);
  } else if (IsTerminal(active->state)) {
    if (!EndedBeforeItsTime(turn, *active)) ended = Restart(turn, active, judge);
  } else if (active->desired == TaskState::kReady) {
    TryPromote(turn, before, *active);
  }
  CutHistory(turn, SlotTasks(turn.view(), service, slot));
  return ended;
}

std::optional<SlotKeeper::Ended> SlotKeeper::KeepChange(Turn& turn, const Ref<Task>& older,
                                                        const Ref<Task>& newer,
                                                        RevisionJudge& judge) {
  if (IsTerminal(newer->state)) {
    // Whether to try again is the rollout's to say.
    Ended ended = End(turn, newer);
    if (IsTerminal(older->state)) Restart(turn, older, judge);
    return ended;
  }
  const bool waits = newer->desired == TaskState::kReady;
  const bool may_take_over =
      waits ? newer->state >= TaskState::kReady || HasNoPlace(turn.view(), *newer)
            : newer->state == TaskState::kRunning;
  if (IsTerminal(older->state)) {
    End(turn, older);
  } else if (may_take_over) {
    turn.Stop(*older, TaskState::kShutdown, "");
  } else {
    return std::nullopt;
  }
  if (waits) TryPromote(turn, SlotTasks(turn.view(), newer->service_id, newer->slot), *newer);
  return std::nullopt;
}

SlotKeeper::Ended SlotKeeper::End(Turn& turn, const Ref<Task>& task) {
  holds_.erase(task->id);
  turn.Stop(*task, TaskState::kShutdown, "");
  return {task, runs_.TakeLived(task->id)};
}

SlotKeeper::Ended SlotKeeper::Restart(Turn& turn, const Ref<Task>& ended, RevisionJudge& judge) {
  const Ended result = End(turn, ended);
  absl::Duration delay;
  if (NodeIsLeft(turn.view(), *ended)) {
    if (!ConditionAllowsRestart(PolicyOf(*ended), ended->state)) return result;
  } else {
    const std::optional<absl::Duration> allowed = DelayOfRetry(turn, result);
    if (!allowed.has_value()) {
      LogInfo("orchestrator", StrCat(Describe(*ended), " ended and is not restarted"));
      return result;
    }
    delay = *allowed;
  }
  CreateHeld(turn, ended->service_id, ended->slot, judge.ReplacementFor(*ended), ended->wanted_node,
             delay);
  return result;
}

bool SlotKeeper::EndedBeforeItsTime(const Turn& turn, const Task& ended) const {
  const auto it = holds_.find(ended.id);
  return it != holds_.end() && turn.now() < it->second.not_before &&
         !NodeIsLeft(turn.view(), ended);
}

std::optional<absl::Duration> SlotKeeper::DelayOfRetry(Turn& turn, const Ended& ended) {
  const Task& task = *ended.task;
  RestartDecision decision = DecideRestart(PolicyOf(task), {task.state, ended.lived},
                                           HistoryOf(turn.view(), task), turn.now_unix_ms());
  if (!decision.restart) return std::nullopt;
  if (decision.history_changed) turn.Put(std::move(decision.history));
  return decision.delay;
}

void SlotKeeper::CreateHeld(Turn& turn, Id service, Slot slot, Ref<Revision> revision,
                            Id wanted_node, absl::Duration delay) {
  const SlotTasks tasks(turn.view(), service, slot);
  const bool wait = AnyAlive(turn.view(), tasks, Id{});
  const TaskState desired =
      wait || delay > absl::ZeroDuration() ? TaskState::kReady : TaskState::kRunning;
  const Id id = turn.Create(
      {service, slot, std::move(revision), desired, wanted_node, tasks.NewestCreatedUnixMs()});
  if (desired != TaskState::kReady) return;
  const Hold hold{turn.now() + delay, turn.now() + std::max(delay, kLongestWaitForStop)};
  holds_[id] = hold;
  alarms_.Set(hold.not_before, service, slot);
  alarms_.Set(hold.not_after, service, slot);
}

void SlotKeeper::TryPromote(Turn& turn, const SlotTasks& slot, const Task& waiting) {
  auto it = holds_.find(waiting.id);
  if (it == holds_.end()) {
    it = holds_.emplace(waiting.id, RearmHold(turn, slot, waiting)).first;
    alarms_.Set(it->second.not_before, waiting.service_id, waiting.slot);
    alarms_.Set(it->second.not_after, waiting.service_id, waiting.slot);
  }
  const Hold& hold = it->second;
  if (turn.now() < hold.not_before) return;
  if (turn.now() < hold.not_after && AnyAlive(turn.view(), slot, waiting.id)) return;
  holds_.erase(it);
  turn.Promote(waiting);
}

SlotKeeper::Hold SlotKeeper::RearmHold(const Turn& turn, const SlotTasks& slot,
                                       const Task& waiting) const {
  absl::Duration delay;
  for (const Ref<Task>& task : slot.tasks()) {
    if (task->id == waiting.id) break;
    const bool restarted = IsTerminal(task->state) && task->state != TaskState::kShutdown &&
                           RevisionId(*task) == RevisionId(waiting) &&
                           !NodeIsLeft(turn.view(), *task);
    delay = restarted ? RestartDelay(PolicyOf(*task), HistoryOf(turn.view(), *task))
                      : absl::ZeroDuration();
  }
  // The wall clock only shortens the wait, and never below nothing.
  const absl::Duration waited =
      std::clamp(absl::Milliseconds(turn.now_unix_ms() - waiting.created_unix_ms),
                 absl::ZeroDuration(), delay);
  return {turn.now() + delay - waited, turn.now() + std::max(delay, kLongestWaitForStop)};
}

void SlotKeeper::CutHistory(Turn& turn, const SlotTasks& slot) {
  const Ref<Cluster> cluster = turn.view().GetCluster();
  const uint32_t asked = cluster == nullptr ? 0 : cluster->spec().task_history_limit();
  for (const Ref<Task>& task : HistoryOverLimit(slot, asked == 0 ? kDefaultHistory : asked)) {
    turn.Stop(*task, TaskState::kRemove, "");
  }
}

void SlotKeeper::Fill(Turn& turn, Id service, Slot slot, const Ref<Revision>& revision,
                      Id wanted_node) {
  if (SlotTasks(turn.view(), service, slot).InService()) return;
  CreateHeld(turn, service, slot, revision, wanted_node, absl::ZeroDuration());
}

void SlotKeeper::Empty(Turn& turn, Id service, Slot slot) {
  const SlotTasks tasks(turn.view(), service, slot);
  for (const Ref<Task>& task : tasks.tasks()) {
    holds_.erase(task->id);
    if (!IsRemoved(*task)) turn.Stop(*task, TaskState::kRemove, "");
  }
}

void SlotKeeper::ChangeOver(Turn& turn, Id service, Slot slot, const Ref<Revision>& revision,
                            bool start_first) {
  GiveUpChange(turn, service, slot, "");
  const SlotTasks tasks(turn.view(), service, slot);
  const Ref<Task> active = tasks.Active();
  const bool runs = active != nullptr && active->state == TaskState::kRunning &&
                    active->desired != TaskState::kReady && IsAlive(turn.view(), *active);
  if (!runs) return Replace(turn, *tasks.Newest(), revision, "");
  turn.Create({service, slot, revision, start_first ? TaskState::kRunning : TaskState::kReady,
               active->wanted_node, tasks.NewestCreatedUnixMs()});
}

void SlotKeeper::GiveUpChange(Turn& turn, Id service, Slot slot, std::string_view reason) {
  const SlotTasks tasks(turn.view(), service, slot);
  if (tasks.Predecessor() == nullptr) return;
  const Ref<Task> newer = tasks.Active();
  holds_.erase(newer->id);
  turn.Stop(*newer, TaskState::kShutdown, reason);
}

void SlotKeeper::Replace(Turn& turn, const Task& old, Ref<Revision> revision,
                         std::string_view reason) {
  absl::Duration delay;
  if (auto it = holds_.find(old.id); it != holds_.end()) {
    delay = std::max(it->second.not_before - turn.now(), absl::ZeroDuration());
    holds_.erase(it);
  }
  if (IsActive(old)) turn.Stop(old, TaskState::kShutdown, reason);
  CreateHeld(turn, old.service_id, old.slot, std::move(revision), old.wanted_node, delay);
}

void SlotKeeper::Move(Turn& turn, const Task& old, Ref<Revision> revision,
                      std::string_view reason) {
  LogInfo("orchestrator", StrCat(Describe(old), " leaves its node: ", reason));
  const bool changing = SlotTasks(turn.view(), old.service_id, old.slot).Predecessor() != nullptr;
  if (changing || PolicyOf(old).condition() == v1::RestartPolicy::CONDITION_NONE) {
    holds_.erase(old.id);
    turn.Stop(old, TaskState::kShutdown, reason);
    return;
  }
  Replace(turn, old, std::move(revision), reason);
}

}  // namespace swarm::manager
