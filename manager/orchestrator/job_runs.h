// The runs of a job as its ServiceRecord keeps them: beginning, stopping, skipping, missing and
// forgetting them. Pure: each function changes a Service that the caller writes.
//
// A job without a schedule begins a run when its newest one is of another revision (or there is
// none); what went before is STOPPED unless it had ended. One with a schedule begins a run at each
// due time:
//
//   forbid    SKIPPED while a run is RUNNING
//   replace   what is RUNNING is STOPPED
//   allow     beside what is RUNNING, up to kMostAlive runs; then SKIPPED
//
// Times that nobody looked at in time (the manager was down, the clock jumped): the latest one
// begins a run if it is not older than the starting deadline; the others are one record, MISSED.
// `scheduled_until` is the last time that was dealt with, written with the run that it is about, so
// that a crash neither doubles nor loses one. A changed schedule counts from its change.
//
// The wall clock says when a run is due and nothing else: runs are ordered by their numbers. When
// it is set back, times that were dealt with do not come again, unless it goes back by more than
// kClockWasWrong: then it had been wrong, and the schedule counts anew.
#ifndef SWARM_MANAGER_ORCHESTRATOR_JOB_RUNS_H_
#define SWARM_MANAGER_ORCHESTRATOR_JOB_RUNS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "common/cron_schedule.h"
#include "manager/store/objects.h"

namespace swarm::manager {

inline constexpr absl::Duration kDefaultStartingDeadline = absl::Seconds(100);
// A shorter one would miss runs because the loop was busy.
inline constexpr absl::Duration kShortestStartingDeadline = absl::Seconds(1);
// As Vixie cron.
inline constexpr absl::Duration kClockWasWrong = absl::Hours(3);
inline constexpr size_t kMostAlive = 100;
inline constexpr uint64_t kMostCounted = 10'000;  // missed times, in words
inline constexpr size_t kDefaultCronHistory = 5;
inline constexpr size_t kKeptRuns = 10;  // of jobs without a schedule
// More completions than this are cut to it: slots are numbered, and a manager holds a million
// tasks.
inline constexpr uint64_t kMostCompletions = 1'000'000;

// Null when no run ever began.
const v1::JobRun* NewestRun(const Service& service);
// Null when it is not kept.
v1::JobRun* FindRun(Service& service, uint32_t run);
// Its tasks stay in the store; those of other runs are removed.
bool KeepsTasks(const Service& service, const v1::JobRun& run);

// Of a job without a schedule, when its revision asks for one. False: nothing to do.
bool BeginWantedRun(Service& service, absl::Time now);
// Deals with every time of the schedule up to `now`. False: there was none.
bool FollowSchedule(Service& service, const CronSchedule& schedule, absl::Time now);
// Forgets old runs: of a schedule its `history` (at least the last one), else kKeptRuns. So many of
// those that ended, and so many of those that never began; RUNNING ones stay.
bool CutRuns(Service& service);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_JOB_RUNS_H_
