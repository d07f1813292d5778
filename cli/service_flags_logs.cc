// Where a service's output goes.
#include <iterator>

#include "cli/service_flag_themes.h"

namespace swarm::cli {
namespace {

constexpr FlagRule kRules[] = {
    {"log-driver", 0, FlagKind::kText, "DRIVER",
     "json-file (default), local, journald, syslog or none"},
    {"log-opt", 0, FlagKind::kList, "NAME=VALUE", "an option of it, such as max-size=10m"},
};

}  // namespace

std::vector<FlagRule> LogFlags() { return {std::begin(kRules), std::end(kRules)}; }

absl::Status ApplyLogs(const Flags& flags, v1::ServiceSpec& spec) {
  if (!flags.Has("log-driver") && !flags.Has("log-opt")) return absl::OkStatus();
  v1::LogDriver& driver = *spec.mutable_task()->mutable_log_driver();
  if (flags.Has("log-driver") && flags.Text("log-driver") != driver.name()) {
    driver.set_name(flags.Text("log-driver"));
    driver.clear_options();
  }
  for (const std::string& text : flags.List("log-opt")) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return UsageError(StrCat("--log-opt \"", text, "\": must be NAME=VALUE"));
    }
    (*driver.mutable_options())[text.substr(0, equals)] = text.substr(equals + 1);
  }
  // The default, said in an empty way.
  if (driver.ByteSizeLong() == 0) spec.mutable_task()->clear_log_driver();
  return absl::OkStatus();
}

}  // namespace swarm::cli
