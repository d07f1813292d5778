// How the agent finds out whether a container works.
#include <iterator>

#include "cli/compose/spec_words.h"
#include "cli/output/words.h"
#include "cli/service_flag_themes.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kText = FlagKind::kText;

constexpr FlagRule kRules[] = {
    {"health-cmd", 0, kText, "COMMAND", "a shell line in the container that exits with 0 if well"},
    {"health-http", 0, kText, "URL", "answers 2xx or 3xx: http://:8080/path"},
    {"health-tcp", 0, kText, ":PORT", "takes a connection"},
    {"health-grpc", 0, kText, ":PORT[/SERVICE]", "serves grpc.health.v1 and says SERVING"},
    {"health-interval", 0, kText, "DURATION", "between two probes (30s)"},
    {"health-timeout", 0, kText, "DURATION", "of one probe (30s)"},
    {"health-retries", 0, kText, "NUMBER", "failures in a row that make it unhealthy (3)"},
    {"health-start-period", 0, kText, "DURATION", "failures in it do not count (0s)"},
    {"health-start-interval", 0, kText, "DURATION", "between probes in the start period (5s)"},
    {"no-healthcheck", 0, FlagKind::kSwitch, "", "not even the image's own"},
};

struct Probe {
  std::string_view flag;
  std::string_view kind;
};
constexpr Probe kProbes[] = {{"health-cmd", "CMD-SHELL"},
                             {"health-http", "HTTP"},
                             {"health-tcp", "TCP"},
                             {"health-grpc", "GRPC"}};

absl::Status Test(const Flags& flags, v1::HealthCheck& check) {
  const Probe* given = nullptr;
  for (const Probe& probe : kProbes) {
    if (!flags.Has(probe.flag)) continue;
    if (given != nullptr) {
      return UsageError(StrCat("--", given->flag, " and --", probe.flag,
                               ": a service has one health check; give one of them"));
    }
    given = &probe;
  }
  if (given == nullptr) return absl::OkStatus();
  const std::string target = flags.Text(given->flag);
  // As docker: an empty one is the image's again.
  check.clear_test();
  if (target.empty()) return absl::OkStatus();
  if (given->kind == "CMD-SHELL") {
    check.add_test("CMD-SHELL");
    check.add_test(target);
    return absl::OkStatus();
  }
  if (absl::Status status = compose::SetProbe(given->kind, target, check); !status.ok()) {
    return UsageError(StrCat("--", given->flag, "=", target, ": ", status.message()));
  }
  return absl::OkStatus();
}

absl::Status Times(const Flags& flags, v1::HealthCheck& check) {
  ASSIGN_OR_RETURN(const auto interval, flags.DurationOf("health-interval"));
  if (interval) SetDuration(*interval, check.mutable_interval());
  ASSIGN_OR_RETURN(const auto timeout, flags.DurationOf("health-timeout"));
  if (timeout) SetDuration(*timeout, check.mutable_timeout());
  ASSIGN_OR_RETURN(const auto retries, flags.NumberOf("health-retries"));
  if (retries && *retries > 1'000'000) {
    return UsageError(StrCat("--health-retries=", *retries, ": at most 1000000"));
  }
  if (retries) check.set_retries(static_cast<uint32_t>(*retries));
  ASSIGN_OR_RETURN(const auto start, flags.DurationOf("health-start-period"));
  if (start) SetDuration(*start, check.mutable_start_period());
  ASSIGN_OR_RETURN(const auto start_interval, flags.DurationOf("health-start-interval"));
  if (start_interval) SetDuration(*start_interval, check.mutable_start_interval());
  return absl::OkStatus();
}

}  // namespace

std::vector<FlagRule> HealthFlags() { return {std::begin(kRules), std::end(kRules)}; }

absl::Status ApplyHealth(const Flags& flags, v1::ServiceSpec& spec) {
  const FlagRule* other = nullptr;
  for (const FlagRule& rule : kRules) {
    if (rule.name != "no-healthcheck" && flags.Has(rule.name) && other == nullptr) other = &rule;
  }
  v1::ContainerSpec& container = *spec.mutable_task()->mutable_container();
  if (flags.On("no-healthcheck")) {
    if (other != nullptr) {
      return UsageError(
          StrCat("--no-healthcheck conflicts with --", other->name, ": give one of them"));
    }
    container.clear_health_check();
    container.mutable_health_check()->add_test("NONE");
    return absl::OkStatus();
  }
  if (other == nullptr) return absl::OkStatus();
  v1::HealthCheck& check = *container.mutable_health_check();
  // Asked for anything of it, there is to be one again.
  if (!check.test().empty() && check.test(0) == "NONE") check.clear_test();
  RETURN_IF_ERROR(Test(flags, check));
  RETURN_IF_ERROR(Times(flags, check));
  if (check.ByteSizeLong() == 0) container.clear_health_check();
  return absl::OkStatus();
}

}  // namespace swarm::cli
