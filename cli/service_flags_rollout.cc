// How a service is changed over to a new revision, and back.
#include <iterator>

#include "cli/compose/spec_words.h"
#include "cli/output/words.h"
#include "cli/service_flag_themes.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kText = FlagKind::kText;

constexpr FlagRule kRules[] = {
    {"update-parallelism", 0, kText, "NUMBER", "tasks changed at the same time (1); 0: all"},
    {"update-delay", 0, kText, "DURATION", "between two of them (0s)"},
    {"update-failure-action", 0, kText, "ACTION", "pause (default), continue or rollback"},
    {"update-max-failure-ratio", 0, kText, "RATIO", "failures that are tolerated, 0 to 1 (0)"},
    {"update-monitor", 0, kText, "DURATION", "a failure this soon after the start counts (5s)"},
    {"update-order", 0, kText, "ORDER", "stop-first (default) or start-first"},
    {"update-deadline", 0, kText, "DURATION", "a task that does not run by then has failed (10m)"},
    {"rollback-parallelism", 0, kText, "NUMBER", "tasks rolled back at the same time (1); 0: all"},
    {"rollback-delay", 0, kText, "DURATION", "between two of them (0s)"},
    {"rollback-failure-action", 0, kText, "ACTION", "pause (default) or continue"},
    {"rollback-max-failure-ratio", 0, kText, "RATIO", "failures that are tolerated, 0 to 1 (0)"},
    {"rollback-monitor", 0, kText, "DURATION", "a failure this soon after the start counts (5s)"},
    {"rollback-order", 0, kText, "ORDER", "stop-first (default) or start-first"},
    {"rollback-deadline", 0, kText, "DURATION",
     "a task that does not run by then has failed (10m)"},
};

class ConfigWriter {
 public:
  // `prefix` is "update-" or "rollback-".
  ConfigWriter(const Flags& flags, std::string_view prefix, v1::UpdateConfig& config)
      : flags_(flags), prefix_(prefix), config_(config) {}

  absl::Status Write() {
    ASSIGN_OR_RETURN(const auto parallelism, flags_.NumberOf(Name("parallelism")));
    if (parallelism) config_.set_parallelism(*parallelism);
    ASSIGN_OR_RETURN(const auto delay, flags_.DurationOf(Name("delay")));
    if (delay) SetDuration(*delay, config_.mutable_delay());
    ASSIGN_OR_RETURN(const auto monitor, flags_.DurationOf(Name("monitor")));
    if (monitor) SetDuration(*monitor, config_.mutable_monitor());
    ASSIGN_OR_RETURN(const auto deadline, flags_.DurationOf(Name("deadline")));
    if (deadline && *deadline <= absl::ZeroDuration()) {
      return UsageError(StrCat("--", Name("deadline"), ": must be above 0; the default is 10m"));
    }
    if (deadline) SetDuration(*deadline, config_.mutable_progress_deadline());
    return Words();
  }

 private:
  std::string Name(std::string_view what) const { return StrCat(prefix_, what); }

  absl::Status Words() {
    if (const std::string flag = Name("failure-action"); flags_.Has(flag)) {
      ASSIGN_OR_RETURN(const auto action,
                       OfFlag(flag, flags_.Text(flag),
                              compose::ParseFailureAction(flags_.Text(flag),
                                                          /*of_rollback=*/prefix_ == "rollback-")));
      config_.set_failure_action(action);
    }
    if (const std::string flag = Name("max-failure-ratio"); flags_.Has(flag)) {
      ASSIGN_OR_RETURN(const double ratio,
                       OfFlag(flag, flags_.Text(flag), compose::ParseRatio(flags_.Text(flag))));
      config_.set_max_failure_ratio(ratio);
    }
    if (const std::string flag = Name("order"); flags_.Has(flag)) {
      ASSIGN_OR_RETURN(const auto order,
                       OfFlag(flag, flags_.Text(flag), compose::ParseOrder(flags_.Text(flag))));
      config_.set_order(order);
    }
    return absl::OkStatus();
  }

  const Flags& flags_;
  const std::string_view prefix_;
  v1::UpdateConfig& config_;
};

}  // namespace

std::vector<FlagRule> RolloutFlags() { return {std::begin(kRules), std::end(kRules)}; }

absl::Status ApplyRollout(const Flags& flags, v1::ServiceSpec& spec) {
  bool update = false;
  bool rollback = false;
  for (const FlagRule& rule : kRules) {
    if (!flags.Has(rule.name)) continue;
    if (IsJob(spec)) {
      return UsageError(StrCat("--", rule.name,
                               ": a job is not changed in place, an update begins a new run; ",
                               "leave it out"));
    }
    (rule.name.starts_with("update-") ? update : rollback) = true;
  }
  if (update) RETURN_IF_ERROR(ConfigWriter(flags, "update-", *spec.mutable_update()).Write());
  if (rollback) RETURN_IF_ERROR(ConfigWriter(flags, "rollback-", *spec.mutable_rollback()).Write());
  return absl::OkStatus();
}

}  // namespace swarm::cli
