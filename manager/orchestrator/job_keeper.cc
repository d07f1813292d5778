#include "manager/orchestrator/job_keeper.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/proto_time.h"
#include "common/strings.h"
#include "manager/orchestrator/job_runs.h"
#include "manager/orchestrator/revision_rules.h"
#include "manager/orchestrator/update_status.h"
#include "manager/placement.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

using v1::JobRun;

// The shortest nap: the wall clock may run a little behind the loop's.
constexpr absl::Duration kShortestNap = absl::Milliseconds(10);

size_t HistoryLimit(const View& view) {
  const Ref<Cluster> cluster = view.GetCluster();
  const uint32_t asked = cluster == nullptr ? 0 : cluster->spec().task_history_limit();
  return asked == 0 ? SlotKeeper::kDefaultHistory : asked;
}

uint64_t WantedCompletions(const v1::ReplicatedJob& job) {
  return std::min(TotalCompletions(job), kMostCompletions);
}

// Whatever else was to run in a slot that is done.
void StopTheRest(Turn& turn, const SlotTasks& tasks) {
  for (const Ref<Task>& task : tasks.tasks()) {
    if (IsActive(*task) && task->state != TaskState::kComplete) {
      turn.Stop(*task, TaskState::kRemove, "");
    }
  }
}

void RemoveTasks(Turn& turn, const SlotTasks& tasks) {
  for (const Ref<Task>& task : tasks.tasks()) {
    turn.RemoveRestartHistory(*task);
    if (task->gone) {
      turn.Remove(task->id);
    } else if (!IsRemoved(*task)) {
      turn.Stop(*task, TaskState::kRemove, "");
    }
  }
}

}  // namespace

struct JobKeeper::Pass {
  struct RunRules {
    explicit RunRules(const Ref<Revision>& revision)
        : judge(revision), places(revision->revision().task().placement()) {}
    RevisionJudge judge;
    PlacementRules places;
  };

  Turn& turn;
  const ServiceView& view;
  JobBook& book;
  Service service;  // as it will be written
  bool changed = false;
  std::map<uint32_t, std::unique_ptr<RunRules>> rules;

  bool IsGlobal() const { return service.spec().has_global_job(); }

  // Of the revision that the run began with; null when the service has none at all.
  RunRules* RulesOf(uint32_t run) {
    auto [it, added] = rules.try_emplace(run);
    if (!added) return it->second.get();
    const JobRun* record = FindRun(service, run);
    Ref<Revision> revision;
    if (record != nullptr) {
      revision = turn.view().GetRevision(Id::ParseOrZero(record->revision_id()));
    }
    if (revision == nullptr) {
      revision = turn.view().GetRevision(Id::ParseOrZero(service.revision_id()));
    }
    if (revision != nullptr) it->second = std::make_unique<RunRules>(revision);
    return it->second.get();
  }

  void DirtyAllNodes() {
    turn.view().EachNode([&](const Ref<Node>& node) {
      view.book.dirty_nodes.insert(Id::ParseOrZero(node->id()));
      return true;
    });
  }
};

bool JobKeeper::AsksTheSame(const v1::ServiceSpec& a, const v1::ServiceSpec& b) {
  if (!IsJob(a) && !IsJob(b)) return true;
  return a.mode_case() == b.mode_case() &&
         a.replicated_job().SerializeAsString() == b.replicated_job().SerializeAsString() &&
         a.schedule().SerializeAsString() == b.schedule().SerializeAsString();
}

bool JobKeeper::Keep(Turn& turn, const ServiceView& view) {
  Pass pass{turn, view, books_[view.id], *view.service};
  if (view.book.scan && !Scan(pass)) return true;
  KeepSlots(pass);
  Conclude(pass);
  // What ended is known by now: a run that is due may depend on it.
  if (!turn.Exhausted()) BeginRuns(pass);
  FollowRecord(pass);
  RemoveLeaving(pass);
  KeepNodes(pass);
  FillSlots(pass);
  Conclude(pass);
  if (pass.changed) turn.Put(std::move(pass.service));
  return turn.Exhausted();
}

// ---------------------------------------------------------------------------------------- slots

bool JobKeeper::Scan(Pass& pass) {
  const View& view = pass.turn.view();
  pass.book.runs.clear();
  pass.book.leaving.clear();
  for (const JobRun& run : pass.service.runs()) {
    if (KeepsTasks(pass.service, run)) pass.book.runs.try_emplace(run.run());
  }
  const size_t history_limit = HistoryLimit(view);
  std::vector<Ref<Task>> lost;
  std::map<Id, bool> node_exists;
  Slot slot = 0;
  Id wanted_node;
  SlotSummary summary;
  const auto settle = [&] {
    if (summary.NeedsCare(history_limit)) pass.view.book.dirty_slots.insert(slot);
    if (!summary.in_service()) return;
    const auto run = pass.book.runs.find(RunOf(slot));
    if (run == pass.book.runs.end()) {
      pass.book.leaving[RunOf(slot)] = NumberOf(slot);
      return;
    }
    run->second.Set(NumberOf(slot), summary.fate());
    if (!wanted_node.IsZero()) run->second.number_of_node[wanted_node] = NumberOf(slot);
  };
  view.EachTaskOfService(pass.view.id, [&](const Ref<Task>& task) {
    if (task->slot != slot) {
      settle();
      slot = task->slot;
      summary = {};
    }
    summary.Add(*task);
    wanted_node = task->wanted_node;
    if (!task->node_id.IsZero() && !task->gone) {
      auto [it, added] = node_exists.try_emplace(task->node_id, true);
      if (added) it->second = view.GetNode(task->node_id) != nullptr;
      if (!it->second) lost.push_back(task);
    }
    return true;
  });
  settle();
  for (const Ref<Task>& task : lost) {
    if (pass.turn.Exhausted()) return false;
    pass.turn.Orphan(*task, "its node was removed from the cluster");
    pass.view.book.dirty_slots.insert(task->slot);
  }
  if (pass.IsGlobal()) {
    pass.DirtyAllNodes();
    for (const auto& [number, run] : pass.book.runs) {
      for (const auto& [node, slot_number] : run.number_of_node) {
        pass.view.book.dirty_nodes.insert(node);
      }
    }
  }
  pass.view.book.scan = false;
  return true;
}

void JobKeeper::KeepSlots(Pass& pass) {
  absl::btree_set<Slot>& dirty = pass.view.book.dirty_slots;
  while (!dirty.empty() && !pass.turn.Exhausted()) {
    const Slot slot = *dirty.begin();
    dirty.erase(dirty.begin());
    KeepSlot(pass, slot);
  }
}

void JobKeeper::KeepSlot(Pass& pass, Slot slot) {
  const SlotTasks tasks(pass.turn.view(), pass.view.id, slot);
  const auto run = pass.book.runs.find(RunOf(slot));
  if (run == pass.book.runs.end()) {
    RemoveTasks(pass.turn, tasks);
    return;
  }
  Pass::RunRules* rules = pass.RulesOf(run->first);
  if (rules == nullptr) return;
  if (FateOf(tasks) == SlotFate::kComplete) StopTheRest(pass.turn, tasks);
  slots_.Keep(pass.turn, pass.view.id, slot, rules->judge);
  run->second.Set(NumberOf(slot), FateOf(SlotTasks(pass.turn.view(), pass.view.id, slot)));
}

void JobKeeper::FillSlots(Pass& pass) {
  if (!pass.service.spec().has_replicated_job()) return;
  const v1::ReplicatedJob& job = pass.service.spec().replicated_job();
  const uint64_t max_concurrent = MaxConcurrent(job);
  for (auto& [number, run] : pass.book.runs) {
    JobRun* record = FindRun(pass.service, number);
    if (!IsCron(pass.service.spec()) && number == pass.service.last_run()) {
      const uint64_t total = std::max<uint64_t>(WantedCompletions(job), run.last());
      pass.changed |= total != record->completions();
      record->set_completions(total);
    }
    while (!pass.turn.Exhausted() && run.in_flight().size() < max_concurrent) {
      const uint32_t next = run.NextFree(record->completions());
      Pass::RunRules* rules = next == 0 ? nullptr : pass.RulesOf(number);
      if (rules == nullptr) break;
      slots_.Fill(pass.turn, pass.view.id, MakeSlot(number, next), rules->judge.wanted());
      run.Set(next, SlotFate::kInFlight);
    }
  }
}

void JobKeeper::RemoveLeaving(Pass& pass) {
  auto& leaving = pass.book.leaving;
  while (!leaving.empty() && !pass.turn.Exhausted()) {
    auto& [run, last] = *leaving.begin();
    for (; last > 0 && !pass.turn.Exhausted(); --last) {
      RemoveTasks(pass.turn, SlotTasks(pass.turn.view(), pass.view.id, MakeSlot(run, last)));
    }
    if (last == 0) leaving.erase(leaving.begin());
  }
}

// ---------------------------------------------------------------------------------------- nodes

void JobKeeper::KeepNodes(Pass& pass) {
  absl::btree_set<Id>& dirty = pass.view.book.dirty_nodes;
  if (!pass.IsGlobal()) dirty.clear();
  while (!dirty.empty() && !pass.turn.Exhausted()) {
    const Id node = *dirty.begin();
    dirty.erase(dirty.begin());
    for (auto& [number, run] : pass.book.runs) KeepNode(pass, number, run, node);
  }
}

void JobKeeper::KeepNode(Pass& pass, uint32_t number, RunBook& run, Id id) {
  Pass::RunRules* rules = pass.RulesOf(number);
  if (rules == nullptr) return;
  const Ref<Node> node = pass.turn.view().GetNode(id);
  const bool fits = node != nullptr && !IsDrained(*node) &&
                    rules->places.BrokenConstraint(SubjectOf(*node)).empty() &&
                    rules->places.PlatformMatches(node->description().platform());
  const auto it = run.number_of_node.find(id);
  if (it == run.number_of_node.end()) {
    const bool still_open = FindRun(pass.service, number)->state() == JobRun::STATE_RUNNING ||
                            !IsCron(pass.service.spec());
    if (!fits || !TakesNewTasks(*node) || !still_open) return;
    const uint32_t next = run.last() + 1;
    slots_.Fill(pass.turn, pass.view.id, MakeSlot(number, next), rules->judge.wanted(), id);
    run.Set(next, SlotFate::kInFlight);
    run.number_of_node[id] = next;
    return;
  }
  // What is complete stays as the record; what is dead as long as there is the node.
  const SlotFate fate = run.At(it->second);
  const bool leaves = fate == SlotFate::kInFlight ? !fits : fate == SlotFate::kDead && !node;
  if (!leaves) return;
  slots_.Empty(pass.turn, pass.view.id, MakeSlot(number, it->second));
  run.Set(it->second, SlotFate::kFree);
  run.number_of_node.erase(it);
}

// ----------------------------------------------------------------------------------------- runs

void JobKeeper::BeginRuns(Pass& pass) {
  const v1::CronSchedule& spec = pass.service.spec().schedule();
  if (!IsCron(pass.service.spec())) {
    pass.changed |= BeginWantedRun(pass.service, pass.turn.wall_now());
  } else {
    if (const std::string key = ScheduleKey(spec); pass.book.schedule_key != key) {
      auto parsed = CronSchedule::Parse(spec.expression(), spec.time_zone());
      if (!parsed.ok()) {
        LogError("orchestrator", StrCat("job ", pass.service.spec().name(),
                                        " never runs: ", parsed.status().ToString()));
      }
      pass.book.schedule_key = key;
      pass.book.schedule = parsed.ok() ? std::optional(*std::move(parsed)) : std::nullopt;
    }
    if (!pass.book.schedule.has_value()) return;
    pass.changed |= FollowSchedule(pass.service, *pass.book.schedule, pass.turn.wall_now());
    SetAlarm(pass);
  }
  pass.changed |= CutRuns(pass.service);
}

void JobKeeper::SetAlarm(Pass& pass) {
  const absl::Time next = pass.book.schedule->NextAfter(ScheduledUntil(pass.service));
  const absl::Duration now = pass.turn.now();
  const absl::Duration at =
      now + std::clamp(next - pass.turn.wall_now(), kShortestNap, kLongestNap);
  std::optional<absl::Duration>& set = pass.book.alarm_at;
  if (set.has_value() && *set > now && *set <= at) return;
  alarms_.Set(at, pass.view.id, Alarms::kWholeService);
  set = at;
}

void JobKeeper::FollowRecord(Pass& pass) {
  for (auto it = pass.book.runs.begin(); it != pass.book.runs.end();) {
    const JobRun* record = FindRun(pass.service, it->first);
    if (record != nullptr && KeepsTasks(pass.service, *record)) {
      ++it;
      continue;
    }
    pass.book.leaving[it->first] = it->second.last();
    it = pass.book.runs.erase(it);
  }
  bool begun = false;
  for (const JobRun& record : pass.service.runs()) {
    if (!KeepsTasks(pass.service, record)) continue;
    begun |= pass.book.runs.try_emplace(record.run()).second;
  }
  if (begun && pass.IsGlobal()) pass.DirtyAllNodes();
}

void JobKeeper::Conclude(Pass& pass) {
  for (const auto& [number, run] : pass.book.runs) {
    JobRun* const found = FindRun(pass.service, number);
    if (found == nullptr) continue;  // FollowRecord lets it go
    JobRun& record = *found;
    const bool was_over = record.state() != JobRun::STATE_RUNNING;
    const size_t failed = run.dead().size();
    uint64_t wanted = record.completions();
    bool over = run.in_flight().empty();
    std::string message;
    if (pass.IsGlobal()) {
      wanted = run.complete() + failed + run.in_flight().size();
      if (wanted == 0) message = "no node is eligible yet";
      over = over && wanted > 0 && (was_over || pass.view.book.dirty_nodes.empty());
    } else {
      over = over && run.NextFree(wanted) == 0;
    }
    if (failed > 0) {
      const SlotTasks tasks(pass.turn.view(), pass.view.id, MakeSlot(number, *run.dead().rbegin()));
      message = StrCat(failed, " of ", wanted, " failed");
      if (const Ref<Task> last = tasks.Newest()) StrAppend(&message, ": ", WhyFailed(*last));
    }
    const JobRun::State state = !over        ? JobRun::STATE_RUNNING
                                : failed > 0 ? JobRun::STATE_FAILED
                                             : JobRun::STATE_COMPLETE;
    if (record.state() == state && record.completions() == wanted &&
        record.completed() == run.complete() && record.message() == message) {
      continue;
    }
    if (over && !was_over) {
      *record.mutable_ended_at() = swarm::ToProto(pass.turn.wall_now());
      LogInfo("orchestrator", StrCat("job ", pass.service.spec().name(), " ended run ", number,
                                     ": ", run.complete(), " of ", wanted, " completed"));
    }
    if (!over) record.clear_ended_at();
    record.set_state(state);
    record.set_completions(wanted);
    record.set_completed(run.complete());
    record.set_message(message);
    pass.changed = true;
  }
}

}  // namespace swarm::manager
