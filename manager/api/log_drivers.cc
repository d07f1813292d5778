#include "manager/api/log_drivers.h"

#include "common/log_driver.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

absl::StatusOr<LogDriverConfig> ConfigOf(const v1::TaskSpec& task) {
  const v1::LogDriver& driver = task.log_driver();
  return ParseLogDriver(driver.name(), {driver.options().begin(), driver.options().end()});
}

}  // namespace

absl::Status ValidateLogDriver(const v1::TaskSpec& task) {
  const absl::StatusOr<LogDriverConfig> config = ConfigOf(task);
  if (config.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("task.log_driver.", config.status().message()));
}

std::string WhyUnreadable(const v1::TaskSpec& task) {
  const absl::StatusOr<LogDriverConfig> config = ConfigOf(task);
  if (!config.ok() || config->readable()) return "";
  switch (config->kind) {
    case LogDriverConfig::Kind::kJournald:
      return "log driver journald cannot be read from here: its lines are in the journals of the "
             "nodes (journalctl CONTAINER_TAG=…)";
    case LogDriverConfig::Kind::kSyslog:
      return "log driver syslog cannot be read from here: its lines are where its syslog-address "
             "sends them";
    default:
      return "log driver none keeps nothing; json-file and local can be read from here";
  }
}

std::map<std::string, std::string> LogAttributes(const v1::TaskSpec& task) {
  std::map<std::string, std::string> out;
  const absl::StatusOr<LogDriverConfig> config = ConfigOf(task);
  if (!config.ok()) return out;
  for (const std::string& name : config->labels) {
    const auto label = task.container().labels().find(name);
    if (label != task.container().labels().end()) out[name] = label->second;
  }
  for (const std::string& name : config->env) {
    for (const std::string& line : task.container().env()) {
      if (line.size() > name.size() && line[name.size()] == '=' && line.starts_with(name)) {
        out[name] = line.substr(name.size() + 1);
      }
    }
  }
  if (!config->tag.empty()) out["tag"] = config->tag;
  return out;
}

}  // namespace swarm::manager
