#include "manager/service_rules.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/cron_schedule.h"
#include "common/proto_time.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kDefaultMonitor = absl::Seconds(5);
// As Nomad's and Kubernetes' progress deadlines.
constexpr absl::Duration kDefaultProgressDeadline = absl::Minutes(10);

}  // namespace

uint64_t WantedReplicas(const Service& service) {
  const v1::ServiceSpec& spec = service.spec();
  if (spec.has_autoscale()) {
    const v1::Autoscale& autoscale = spec.autoscale();
    // Until the autoscaler's first decision: what the spec says, within the bounds.
    const uint64_t wanted = service.autoscale().replicas() > 0 ? service.autoscale().replicas()
                                                               : spec.replicated().replicas();
    return std::clamp(wanted, autoscale.min(), std::max(autoscale.min(), autoscale.max()));
  }
  return spec.has_replicated() ? spec.replicated().replicas() : 1;
}

uint64_t MaxConcurrent(const v1::ReplicatedJob& job) {
  return std::max<uint64_t>(1, job.has_max_concurrent() ? job.max_concurrent() : 1);
}

uint64_t TotalCompletions(const v1::ReplicatedJob& job) {
  return std::max<uint64_t>(
      1, job.has_total_completions() ? job.total_completions() : MaxConcurrent(job));
}

std::string ScheduleKey(const v1::CronSchedule& schedule) {
  return StrCat(schedule.expression(), " in ", schedule.time_zone());
}

absl::Time ScheduledUntil(const Service& service) {
  const bool is_new = service.scheduled_for() != ScheduleKey(service.spec().schedule());
  return FromProto(is_new ? service.meta().updated_at() : service.scheduled_until());
}

std::optional<absl::Time> NextRun(const Service& service) {
  if (!IsJob(service.spec()) || !IsCron(service.spec()) || service.removing()) return std::nullopt;
  const v1::CronSchedule& spec = service.spec().schedule();
  const auto schedule = CronSchedule::Parse(spec.expression(), spec.time_zone());
  if (!schedule.ok()) return std::nullopt;
  const absl::Time next = schedule->NextAfter(ScheduledUntil(service));
  return next == absl::InfiniteFuture() ? std::nullopt : std::optional(next);
}

UpdateRules::UpdateRules(const v1::UpdateConfig& config)
    : parallelism(config.has_parallelism() ? config.parallelism() : 1),
      delay(FromProto(config.delay())),
      monitor(config.has_monitor() ? FromProto(config.monitor()) : kDefaultMonitor),
      progress_deadline(config.has_progress_deadline() ? FromProto(config.progress_deadline())
                                                       : kDefaultProgressDeadline),
      max_failure_ratio(config.max_failure_ratio()),
      start_first(config.order() == v1::UpdateConfig::ORDER_START_FIRST),
      on_failure(config.failure_action()) {
  if (parallelism == 0) parallelism = std::numeric_limits<uint64_t>::max();
  if (on_failure == v1::UpdateConfig::FAILURE_ACTION_UNSPECIFIED) {
    on_failure = v1::UpdateConfig::FAILURE_ACTION_PAUSE;
  }
}

const v1::JobRun* DecidingRun(const Service& service) {
  const v1::JobRun* newest = nullptr;
  for (const v1::JobRun& run : service.runs()) {  // oldest first
    if (run.run() == 0) continue;
    const bool goes_on = run.state() == v1::JobRun::STATE_RUNNING && IsCron(service.spec());
    if (newest == nullptr || !goes_on) newest = &run;
  }
  return newest;
}

bool IsRollback(const Service& service) { return service.rollout().is_rollback(); }

UpdateRules CurrentRules(const Service& service) {
  UpdateRules rules(IsRollback(service) ? service.spec().rollback() : service.spec().update());
  // A rollback that fails is never rolled back again.
  if (IsRollback(service) && rules.on_failure == v1::UpdateConfig::FAILURE_ACTION_ROLLBACK) {
    rules.on_failure = v1::UpdateConfig::FAILURE_ACTION_PAUSE;
  }
  return rules;
}

std::string QuarantineReason(const Service& service) {
  return StrCat("in quarantine: ", service.quarantine().reason(),
                service.removing() ? "; service rm tries again"
                                   : "; change its spec, or try again with service update --force");
}

Service Blamed(Service service, std::string_view room, absl::Time now, uint32_t crashes) {
  v1::Quarantine& quarantine = *service.mutable_quarantine();
  const bool forgotten = now - FromProto(quarantine.since()) > kCrashesForgottenAfter;
  if (forgotten && !IsQuarantined(service)) quarantine.clear_crashes();
  quarantine.set_crashes(quarantine.crashes() + crashes);
  *quarantine.mutable_since() = swarm::ToProto(now);
  quarantine.set_reason(StrCat("manager/", room, " crashed while it decided about this service, ",
                               quarantine.crashes(),
                               quarantine.crashes() == 1 ? " time" : " times"));
  return service;
}

absl::StatusOr<Service> RolledBack(const Service& service, std::string_view reason) {
  if (service.previous_revision_id().empty() || !service.has_previous_spec()) {
    return absl::FailedPreconditionError(StrCat("service \"", service.spec().name(),
                                                "\" was never updated: nothing to roll back to"));
  }
  Service back = service;
  back.mutable_spec()->Swap(back.mutable_previous_spec());
  back.set_revision_id(service.previous_revision_id());
  back.set_previous_revision_id(service.revision_id());
  back.clear_rollout();
  back.mutable_rollout()->set_is_rollback(true);
  back.mutable_rollout()->set_reason(std::string(reason));
  if (!back.spec().has_autoscale()) back.clear_autoscale();
  // Whatever its status says is about another update.
  back.clear_update_of_revision_id();
  return back;
}

}  // namespace swarm::manager
