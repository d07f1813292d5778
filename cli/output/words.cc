#include "cli/output/words.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/quantity.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// The name of a protobuf enum's value without its prefix, in lower case.
std::string LowerWithout(const std::string& name, std::string_view prefix) {
  std::string_view word = name;
  if (word.starts_with(prefix)) word.remove_prefix(prefix.size());
  return absl::AsciiStrToLower(ToAbsl(word));
}

std::string Capital(std::string word) {
  if (!word.empty()) word[0] = absl::ascii_toupper(word[0]);
  return word;
}

}  // namespace

std::string ShortId(std::string_view id, bool whole) {
  return std::string(whole ? id : id.substr(0, kShortIdLength));
}

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

void SetDuration(absl::Duration from, google::protobuf::Duration* to) {
  to->set_seconds(absl::ToInt64Seconds(from));
  to->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(from - absl::Seconds(to->seconds()))));
}

std::string Rfc3339(const google::protobuf::Timestamp& timestamp) {
  if (timestamp.seconds() == 0 && timestamp.nanos() == 0) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", ToTime(timestamp), absl::UTCTimeZone());
}

std::string Ago(absl::Time now, absl::Time then) {
  return StrCat(HumanDuration(std::max(now - then, absl::ZeroDuration())), " ago");
}

std::string StateKey(v1::TaskStatus::State state) {
  if (state == v1::TaskStatus::STATE_NEW) return "new";
  return LowerWithout(v1::TaskStatus::State_Name(state), "STATE_");
}

std::string StateWord(v1::TaskStatus::State state) { return Capital(StateKey(state)); }

bool IsTerminal(v1::TaskStatus::State state) { return state > v1::TaskStatus::STATE_RUNNING; }

std::string CurrentState(const v1::TaskStatus& status, absl::Time now) {
  const std::string word = StateWord(status.state());
  if (!status.has_timestamp()) return word;
  return StrCat(word, " ", absl::AsciiStrToLower(Ago(now, ToTime(status.timestamp()))));
}

std::string TaskError(const v1::Task& task) {
  if (!task.status().error().empty()) return task.status().error();
  const int exit_code = task.status().container().exit_code();
  const auto state = task.status().state();
  if (state != v1::TaskStatus::STATE_FAILED && state != v1::TaskStatus::STATE_REJECTED) return "";
  if (task.status().oom_killed()) return "task: out of memory";
  return exit_code == 0 ? "" : StrCat("task: non-zero exit (", exit_code, ")");
}

std::string NodeStateWord(v1::NodeStatus::State state) {
  if (state == v1::NodeStatus::STATE_UNSPECIFIED) return "Unknown";
  return Capital(LowerWithout(v1::NodeStatus::State_Name(state), "STATE_"));
}

std::string AvailabilityWord(v1::NodeSpec::Availability value) {
  if (value == v1::NodeSpec::AVAILABILITY_UNSPECIFIED) return "Active";
  return Capital(LowerWithout(v1::NodeSpec::Availability_Name(value), "AVAILABILITY_"));
}

std::string RoleWord(v1::NodeSpec::Role role) {
  return role == v1::NodeSpec::ROLE_MANAGER ? "manager" : "worker";
}

std::string UpdateStateKey(v1::UpdateStatus::State state) {
  return LowerWithout(v1::UpdateStatus::State_Name(state), "STATE_");
}

std::string RestartConditionKey(v1::RestartPolicy::Condition condition) {
  switch (condition) {
    case v1::RestartPolicy::CONDITION_NONE:
      return "none";
    case v1::RestartPolicy::CONDITION_ON_FAILURE:
      return "on-failure";
    default:
      return "any";
  }
}

std::string ManagerStatusWord(const v1::Node& node) {
  if (!node.has_manager_status()) return "";
  return node.manager_status().leader() ? "Leader" : "Reachable";
}

std::string TaskName(const v1::Task& task) {
  if (task.slot() == 0) return StrCat(task.service_name(), ".", task.node_id());
  return StrCat(task.service_name(), ".", task.slot());
}

}  // namespace swarm::cli
