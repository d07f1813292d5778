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

const v1::RestartPolicy& PolicyOf(const Task& task) {
  return task.revision->revision().task().restart();
}

RestartHistory HistoryOf(const View& view, const Task& task) {
  const Id revision = RevisionId(task);
  std::optional<RestartHistory> found =
      view.GetRestartHistory(task.service_id, revision, task.slot);
  if (found.has_value()) return *std::move(found);
  RestartHistory history;
  history.set_service_id(task.service_id.ToBytes());
  history.set_revision_id(revision.ToBytes());
  history.set_slot(task.slot);
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
  return StrCat(task.revision->revision().service_name(), ".", task.slot, " (task ",
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

std::optional<SlotKeeper::Ended> SlotKeeper::Keep(Turn& turn, Id service, uint32_t slot,
                                                  RevisionJudge& judge) {
  const SlotTasks before(turn.view(), service, slot);
  for (const Ref<Task>& task : before.tasks()) {
    if (IsRemoved(*task) && task->gone) turn.Remove(task->id);
  }
  const Ref<Task> active = before.Active();
  for (const Ref<Task>& task : before.tasks()) {
    if (IsActive(*task) && task != active) turn.Stop(*task, TaskState::kShutdown, "");
  }
  std::optional<Ended> ended;
  if (active != nullptr && IsTerminal(active->state)) {
    ended = Restart(turn, before, active, judge);
  } else if (active != nullptr && active->desired == TaskState::kReady) {
    TryPromote(turn, before, *active);
  }
  CutHistory(turn, SlotTasks(turn.view(), service, slot));
  return ended;
}

SlotKeeper::Ended SlotKeeper::Restart(Turn& turn, const SlotTasks& slot, const Ref<Task>& ended,
                                      RevisionJudge& judge) {
  holds_.erase(ended->id);
  const Ended result{ended, runs_.TakeLived(ended->id)};
  turn.Stop(*ended, TaskState::kShutdown, "");
  absl::Duration delay;
  if (NodeIsLeft(turn.view(), *ended)) {
    if (!ConditionAllowsRestart(PolicyOf(*ended), ended->state)) return result;
  } else {
    RestartDecision decision = DecideRestart(PolicyOf(*ended), {ended->state, result.lived},
                                             HistoryOf(turn.view(), *ended), turn.now_unix_ms());
    if (!decision.restart) {
      LogInfo("orchestrator", StrCat(Describe(*ended), " ended and is not restarted"));
      return result;
    }
    if (decision.history_changed) turn.Put(std::move(decision.history));
    delay = decision.delay;
  }
  CreateHeld(turn, ended->service_id, slot.tasks().front()->slot, judge.ReplacementFor(*ended),
             delay);
  return result;
}

void SlotKeeper::CreateHeld(Turn& turn, Id service, uint32_t slot, Ref<Revision> revision,
                            absl::Duration delay) {
  const SlotTasks tasks(turn.view(), service, slot);
  const bool wait = AnyAlive(turn.view(), tasks, Id{});
  const TaskState desired =
      wait || delay > absl::ZeroDuration() ? TaskState::kReady : TaskState::kRunning;
  const Id id =
      turn.Create(service, std::move(revision), slot, desired, tasks.NewestCreatedUnixMs());
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

void SlotKeeper::Fill(Turn& turn, Id service, uint32_t slot, const Ref<Revision>& revision) {
  if (SlotTasks(turn.view(), service, slot).InService()) return;
  CreateHeld(turn, service, slot, revision, absl::ZeroDuration());
}

void SlotKeeper::Empty(Turn& turn, Id service, uint32_t slot) {
  const SlotTasks tasks(turn.view(), service, slot);
  for (const Ref<Task>& task : tasks.tasks()) {
    holds_.erase(task->id);
    if (!IsRemoved(*task)) turn.Stop(*task, TaskState::kRemove, "");
  }
}

void SlotKeeper::Replace(Turn& turn, const Task& old, Ref<Revision> revision,
                         std::string_view reason) {
  absl::Duration delay;
  if (auto it = holds_.find(old.id); it != holds_.end()) {
    delay = std::max(it->second.not_before - turn.now(), absl::ZeroDuration());
    holds_.erase(it);
  }
  if (IsActive(old)) turn.Stop(old, TaskState::kShutdown, reason);
  CreateHeld(turn, old.service_id, old.slot, std::move(revision), delay);
}

void SlotKeeper::Move(Turn& turn, const Task& old, Ref<Revision> revision,
                      std::string_view reason) {
  LogInfo("orchestrator", StrCat(Describe(old), " leaves its node: ", reason));
  if (PolicyOf(old).condition() == v1::RestartPolicy::CONDITION_NONE) {
    turn.Stop(old, TaskState::kShutdown, reason);
    return;
  }
  Replace(turn, old, std::move(revision), reason);
}

}  // namespace swarm::manager
