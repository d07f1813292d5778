// How many tasks there are, when they begin and what for.
#include <algorithm>
#include <iterator>

#include "cli/compose/spec_words.h"
#include "cli/output/words.h"
#include "cli/service_flag_themes.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;
constexpr FlagState kNo = FlagState::kNotBuilt;

constexpr FlagRule kCounts[] = {
    {"replicas", 0, kText, "NUMBER", "how many tasks; of a replicated-job: completions"},
    {"max-concurrent", 0, kText, "NUMBER",
     "of a replicated-job: tasks at the same time (default: as --replicas)"},
};
constexpr FlagRule kDetails[] = {
    {"schedule-time-zone", 0, kText, "ZONE", "such as Europe/Berlin (UTC)"},
    {"schedule-concurrency", 0, kText, "POLICY",
     "when the run before is not over: allow, forbid (default) or replace"},
    {"schedule-history", 0, kText, "NUMBER", "finished runs kept (5)"},
    {"schedule-starting-deadline", 0, kText, "DURATION", "a run that is later is missed (100s)"},
};
constexpr FlagRule kCreate[] = {
    {"mode", 0, kText, "MODE", "replicated (default), global, replicated-job or global-job"},
    {"schedule", 0, kText, "CRON", "when a replicated-job runs: '*/5 * * * *', @daily"},
    {"autoscale", 0, kText, "RULES",
     "min=2,max=20 and what to go by: cpu=70%, memory=80%, metric=NAME:PORT[/path]:VALUE; also "
     "window=60s, cooldown=5m"},
    {"depends-on", 0, kList, "NAME[:CONDITION]",
     "starts after that service is started (default), healthy or completed"},
};
constexpr FlagRule kUpdate[] = {
    {"mode", 0, kText, "", "cannot be changed: create a service of the new mode", kNo},
    {"schedule", 0, kText, "CRON", "when a replicated-job runs: '*/5 * * * *'; off: at once"},
    {"autoscale", 0, kText, "RULES",
     "min=2,max=20 and what to go by: cpu=70%, memory=80%, metric=NAME:PORT[/path]:VALUE; also "
     "window=60s, cooldown=5m; or off"},
    {"depends-on-add", 0, kList, "NAME[:CONDITION]", "add or change a service it starts after"},
    {"depends-on-rm", 0, kList, "NAME", "no longer start after that service"},
    {"depends-on", 0, kList, "", "changes nothing here: use --depends-on-add and --depends-on-rm",
     kNo},
};

constexpr std::string_view kScheduleDetails[] = {"schedule-time-zone", "schedule-concurrency",
                                                 "schedule-history", "schedule-starting-deadline"};

absl::Status SetMode(const std::string& mode, v1::ServiceSpec& spec) {
  if (mode == "replicated") {
    spec.mutable_replicated()->set_replicas(1);
  } else if (mode == "global") {
    spec.mutable_global();
  } else if (mode == "replicated-job") {
    spec.mutable_replicated_job();
  } else if (mode == "global-job") {
    spec.mutable_global_job();
  } else {
    return UsageError(
        StrCat("--mode=", mode, ": must be replicated, global, replicated-job or global-job"));
  }
  return absl::OkStatus();
}

absl::Status Counts(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec) {
  ASSIGN_OR_RETURN(const auto replicas, flags.NumberOf("replicas"));
  ASSIGN_OR_RETURN(const auto concurrent, flags.NumberOf("max-concurrent"));
  if (concurrent && !spec.has_replicated_job()) {
    return UsageError(
        "--max-concurrent: only a replicated-job has it; leave it out, or use --mode "
        "replicated-job");
  }
  if (replicas && IsGlobal(spec)) {
    return UsageError(
        "--replicas: a global service has one task on each node; leave it out, or use --mode "
        "replicated or replicated-job");
  }
  if (spec.has_replicated_job()) {
    v1::ReplicatedJob& job = *spec.mutable_replicated_job();
    if (replicas == 0u || concurrent == 0u) {
      return UsageError(StrCat(replicas == 0u ? "--replicas" : "--max-concurrent",
                               "=0: the job would never do anything; 1 or more"));
    }
    if (replicas) job.set_total_completions(*replicas);
    if (concurrent) job.set_max_concurrent(*concurrent);
    // As docker: all at once unless told otherwise.
    if (replicas && !concurrent && verb == ServiceVerb::kCreate) job.set_max_concurrent(*replicas);
  } else if (replicas) {
    spec.mutable_replicated()->set_replicas(*replicas);
  }
  return absl::OkStatus();
}

absl::Status ScheduleDetails(const Flags& flags, v1::CronSchedule& schedule) {
  if (flags.Has("schedule-time-zone")) schedule.set_time_zone(flags.Text("schedule-time-zone"));
  if (flags.Has("schedule-concurrency")) {
    const std::string word = flags.Text("schedule-concurrency");
    ASSIGN_OR_RETURN(const auto concurrency,
                     OfFlag("schedule-concurrency", word, compose::ParseConcurrency(word)));
    schedule.set_concurrency(concurrency);
  }
  ASSIGN_OR_RETURN(const auto history, flags.NumberOf("schedule-history"));
  if (history && *history > 100) {
    return UsageError(StrCat("--schedule-history=", *history, ": at most 100"));
  }
  if (history) schedule.set_history(static_cast<uint32_t>(*history));
  ASSIGN_OR_RETURN(const auto deadline, flags.DurationOf("schedule-starting-deadline"));
  if (deadline) SetDuration(*deadline, schedule.mutable_starting_deadline());
  return absl::OkStatus();
}

absl::Status Schedule(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec) {
  const auto detail = std::find_if(std::begin(kScheduleDetails), std::end(kScheduleDetails),
                                   [&](std::string_view flag) { return flags.Has(flag); });
  const bool has_detail = detail != std::end(kScheduleDetails);
  if (!flags.Has("schedule") && !has_detail) return absl::OkStatus();
  if (flags.Text("schedule") == "off" && verb == ServiceVerb::kUpdate) {
    if (has_detail) return UsageError(StrCat("--", *detail, ": says nothing with --schedule off"));
    spec.clear_schedule();
    return absl::OkStatus();
  }
  if (!spec.has_replicated_job()) {
    return UsageError(StrCat("--", flags.Has("schedule") ? "schedule" : *detail,
                             ": only jobs run by a schedule; use --mode replicated-job"));
  }
  if (flags.Has("schedule")) {
    if (flags.Text("schedule").empty()) {
      return UsageError("--schedule: is empty; five fields such as '*/5 * * * *', or @daily");
    }
    spec.mutable_schedule()->set_expression(flags.Text("schedule"));
  } else if (!spec.has_schedule()) {
    return UsageError(StrCat("--", *detail, ": add --schedule, such as --schedule '*/5 * * * *'"));
  }
  return ScheduleDetails(flags, *spec.mutable_schedule());
}

// What a percentage would be of.
absl::Status CheckShare(const v1::ServiceSpec& spec, std::string_view what, bool wanted,
                        int64_t limit, int64_t reservation) {
  if (!wanted || limit > 0 || reservation > 0) return absl::OkStatus();
  return UsageError(StrCat("--autoscale=…", what, "=…: is a share of the ", what,
                           " limit or reservation, and ", spec.name(),
                           spec.name().empty() ? "" : " ", "has neither; add --limit-", what,
                           " or --reserve-", what));
}

absl::Status Autoscaling(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec) {
  if (flags.Has("autoscale")) {
    const std::string text = flags.Text("autoscale");
    if (text == "off" && verb == ServiceVerb::kUpdate) {
      spec.clear_autoscale();
      return absl::OkStatus();
    }
    if (!spec.has_replicated()) {
      return UsageError("--autoscale: only replicated services are scaled; use --mode replicated");
    }
    ASSIGN_OR_RETURN(*spec.mutable_autoscale(),
                     OfFlag("autoscale", text, compose::ParseAutoscale(text)));
    const v1::ResourceRequirements& resources = spec.task().resources();
    RETURN_IF_ERROR(CheckShare(spec, "cpu", spec.autoscale().cpu_percent() > 0,
                               resources.limits().nano_cpus(),
                               resources.reservations().nano_cpus()));
    return CheckShare(spec, "memory", spec.autoscale().memory_percent() > 0,
                      resources.limits().memory_bytes(), resources.reservations().memory_bytes());
  }
  if (verb == ServiceVerb::kUpdate && flags.Has("replicas") && spec.has_autoscale()) {
    return UsageError(StrCat("--replicas: is set by autoscaling, between ", spec.autoscale().min(),
                             " and ", spec.autoscale().max(),
                             "; change these with --autoscale, or add --autoscale off"));
  }
  return absl::OkStatus();
}

void RemoveDependency(const std::string& name, v1::ServiceSpec& spec) {
  auto& all = *spec.mutable_depends_on();
  all.erase(
      std::remove_if(all.begin(), all.end(), [&](const auto& d) { return d.service() == name; }),
      all.end());
}

absl::Status Dependencies(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec) {
  for (const std::string& name : flags.List("depends-on-rm")) RemoveDependency(name, spec);
  const std::string_view flag = verb == ServiceVerb::kCreate ? "depends-on" : "depends-on-add";
  for (const std::string& text : flags.List(flag)) {
    ASSIGN_OR_RETURN(v1::Dependency dependency, OfFlag(flag, text, compose::ParseDependency(text)));
    if (dependency.service() == spec.name()) {
      return UsageError(
          StrCat("--", flag, "=", text, ": a service that waits for itself would ", "never start"));
    }
    RemoveDependency(dependency.service(), spec);
    *spec.add_depends_on() = std::move(dependency);
  }
  return absl::OkStatus();
}

}  // namespace

// The mode and the counts, then the verb's own with what details a schedule behind it.
std::vector<FlagRule> ModeFlags(ServiceVerb verb) {
  std::vector<FlagRule> rules(std::begin(kCounts), std::end(kCounts));
  const bool create = verb == ServiceVerb::kCreate;
  for (const FlagRule& rule :
       create ? absl::MakeConstSpan(kCreate) : absl::MakeConstSpan(kUpdate)) {
    rules.insert(rule.name == "mode" ? rules.begin() : rules.end(), rule);
    if (rule.name == "schedule")
      rules.insert(rules.end(), std::begin(kDetails), std::end(kDetails));
  }
  return rules;
}

absl::Status ApplyMode(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec) {
  if (verb == ServiceVerb::kCreate) {
    RETURN_IF_ERROR(SetMode(flags.Text("mode", "replicated"), spec));
  }
  RETURN_IF_ERROR(Counts(flags, verb, spec));
  RETURN_IF_ERROR(Schedule(flags, verb, spec));
  RETURN_IF_ERROR(Autoscaling(flags, verb, spec));
  return Dependencies(flags, verb, spec);
}

}  // namespace swarm::cli
