#include "manager/api/mode_validation.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/cron_schedule.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"
#include "manager/api/validation.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

constexpr int kMaxTestWords = 1'000;
constexpr size_t kMaxTestBytes = 64 << 10;
constexpr int kMaxMetrics = 10;
constexpr size_t kMaxMetricText = 256;
constexpr int kMaxDependencies = 100;
constexpr int kMaxPreferences = 10;
constexpr int kMaxKinds = 100;
constexpr uint32_t kMaxCronHistory = 100;
constexpr double kMaxPercent = 1'000;
// As docker: shorter is a mistake in the unit.
constexpr absl::Duration kShortestProbe = absl::Milliseconds(1);
constexpr absl::Duration kDefaultInterval = absl::Seconds(30);
constexpr uint32_t kDefaultRetries = 3;

std::string Show(absl::Duration duration) { return absl::FormatDuration(duration); }

absl::Status ValidateUpdateConfig(const std::string& path, const v1::UpdateConfig& config) {
  RETURN_IF_ERROR(ValidateDuration(path + ".delay", config.delay()));
  RETURN_IF_ERROR(ValidateDuration(path + ".monitor", config.monitor()));
  RETURN_IF_ERROR(ValidateDuration(path + ".progress_deadline", config.progress_deadline()));
  if (config.has_progress_deadline() &&
      FromProto(config.progress_deadline()) <= absl::ZeroDuration()) {
    return FieldError(path + ".progress_deadline", "is not above 0; leave it out for 10 minutes");
  }
  const double ratio = config.max_failure_ratio();
  if (!(ratio >= 0 && ratio <= 1)) {
    return FieldError(path + ".max_failure_ratio",
                      absl::StrFormat("%g is not between 0 and 1; 0.1 is one in ten", ratio));
  }
  if (!v1::UpdateConfig::FailureAction_IsValid(config.failure_action())) {
    return FieldError(path + ".failure_action",
                      StrCat(config.failure_action(), " is unknown; pause, continue or rollback"));
  }
  if (!v1::UpdateConfig::Order_IsValid(config.order())) {
    return FieldError(path + ".order",
                      StrCat(config.order(), " is unknown; stop-first or start-first"));
  }
  return absl::OkStatus();
}

absl::Status ValidateUpdates(const v1::ServiceSpec& spec) {
  for (const bool rollback : {false, true}) {
    if (rollback ? !spec.has_rollback() : !spec.has_update()) continue;
    const std::string path = rollback ? "rollback" : "update";
    if (IsJob(spec)) {
      return FieldError(path,
                        "a job is not changed in place: an update of it begins a new run; "
                        "leave this out");
    }
    RETURN_IF_ERROR(ValidateUpdateConfig(path, rollback ? spec.rollback() : spec.update()));
  }
  if (spec.rollback().failure_action() == v1::UpdateConfig::FAILURE_ACTION_ROLLBACK) {
    return FieldError("rollback.failure_action",
                      "a rollback is never rolled back; pause or continue");
  }
  return absl::OkStatus();
}

absl::Status ValidateJob(const v1::ReplicatedJob& job) {
  if (job.has_max_concurrent() && job.max_concurrent() == 0) {
    return FieldError("replicated_job.max_concurrent", "is 0: nothing would ever run; 1 or more");
  }
  if (job.has_total_completions() && job.total_completions() == 0) {
    return FieldError("replicated_job.total_completions",
                      "is 0: nothing would ever run; 1 or more");
  }
  if (TotalCompletions(job) > kMaxReplicas || MaxConcurrent(job) > kMaxReplicas) {
    return FieldError("replicated_job", StrCat("more than ", kMaxReplicas, " tasks"));
  }
  return absl::OkStatus();
}

absl::Status ValidateSchedule(const v1::ServiceSpec& spec) {
  if (!spec.has_schedule()) return absl::OkStatus();
  const v1::CronSchedule& schedule = spec.schedule();
  if (!spec.has_replicated_job()) {
    return FieldError("schedule", "only jobs run by a schedule; use --mode replicated-job");
  }
  auto parsed = CronSchedule::Parse(schedule.expression(), schedule.time_zone());
  if (!parsed.ok()) return FieldError("schedule", ToStd(parsed.status().message()));
  if (!v1::CronSchedule::Concurrency_IsValid(schedule.concurrency())) {
    return FieldError("schedule.concurrency", "is unknown; allow, forbid or replace");
  }
  if (schedule.has_history() && schedule.history() > kMaxCronHistory) {
    return FieldError("schedule.history",
                      StrCat(schedule.history(), " is above the most of ", kMaxCronHistory));
  }
  return ValidateDuration("schedule.starting_deadline", schedule.starting_deadline());
}

bool IsMetricName(std::string_view name) {
  const auto letter = [](unsigned char c) {
    return absl::ascii_isalpha(c) || c == '_' || c == ':';
  };
  return !name.empty() && letter(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(),
                     [&](unsigned char c) { return letter(c) || absl::ascii_isdigit(c); });
}

absl::Status ValidateMetric(const std::string& path, const v1::MetricTarget& metric) {
  if (metric.name().size() > kMaxMetricText || metric.path().size() > kMaxMetricText) {
    return FieldError(path, StrCat("a name or path of more than ", kMaxMetricText, " bytes"));
  }
  if (!IsMetricName(metric.name())) {
    return FieldError(path + ".name",
                      StrCat("\"", metric.name(), "\" is not the name of a Prometheus metric"));
  }
  if (metric.port() == 0 || metric.port() > 65535) {
    return FieldError(path + ".port", StrCat(metric.port(), " is not a port; 1 to 65535"));
  }
  if (!metric.path().empty() && metric.path().front() != '/') {
    return FieldError(path + ".path", "does not begin with '/'");
  }
  if (!(metric.value() > 0) || !std::isfinite(metric.value())) {
    return FieldError(path + ".value", "is not above 0: what one task should have of it");
  }
  return absl::OkStatus();
}

// `have`: what the percentage would be of.
absl::Status ValidatePercent(const std::string& path, double percent, bool have,
                             std::string_view what) {
  if (percent == 0) return absl::OkStatus();
  if (!(percent > 0 && percent <= kMaxPercent)) {
    return FieldError(
        path, absl::StrFormat("%g is not a percentage between 0 and %g", percent, kMaxPercent));
  }
  if (have) return absl::OkStatus();
  return FieldError(path, StrCat("is a share of the ", what,
                                 " limit or reservation, and there is "
                                 "neither; add --limit-",
                                 what, " or --reserve-", what));
}

absl::Status ValidateAutoscale(const v1::ServiceSpec& spec) {
  if (!spec.has_autoscale()) return absl::OkStatus();
  const v1::Autoscale& autoscale = spec.autoscale();
  if (!spec.has_replicated()) {
    return FieldError("autoscale", "only replicated services can be scaled; use --mode replicated");
  }
  if (autoscale.min() < 1) return FieldError("autoscale.min", "is not at least 1");
  if (autoscale.max() < autoscale.min()) {
    return FieldError("autoscale.max", StrCat(autoscale.max(), " is below min, ", autoscale.min()));
  }
  if (autoscale.max() > kMaxReplicas) {
    return FieldError("autoscale.max",
                      StrCat(autoscale.max(), " is above the most of ", kMaxReplicas));
  }
  const v1::Resources& limits = spec.task().resources().limits();
  const v1::Resources& reserved = spec.task().resources().reservations();
  RETURN_IF_ERROR(ValidatePercent("autoscale.cpu_percent", autoscale.cpu_percent(),
                                  limits.nano_cpus() > 0 || reserved.nano_cpus() > 0, "cpu"));
  RETURN_IF_ERROR(ValidatePercent("autoscale.memory_percent", autoscale.memory_percent(),
                                  limits.memory_bytes() > 0 || reserved.memory_bytes() > 0,
                                  "memory"));
  if (autoscale.metrics_size() > kMaxMetrics) {
    return FieldError("autoscale.metrics", StrCat("more than ", kMaxMetrics, " metrics"));
  }
  for (int i = 0; i < autoscale.metrics_size(); ++i) {
    RETURN_IF_ERROR(ValidateMetric(StrCat("autoscale.metrics[", i, "]"), autoscale.metrics(i)));
  }
  if (autoscale.cpu_percent() == 0 && autoscale.memory_percent() == 0 &&
      autoscale.metrics_size() == 0) {
    return FieldError("autoscale", "has nothing to go by; give cpu=70%, memory=80% or a metric");
  }
  RETURN_IF_ERROR(ValidateDuration("autoscale.cooldown", autoscale.cooldown()));
  RETURN_IF_ERROR(ValidateDuration("autoscale.window", autoscale.window()));
  const absl::Duration window = FromProto(autoscale.window());
  if (autoscale.has_window() && (window < absl::Seconds(10) || window > absl::Hours(1))) {
    return FieldError("autoscale.window", StrCat(Show(window), " is not between 10s and 1h"));
  }
  return absl::OkStatus();
}

absl::Status ValidateDependencies(const v1::ServiceSpec& spec) {
  if (spec.depends_on_size() > kMaxDependencies) {
    return FieldError("depends_on", StrCat("more than ", kMaxDependencies, " services"));
  }
  std::set<std::string> seen;
  for (int i = 0; i < spec.depends_on_size(); ++i) {
    const std::string path = StrCat("depends_on[", i, "]");
    const v1::Dependency& dependency = spec.depends_on(i);
    RETURN_IF_ERROR(ValidateName(path + ".service", dependency.service()));
    if (dependency.service() == spec.name()) {
      return FieldError(path + ".service", "is the service itself: it would never start");
    }
    if (!seen.insert(dependency.service()).second) {
      return FieldError(path + ".service", StrCat("\"", dependency.service(), "\" is given twice"));
    }
    if (!v1::Dependency::Condition_IsValid(dependency.condition())) {
      return FieldError(path + ".condition", "is unknown; started, healthy or completed");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateProbeDuration(const std::string& path,
                                   const google::protobuf::Duration& duration) {
  RETURN_IF_ERROR(ValidateDuration(path, duration));
  const absl::Duration value = FromProto(duration);
  if (value == absl::ZeroDuration() || value >= kShortestProbe) return absl::OkStatus();
  return FieldError(path, StrCat(Show(value), " is below 1ms; 0 is the default"));
}

// ":8080", "localhost:8080", "127.0.0.1:8080": the probe is made inside the container.
absl::Status ValidateProbeAddress(std::string_view address, std::string_view example) {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon == address.npos || !absl::SimpleAtoi(ToAbsl(address.substr(colon + 1)), &port) ||
      port == 0 || port > 65535) {
    return FieldError("task.container.health_check.test[1]",
                      StrCat("\"", address, "\" has no port; write ", example));
  }
  const std::string_view host = address.substr(0, colon);
  if (host.empty() || host == "localhost" || host == "127.0.0.1" || host == "[::1]") {
    return absl::OkStatus();
  }
  return FieldError(
      "task.container.health_check.test[1]",
      StrCat("probes reach the container alone, not \"", host, "\"; write ", example));
}

absl::Status ValidateProbe(std::string_view kind, std::string_view target) {
  if (kind == "TCP") return ValidateProbeAddress(target, ":6379");
  if (kind == "GRPC") {
    return ValidateProbeAddress(target.substr(0, target.find('/')), ":50051 or :50051/service");
  }
  constexpr std::string_view kScheme = "http://";
  if (target.substr(0, kScheme.size()) != kScheme) {
    return FieldError("task.container.health_check.test[1]",
                      StrCat("\"", target, "\" is not http://:PORT/path"));
  }
  target.remove_prefix(kScheme.size());
  return ValidateProbeAddress(target.substr(0, target.find('/')), "http://:8080/health");
}

absl::Status ValidateTest(const v1::HealthCheck& check) {
  constexpr std::string_view kPath = "task.container.health_check.test";
  if (check.test_size() == 0) return absl::OkStatus();
  size_t bytes = 0;
  for (const std::string& word : check.test()) {
    bytes += word.size();
    RETURN_IF_ERROR(CheckNoNul(kPath, word));
  }
  if (check.test_size() > kMaxTestWords || bytes > kMaxTestBytes) {
    return FieldError(kPath, "is longer than 64 KiB or 1000 words");
  }
  const std::string& kind = check.test(0);
  const int words = check.test_size();
  if (kind == "NONE") {
    return words == 1 ? absl::OkStatus() : FieldError(kPath, "NONE takes nothing after it");
  }
  if (kind == "CMD") {
    return words > 1 && !check.test(1).empty()
               ? absl::OkStatus()
               : FieldError(kPath, "CMD needs a program after it; [\"CMD\", \"/check\"]");
  }
  if (kind == "CMD-SHELL") {
    return words == 2 ? absl::OkStatus() : FieldError(kPath, "CMD-SHELL takes one line after it");
  }
  if (kind == "HTTP" || kind == "TCP" || kind == "GRPC") {
    if (words != 2) return FieldError(kPath, StrCat(kind, " takes one address after it"));
    return ValidateProbe(kind, check.test(1));
  }
  return FieldError(kPath,
                    StrCat("\"", kind.substr(0, 64),
                           "\" is no kind of probe; NONE, CMD, CMD-SHELL, HTTP, TCP or GRPC"));
}

// How long a check that never succeeds takes to say so.
absl::Duration TimeToFail(const v1::HealthCheck& check) {
  const absl::Duration interval = FromProto(check.interval()) > absl::ZeroDuration()
                                      ? FromProto(check.interval())
                                      : kDefaultInterval;
  const uint32_t retries = check.retries() == 0 ? kDefaultRetries : check.retries();
  return FromProto(check.start_period()) + interval * retries;
}

void WarnAboutMonitor(const v1::ServiceSpec& spec, std::vector<std::string>& warnings) {
  const v1::HealthCheck& check = spec.task().container().health_check();
  if (IsJob(spec) || check.test_size() == 0 || check.test(0) == "NONE") return;
  const absl::Duration needed = TimeToFail(check);
  for (const bool rollback : {false, true}) {
    const absl::Duration monitor = UpdateRules(rollback ? spec.rollback() : spec.update()).monitor;
    // Nobody asked for the default.
    if (monitor >= needed || !(rollback ? spec.has_rollback() : spec.has_update())) continue;
    const std::string name = rollback ? "rollback" : "update";
    warnings.push_back(
        StrCat(name, ".monitor: ", Show(monitor), " is shorter than a failing health check needs (",
               Show(needed), " = start period + interval x retries): its failures will not be the ",
               name, "'s; write --", name, "-monitor ", Show(needed)));
  }
}

}  // namespace

absl::Status ValidateMode(const v1::ServiceSpec& spec) {
  switch (spec.mode_case()) {
    case v1::ServiceSpec::MODE_NOT_SET:
      return FieldError("mode", "is not set; replicated, global, replicated_job or global_job");
    case v1::ServiceSpec::kReplicated:
      if (spec.replicated().replicas() > kMaxReplicas) {
        return FieldError("replicated.replicas", StrCat(spec.replicated().replicas(),
                                                        " is above the most of ", kMaxReplicas));
      }
      break;
    case v1::ServiceSpec::kReplicatedJob:
      RETURN_IF_ERROR(ValidateJob(spec.replicated_job()));
      break;
    default:
      break;
  }
  if (IsGlobal(spec) && spec.task().placement().max_replicas_per_node() > 0) {
    return FieldError("task.placement.max_replicas_per_node",
                      "a global service has one task on each node; leave this out");
  }
  RETURN_IF_ERROR(ValidateUpdates(spec));
  RETURN_IF_ERROR(ValidateSchedule(spec));
  RETURN_IF_ERROR(ValidateAutoscale(spec));
  return ValidateDependencies(spec);
}

absl::Status ValidateHealthCheck(const v1::HealthCheck& check) {
  const std::string path = "task.container.health_check";
  RETURN_IF_ERROR(ValidateTest(check));
  RETURN_IF_ERROR(ValidateProbeDuration(path + ".interval", check.interval()));
  RETURN_IF_ERROR(ValidateProbeDuration(path + ".timeout", check.timeout()));
  RETURN_IF_ERROR(ValidateProbeDuration(path + ".start_period", check.start_period()));
  return ValidateProbeDuration(path + ".start_interval", check.start_interval());
}

absl::Status ValidatePreferences(const v1::Placement& placement) {
  if (!v1::Placement::Strategy_IsValid(placement.strategy())) {
    return FieldError("task.placement.strategy", "is unknown; spread or binpack");
  }
  if (placement.preferences_size() > kMaxPreferences) {
    return FieldError("task.placement.preferences",
                      StrCat("more than ", kMaxPreferences, " preferences"));
  }
  for (int i = 0; i < placement.preferences_size(); ++i) {
    const std::string& spread = placement.preferences(i).spread();
    bool known = false;
    for (const std::string_view prefix : {"node.labels.", "engine.labels."}) {
      known |= spread.size() > prefix.size() && absl::StartsWith(spread, ToAbsl(prefix));
    }
    if (!known) {
      return FieldError(StrCat("task.placement.preferences[", i, "].spread"),
                        StrCat("\"", spread.substr(0, 64),
                               "\" is not a label; write node.labels.NAME or engine.labels.NAME"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateGenericResources(
    const std::string& path, const google::protobuf::RepeatedPtrField<v1::GenericResource>& generic,
    bool reserved) {
  if (!reserved && !generic.empty()) {
    return FieldError(path, "generic resources can be reserved, not limited");
  }
  if (generic.size() > kMaxKinds)
    return FieldError(path, StrCat("more than ", kMaxKinds, " kinds"));
  std::set<std::string> kinds;
  for (int i = 0; i < generic.size(); ++i) {
    const std::string at = StrCat(path, "[", i, "]");
    RETURN_IF_ERROR(ValidateName(at + ".kind", generic[i].kind()));
    if (generic[i].ids_size() > 0) {
      return FieldError(at + ".ids", "a service asks for a number; the node gives the ids");
    }
    if (generic[i].count() < 1) {
      return FieldError(at + ".count", StrCat(generic[i].count(), " is not at least 1"));
    }
    if (!kinds.insert(generic[i].kind()).second) {
      return FieldError(at + ".kind", StrCat("\"", generic[i].kind(), "\" is given twice"));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> WarningsAbout(const v1::ServiceSpec& spec, size_t nodes) {
  std::vector<std::string> warnings;
  WarnAboutMonitor(spec, warnings);
  const uint64_t per_node = spec.task().placement().max_replicas_per_node();
  const uint64_t replicas =
      spec.has_autoscale() ? spec.autoscale().max() : spec.replicated().replicas();
  if (spec.has_replicated() && per_node > 0 && nodes > 0 && replicas > per_node * nodes) {
    warnings.push_back(StrCat("task.placement.max_replicas_per_node: ", per_node, " on ", nodes,
                              " nodes is room for ", per_node * nodes, " of ", replicas,
                              " replicas; the others stay PENDING"));
  }
  if (spec.has_replicated_job() &&
      MaxConcurrent(spec.replicated_job()) > TotalCompletions(spec.replicated_job())) {
    warnings.push_back(
        "replicated_job.max_concurrent: is above total_completions: no more than "
        "those ever run");
  }
  return warnings;
}

}  // namespace swarm::manager
