#include "manager/orchestrator/job_runs.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "common/log.h"
#include "common/proto_time.h"
#include "common/strings.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

using v1::JobRun;

bool IsRunning(const JobRun& run) { return run.state() == JobRun::STATE_RUNNING; }

size_t CountRunning(const Service& service) {
  return std::count_if(service.runs().begin(), service.runs().end(), IsRunning);
}

JobRun& BeginRun(Service& service, absl::Time now) {
  const v1::ServiceSpec& spec = service.spec();
  service.set_last_run(service.last_run() + 1);
  JobRun& run = *service.add_runs();
  run.set_run(service.last_run());
  run.set_state(JobRun::STATE_RUNNING);
  run.set_revision_id(service.revision_id());
  *run.mutable_started_at() = swarm::ToProto(now);
  if (spec.has_replicated_job()) {
    run.set_completions(std::min(TotalCompletions(spec.replicated_job()), kMostCompletions));
  }
  LogInfo("orchestrator", StrCat("job ", spec.name(), " begins run ", run.run()));
  return run;
}

void StopRunning(Service& service, absl::Time now) {
  for (JobRun& run : *service.mutable_runs()) {
    if (!IsRunning(run)) continue;
    run.set_state(JobRun::STATE_STOPPED);
    run.set_message(StrCat("replaced by run ", service.last_run() + 1));
    *run.mutable_ended_at() = swarm::ToProto(now);
  }
}

// A run that never begins.
JobRun& AddUnbegun(Service& service, JobRun::State state, absl::Time due, absl::Time now) {
  JobRun& run = *service.add_runs();
  run.set_state(state);
  run.set_revision_id(service.revision_id());
  *run.mutable_scheduled_at() = swarm::ToProto(due);
  *run.mutable_ended_at() = swarm::ToProto(now);
  return run;
}

absl::Duration StartingDeadline(const v1::CronSchedule& schedule) {
  if (!schedule.has_starting_deadline()) return kDefaultStartingDeadline;
  return std::max(FromProto(schedule.starting_deadline()), kShortestStartingDeadline);
}

void AddMissed(Service& service, const CronSchedule& schedule, absl::Time after, absl::Time until,
               absl::Time now) {
  const uint64_t count = schedule.CountIn(after, until, kMostCounted + 1);
  if (count == 0) return;
  const absl::Time first = schedule.NextAfter(after);
  JobRun& run = AddUnbegun(service, JobRun::STATE_MISSED, first, now);
  run.set_message(StrCat("missed ",
                         count > kMostCounted ? StrCat("more than ", kMostCounted) : StrCat(count),
                         count == 1 ? " run since " : " runs since ",
                         absl::FormatTime(absl::RFC3339_sec, first, schedule.zone())));
  LogWarning("orchestrator", StrCat("job ", service.spec().name(), " ", run.message()));
}

// Why a run that is due must not begin; empty: it may.
std::string WhySkipped(const Service& service) {
  const size_t running = CountRunning(service);
  switch (service.spec().schedule().concurrency()) {
    case v1::CronSchedule::CONCURRENCY_REPLACE:
      return "";
    case v1::CronSchedule::CONCURRENCY_ALLOW:
      return running < kMostAlive ? "" : StrCat(running, " runs before it are not over");
    default:
      if (running == 0) return "";
      const auto it = std::find_if(service.runs().begin(), service.runs().end(), IsRunning);
      return StrCat("run ", it->run(), " is not over");
  }
}

void BeginDueRun(Service& service, absl::Time due, absl::Time now) {
  if (const std::string why = WhySkipped(service); !why.empty()) {
    AddUnbegun(service, JobRun::STATE_SKIPPED, due, now).set_message(why);
    LogInfo("orchestrator", StrCat("job ", service.spec().name(), " skips a run: ", why));
    return;
  }
  const bool replaces =
      service.spec().schedule().concurrency() == v1::CronSchedule::CONCURRENCY_REPLACE;
  if (replaces) StopRunning(service, now);
  *BeginRun(service, now).mutable_scheduled_at() = swarm::ToProto(due);
}

// True when the record says something new.
bool CountFromTheChange(Service& service, absl::Time now) {
  const std::string key = ScheduleKey(service.spec().schedule());
  if (service.scheduled_for() != key) {
    *service.mutable_scheduled_until() = swarm::ToProto(std::min(ScheduledUntil(service), now));
    service.set_scheduled_for(key);
    return true;
  }
  if (FromProto(service.scheduled_until()) <= now + kClockWasWrong) return false;
  LogWarning("orchestrator", StrCat("job ", service.spec().name(),
                                    ": the clock was set back; its schedule counts from now"));
  *service.mutable_scheduled_until() = swarm::ToProto(now);
  return true;
}

}  // namespace

const JobRun* NewestRun(const Service& service) {
  for (auto it = service.runs().rbegin(); it != service.runs().rend(); ++it) {
    if (it->run() > 0) return &*it;
  }
  return nullptr;
}

JobRun* FindRun(Service& service, uint32_t run) {
  for (JobRun& each : *service.mutable_runs()) {
    if (each.run() == run) return &each;
  }
  return nullptr;
}

bool KeepsTasks(const Service& service, const JobRun& run) {
  if (run.run() == 0 || run.state() == JobRun::STATE_STOPPED) return false;
  return IsCron(service.spec()) || IsRunning(run) || run.run() == service.last_run();
}

bool BeginWantedRun(Service& service, absl::Time now) {
  const JobRun* newest = NewestRun(service);
  if (newest != nullptr && newest->revision_id() == service.revision_id()) return false;
  StopRunning(service, now);
  BeginRun(service, now);
  return true;
}

bool FollowSchedule(Service& service, const CronSchedule& schedule, absl::Time now) {
  const bool counts_anew = CountFromTheChange(service, now);
  const absl::Time until = FromProto(service.scheduled_until());
  const std::optional<absl::Time> latest = schedule.LastIn(until, now);
  if (!latest.has_value()) return counts_anew;
  const bool late = now - *latest > StartingDeadline(service.spec().schedule());
  AddMissed(service, schedule, until, late ? *latest : *latest - absl::Nanoseconds(1), now);
  if (!late) BeginDueRun(service, *latest, now);
  *service.mutable_scheduled_until() = swarm::ToProto(*latest);
  return true;
}

bool CutRuns(Service& service) {
  size_t limit = kKeptRuns;
  if (IsCron(service.spec())) {
    const v1::CronSchedule& schedule = service.spec().schedule();
    limit = schedule.has_history() ? std::max<size_t>(schedule.history(), 1) : kDefaultCronHistory;
  }
  size_t ended = 0;
  size_t unbegun = 0;
  std::vector<JobRun> kept;
  for (auto it = service.runs().rbegin(); it != service.runs().rend(); ++it) {
    if (!IsRunning(*it) && ++(it->run() > 0 ? ended : unbegun) > limit) continue;
    kept.push_back(*it);
  }
  if (kept.size() == static_cast<size_t>(service.runs_size())) return false;
  service.mutable_runs()->Assign(kept.rbegin(), kept.rend());
  return true;
}

}  // namespace swarm::manager
