#include "cli/compose/deploy_reader.h"

#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "cli/compose/spec_words.h"
#include "common/constraint.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr int64_t kMostTasks = 1'000'000'000;
constexpr int64_t kMostInt = std::numeric_limits<int32_t>::max();

bool IsJob(const v1::ServiceSpec& spec) {
  return spec.has_replicated_job() || spec.has_global_job();
}
bool IsGlobal(const v1::ServiceSpec& spec) { return spec.has_global() || spec.has_global_job(); }

void ReadJobCounts(const Fields& deploy, v1::ReplicatedJob& job) {
  const auto replicas = deploy.Number("replicas", 1, kMostTasks);
  const auto concurrent = deploy.Number("max_concurrent", 1, kMostTasks);
  if (replicas) job.set_total_completions(static_cast<uint64_t>(*replicas));
  // As docker: all at once unless told otherwise.
  if (concurrent || replicas) {
    job.set_max_concurrent(static_cast<uint64_t>(concurrent ? *concurrent : *replicas));
  }
}

void ReadMode(const Fields& deploy, v1::ServiceSpec& spec) {
  const std::string mode = deploy.Text("mode").value_or("replicated");
  if (mode == "global") {
    spec.mutable_global();
  } else if (mode == "global-job") {
    spec.mutable_global_job();
  } else if (mode == "replicated-job") {
    ReadJobCounts(deploy, *spec.mutable_replicated_job());
    return;
  } else {
    if (mode != "replicated") {
      deploy.Refuse("mode",
                    StrCat("must be replicated, global, replicated-job or global-job, not ", mode));
    }
    const auto replicas = deploy.Number("replicas", 0, kMostTasks);
    spec.mutable_replicated()->set_replicas(static_cast<uint64_t>(replicas.value_or(1)));
  }
  if (IsGlobal(spec) && deploy.Get("replicas") != nullptr) {
    deploy.Refuse("replicas",
                  "a global service has one task on each node; leave it out, or use mode: "
                  "replicated");
  }
  if (deploy.Get("max_concurrent") != nullptr) {
    deploy.Refuse("max_concurrent", "only a job has it; leave it out, or use mode: replicated-job");
  }
}

void ReadGenericResources(const Fields& from, v1::Resources& to) {
  for (const Fields& item : from.Items("generic_resources")) {
    const Fields discrete = item.Section("discrete_resource_spec");
    v1::GenericResource resource;
    resource.set_kind(discrete.Text("kind").value_or(""));
    resource.set_count(discrete.Number("value", 1, kMostInt).value_or(1));
    if (resource.kind().empty()) {
      item.Refuse("discrete_resource_spec", "needs kind and value, such as kind: gpu, value: 2");
      continue;
    }
    *to.add_generic() = std::move(resource);
  }
}

void ReadResources(const Fields& from, v1::Resources& to) {
  to.set_nano_cpus(from.NanoCpus("cpus").value_or(0));
  to.set_memory_bytes(from.Bytes("memory").value_or(0));
  to.set_pids(from.Number("pids", 0, kMostInt).value_or(0));
  ReadGenericResources(from, to);
}

void ReadRestart(const Fields& from, v1::RestartPolicy& to) {
  const std::string condition = from.Text("condition").value_or("any");
  if (condition == "any" || condition.empty()) {
    to.set_condition(v1::RestartPolicy::CONDITION_ANY);
  } else if (condition == "on-failure") {
    to.set_condition(v1::RestartPolicy::CONDITION_ON_FAILURE);
  } else if (condition == "none") {
    to.set_condition(v1::RestartPolicy::CONDITION_NONE);
  } else {
    from.Refuse("condition", StrCat("must be any, on-failure or none, not ", condition));
  }
  from.SetDuration("delay", [&] { return to.mutable_delay(); });
  from.SetDuration("window", [&] { return to.mutable_window(); });
  to.set_max_attempts(static_cast<uint64_t>(from.Number("max_attempts", 0, kMostInt).value_or(0)));
}

void ReadPlacement(const Fields& from, v1::ServiceSpec& spec) {
  v1::Placement& to = *spec.mutable_task()->mutable_placement();
  for (const Value* item : from.Texts("constraints")) {
    const absl::Status status = Constraint::Parse(item->text).status();
    if (!status.ok()) from.RefuseAt("constraints", *item, ToStd(status.message()));
    to.add_constraints(item->text);
  }
  for (const Fields& item : from.Items("preferences")) {
    const std::string spread = item.Text("spread").value_or("");
    if (const absl::Status status = CheckSpread(spread); !status.ok()) {
      item.Refuse("spread", ToStd(status.message()));
    }
    to.add_preferences()->set_spread(spread);
  }
  if (const auto strategy = from.With("strategy", ParseStrategy)) to.set_strategy(*strategy);
  to.set_max_replicas_per_node(
      static_cast<uint64_t>(from.Number("max_replicas_per_node", 0, kMostInt).value_or(0)));
  if (IsGlobal(spec) && to.max_replicas_per_node() > 0) {
    from.Refuse("max_replicas_per_node",
                "a global service has one task on each node; leave it out");
  }
}

void ReadUpdateConfig(const Fields& from, bool of_rollback, v1::UpdateConfig& to) {
  if (const auto number = from.Number("parallelism", 0, kMostInt)) {
    to.set_parallelism(static_cast<uint64_t>(*number));
  }
  from.SetDuration("delay", [&] { return to.mutable_delay(); });
  from.SetDuration("monitor", [&] { return to.mutable_monitor(); });
  from.SetDuration("deadline", [&] { return to.mutable_progress_deadline(); });
  const auto action = [&](const std::string& word) {
    return ParseFailureAction(word, of_rollback);
  };
  if (const auto failure = from.With("failure_action", action)) to.set_failure_action(*failure);
  if (const auto order = from.With("order", ParseOrder)) to.set_order(*order);
  to.set_max_failure_ratio(from.With("max_failure_ratio", ParseRatio).value_or(0));
}

void ReadUpdates(const Fields& deploy, v1::ServiceSpec& spec) {
  for (const std::string_view key : {"update_config", "rollback_config"}) {
    if (deploy.Get(key) == nullptr) continue;
    if (IsJob(spec)) {
      deploy.Refuse(key, "a job is not changed in place, an update begins a new run; leave it out");
      continue;
    }
    const bool of_rollback = key == "rollback_config";
    ReadUpdateConfig(deploy.Section(key), of_rollback,
                     of_rollback ? *spec.mutable_rollback() : *spec.mutable_update());
  }
}

// A text is the cron expression; a map has more.
void ReadSchedule(const Fields& deploy, v1::ServiceSpec& spec) {
  const Value* value = deploy.Get("schedule");
  if (value == nullptr) return;
  if (!spec.has_replicated_job()) {
    deploy.Refuse("schedule", "only jobs run by a schedule; use mode: replicated-job");
    return;
  }
  v1::CronSchedule& to = *spec.mutable_schedule();
  if (value->IsScalar()) {
    to.set_expression(value->text);
    return;
  }
  const Fields from = deploy.Section("schedule");
  to.set_expression(from.Text("cron").value_or(""));
  if (to.expression().empty()) from.Refuse("cron", "is missing, such as cron: \"*/5 * * * *\"");
  to.set_time_zone(from.Text("time_zone").value_or(""));
  if (const auto policy = from.With("concurrency", ParseConcurrency)) to.set_concurrency(*policy);
  if (const auto history = from.Number("history", 0, 100)) {
    to.set_history(static_cast<uint32_t>(*history));
  }
  from.SetDuration("starting_deadline", [&] { return to.mutable_starting_deadline(); });
}

v1::MetricTarget ReadMetric(const Fields& item) {
  v1::MetricTarget metric;
  metric.set_name(item.Text("name").value_or(""));
  metric.set_port(static_cast<uint32_t>(item.Number("port", 1, 65535).value_or(0)));
  metric.set_path(item.Text("path").value_or(""));
  const auto number = [](const std::string& text) -> absl::StatusOr<double> {
    double value = 0;
    if (absl::SimpleAtod(text, &value)) return value;
    return absl::InvalidArgumentError(StrCat("must be a number, not ", text));
  };
  metric.set_value(item.With("value", number).value_or(0));
  return metric;
}

void ReadMetrics(const Fields& from, v1::Autoscale& to) {
  for (const Fields& item : from.Items("metrics")) {
    const bool is_text = item.value() != nullptr && item.value()->IsScalar();
    const absl::StatusOr<v1::MetricTarget> metric =
        is_text ? ParseMetric(item.value()->text) : ReadMetric(item);
    const absl::Status status = metric.ok() ? CheckMetric(*metric) : metric.status();
    if (!status.ok()) {
      from.Refuse("metrics", ToStd(status.message()));
    } else {
      *to.add_metrics() = *metric;
    }
  }
}

// A text is that of --autoscale; a map has its keys.
void ReadAutoscale(const Fields& deploy, v1::ServiceSpec& spec) {
  const Value* value = deploy.Get("autoscale");
  if (value == nullptr) return;
  if (!spec.has_replicated()) {
    deploy.Refuse("autoscale", "only replicated services are scaled; use mode: replicated");
    return;
  }
  v1::Autoscale& to = *spec.mutable_autoscale();
  if (value->IsScalar()) {
    if (const auto parsed = deploy.With("autoscale", ParseAutoscale)) to = *parsed;
    return;
  }
  const Fields from = deploy.Section("autoscale");
  to.set_min(static_cast<uint64_t>(from.Number("min", 1, kMostTasks).value_or(0)));
  to.set_max(static_cast<uint64_t>(from.Number("max", 1, kMostTasks).value_or(0)));
  to.set_cpu_percent(from.With("cpu", ParsePercent).value_or(0));
  to.set_memory_percent(from.With("memory", ParsePercent).value_or(0));
  ReadMetrics(from, to);
  from.SetDuration("window", [&] { return to.mutable_window(); });
  from.SetDuration("cooldown", [&] { return to.mutable_cooldown(); });
  if (const absl::Status status = CheckAutoscale(to); !status.ok()) {
    deploy.Refuse("autoscale", ToStd(status.message()));
  }
}

// What a percentage would be of.
void CheckShares(const Fields& deploy, const v1::ServiceSpec& spec) {
  const auto check = [&](std::string_view key, double percent, int64_t limit, int64_t reserved) {
    if (percent == 0 || limit > 0 || reserved > 0) return;
    deploy.Refuse("autoscale", StrCat(key, " is a share of a limit or reservation, and there is ",
                                      "neither; add resources.limits.", key));
  };
  const v1::Resources& limits = spec.task().resources().limits();
  const v1::Resources& reserved = spec.task().resources().reservations();
  check("cpus", spec.autoscale().cpu_percent(), limits.nano_cpus(), reserved.nano_cpus());
  check("memory", spec.autoscale().memory_percent(), limits.memory_bytes(),
        reserved.memory_bytes());
}

}  // namespace

void ReadDeploy(const Fields& deploy, v1::ServiceSpec& spec) {
  ReadMode(deploy, spec);
  v1::TaskSpec& task = *spec.mutable_task();
  const Fields resources = deploy.Section("resources");
  if (resources.Get("limits") != nullptr) {
    ReadResources(resources.Section("limits"), *task.mutable_resources()->mutable_limits());
  }
  if (resources.Get("reservations") != nullptr) {
    ReadResources(resources.Section("reservations"),
                  *task.mutable_resources()->mutable_reservations());
  }
  if (deploy.Get("restart_policy") != nullptr) {
    ReadRestart(deploy.Section("restart_policy"), *task.mutable_restart());
  }
  if (deploy.Get("placement") != nullptr) ReadPlacement(deploy.Section("placement"), spec);
  ReadUpdates(deploy, spec);
  ReadSchedule(deploy, spec);
  ReadAutoscale(deploy, spec);
  CheckShares(deploy, spec);
}

}  // namespace swarm::cli::compose
