// What a service's spec means, as values: its mode, its defaults, its way back. Shared by the rooms
// that decide by it (orchestrator, scheduler, api, dispatcher), which never call each other. Pure;
// any thread.
#ifndef SWARM_MANAGER_SERVICE_RULES_H_
#define SWARM_MANAGER_SERVICE_RULES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "manager/store/objects.h"

namespace swarm::manager {

inline bool IsGlobal(const v1::ServiceSpec& spec) {
  return spec.has_global() || spec.has_global_job();
}
inline bool IsJob(const v1::ServiceSpec& spec) {
  return spec.has_replicated_job() || spec.has_global_job();
}
inline bool IsCron(const v1::ServiceSpec& spec) { return !spec.schedule().expression().empty(); }

// How many slots a replicated service should have: what the autoscaler wants while it is on, else
// what the spec says. 1 without a mode, as in docker. Of other modes it means nothing.
uint64_t WantedReplicas(const Service& service);

// Of a replicated job.
uint64_t MaxConcurrent(const v1::ReplicatedJob& job);     // >= 1
uint64_t TotalCompletions(const v1::ReplicatedJob& job);  // >= 1

// Cron jobs. A schedule counts by its expression and its time zone; with others it is a new one.
std::string ScheduleKey(const v1::CronSchedule& schedule);
// Every time of the schedule up to this one is dealt with: run, skipped, said to be missed, or
// before the schedule was made.
absl::Time ScheduledUntil(const Service& service);
// When the next run is due, as the record has it; a time in the past is about to be looked at.
// Nothing for what is no cron job or is being removed.
std::optional<absl::Time> NextRun(const Service& service);

// An UpdateConfig with its defaults (SEMANTICS.md) filled in.
struct UpdateRules {
  explicit UpdateRules(const v1::UpdateConfig& config);

  uint64_t parallelism;  // UINT64_MAX: all at once
  absl::Duration delay;
  absl::Duration monitor;
  absl::Duration progress_deadline;
  double max_failure_ratio;
  bool start_first;
  v1::UpdateConfig::FailureAction on_failure;  // never UNSPECIFIED
};

// The run by which a job is judged: the last that ended, or of a job without a schedule the newest
// that began. Null: none. What was skipped or missed never began.
const v1::JobRun* DecidingRun(const Service& service);

// The update that is under way is a rollback, by hand or by itself.
bool IsRollback(const Service& service);
// The rules of the update to the revision that the service has now.
UpdateRules CurrentRules(const Service& service);

// A service that crashed the manager this often is in quarantine (F20): no room decides about it
// any more, what runs goes on. Crashes further apart than kCrashesForgottenAfter do not add up.
constexpr uint32_t kCrashesToQuarantine = 2;
constexpr absl::Duration kCrashesForgottenAfter = absl::Hours(1);
inline bool IsQuarantined(const Service& service) {
  return service.quarantine().crashes() >= kCrashesToQuarantine;
}
// For people: what happened and what would help.
std::string QuarantineReason(const Service& service);
// `service` after `room` crashed over it, `crashes` times, the last of them at `now`.
Service Blamed(Service service, std::string_view room, absl::Time now, uint32_t crashes = 1);

// `service` put back to the spec and revision before its last update; the other way round when it
// is done twice. `reason` is shown until it is completed. FailedPrecondition when there is nothing
// to go back to.
absl::StatusOr<Service> RolledBack(const Service& service, std::string_view reason);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SERVICE_RULES_H_
