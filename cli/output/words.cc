#include "cli/output/words.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "common/proto_time.h"
#include "common/quantity.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::string InUnits(int64_t bytes, double step, const char* const (&units)[6]) {
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= step && unit + 1 < std::size(units)) {
    value /= step;
    ++unit;
  }
  return absl::StrFormat("%.4g%s", value, units[unit]);
}

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

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) { return FromProto(timestamp); }

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return FromProto(duration);
}

void SetDuration(absl::Duration from, google::protobuf::Duration* to) { *to = ToProto(from); }

std::string Rfc3339(const google::protobuf::Timestamp& timestamp) {
  if (timestamp.seconds() == 0 && timestamp.nanos() == 0) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", ToTime(timestamp), absl::UTCTimeZone());
}

std::string Rfc3339Nano(const google::protobuf::Timestamp& timestamp) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", ToTime(timestamp), absl::UTCTimeZone());
}

std::string BinaryBytes(int64_t bytes) {
  return InUnits(bytes, 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"});
}
std::string DecimalBytes(int64_t bytes) {
  return InUnits(bytes, 1000, {"B", "kB", "MB", "GB", "TB", "PB"});
}

std::string Ago(absl::Time now, absl::Time then) {
  return StrCat(HumanDuration(std::max(now - then, absl::ZeroDuration())), " ago");
}

namespace {

// As `docker ps` says it; the health of what has ended says nothing any more.
std::string HealthSuffix(const v1::TaskStatus& status) {
  if (IsTerminal(status.state())) return "";
  const v1::Health::State state = status.health().state();
  if (state == v1::Health::STATE_UNSPECIFIED) return "";
  const std::string key = HealthKey(state);
  return state == v1::Health::STATE_STARTING ? StrCat(" (health: ", key, ")")
                                             : StrCat(" (", key, ")");
}

}  // namespace

std::string StateKey(v1::TaskStatus::State state) {
  if (state == v1::TaskStatus::STATE_NEW) return "new";
  return LowerWithout(v1::TaskStatus::State_Name(state), "STATE_");
}

std::string StateWord(v1::TaskStatus::State state) { return Capital(StateKey(state)); }

bool IsTerminal(v1::TaskStatus::State state) { return state > v1::TaskStatus::STATE_RUNNING; }

std::string CurrentState(const v1::TaskStatus& status, absl::Time now) {
  const std::string word = StateWord(status.state());
  const std::string age =
      status.has_timestamp()
          ? StrCat(" ", absl::AsciiStrToLower(Ago(now, ToTime(status.timestamp()))))
          : "";
  return StrCat(word, age, HealthSuffix(status));
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

NodeNames NamesOfNodes(const std::vector<v1::Node>& nodes) {
  NodeNames names;
  for (const v1::Node& node : nodes) names[node.id()] = node.description().hostname();
  return names;
}

bool IsGlobalService(const v1::ServiceSpec& spec) {
  return spec.has_global() || spec.has_global_job();
}

bool IsJobService(const v1::ServiceSpec& spec) {
  return spec.has_replicated_job() || spec.has_global_job();
}

std::string ModeWord(const v1::ServiceSpec& spec) {
  return StrCat(IsGlobalService(spec) ? "global" : "replicated", IsJobService(spec) ? " job" : "");
}

std::string ModeKey(const v1::ServiceSpec& spec) {
  return StrCat(IsGlobalService(spec) ? "global" : "replicated", IsJobService(spec) ? "-job" : "");
}

uint64_t MaxConcurrent(const v1::ReplicatedJob& job) {
  return job.has_max_concurrent() ? std::max<uint64_t>(job.max_concurrent(), 1) : 1;
}

uint64_t TotalCompletions(const v1::ReplicatedJob& job) {
  return job.has_total_completions() ? std::max<uint64_t>(job.total_completions(), 1)
                                     : MaxConcurrent(job);
}

const v1::JobRun* LastRun(const v1::Service& service) {
  const v1::JobRun* last = nullptr;
  for (const v1::JobRun& run : service.runs()) {
    if (run.run() > 0 && (last == nullptr || run.run() > last->run())) last = &run;
  }
  return last;
}

std::string FailureActionKey(v1::UpdateConfig::FailureAction action) {
  if (action == v1::UpdateConfig::FAILURE_ACTION_UNSPECIFIED) return "pause";
  return LowerWithout(v1::UpdateConfig::FailureAction_Name(action), "FAILURE_ACTION_");
}

std::string OrderKey(v1::UpdateConfig::Order order) {
  return order == v1::UpdateConfig::ORDER_START_FIRST ? "start-first" : "stop-first";
}

std::string StrategyKey(v1::Placement::Strategy strategy) {
  return strategy == v1::Placement::STRATEGY_BINPACK ? "binpack" : "spread";
}

std::string ConcurrencyKey(v1::CronSchedule::Concurrency concurrency) {
  if (concurrency == v1::CronSchedule::CONCURRENCY_UNSPECIFIED) return "forbid";
  return LowerWithout(v1::CronSchedule::Concurrency_Name(concurrency), "CONCURRENCY_");
}

std::string ConditionKey(v1::Dependency::Condition condition) {
  if (condition == v1::Dependency::CONDITION_UNSPECIFIED) return "started";
  return LowerWithout(v1::Dependency::Condition_Name(condition), "CONDITION_");
}

std::string RunStateKey(v1::JobRun::State state) {
  return LowerWithout(v1::JobRun::State_Name(state), "STATE_");
}

std::string RebalanceKey(v1::RebalancePolicy::Mode mode) {
  return mode == v1::RebalancePolicy::MODE_SLOW ? "slow" : "off";
}

std::string HealthKey(v1::Health::State state) {
  if (state == v1::Health::STATE_UNSPECIFIED) return "";
  return LowerWithout(v1::Health::State_Name(state), "STATE_");
}

std::string WhyUnhealthy(const v1::Health& health) {
  if (health.failing_streak() == 0) return "";
  std::string why = health.failing_streak() == 1
                        ? "1 failure"
                        : StrCat(health.failing_streak(), " failures in a row");
  if (health.log().empty()) return why;
  std::string output = health.log(health.log_size() - 1).output();
  while (!output.empty() && absl::ascii_isspace(static_cast<unsigned char>(output.back()))) {
    output.pop_back();
  }
  return output.empty() ? why : StrCat(why, ": ", output);
}

std::string GenericWords(const google::protobuf::RepeatedPtrField<v1::GenericResource>& generic) {
  std::string words;
  for (const v1::GenericResource& resource : generic) {
    StrAppend(&words, words.empty() ? "" : ", ", resource.kind(), "=");
    if (resource.ids().empty()) StrAppend(&words, resource.count());
    for (int i = 0; i < resource.ids_size(); ++i) {
      StrAppend(&words, i == 0 ? "" : ",", resource.ids(i));
    }
  }
  return words;
}

bool InQuarantine(const v1::Service& service) { return service.quarantine().crashes() > 1; }

std::string QuarantineWords(const v1::Service& service) {
  const v1::Quarantine& quarantine = service.quarantine();
  if (quarantine.crashes() == 0) return "";
  if (!InQuarantine(service)) {
    return StrCat(quarantine.reason(),
                  "; if that happens again within an hour, it is put in quarantine");
  }
  return StrCat("in quarantine: ", quarantine.reason(),
                "; change its spec, or try again with service update --force");
}

std::string AutoscaleWords(const v1::Autoscale& autoscale) {
  std::string words;
  const auto add = [&words](const std::string& word) {
    StrAppend(&words, words.empty() ? "" : ", ", word);
  };
  if (autoscale.cpu_percent() > 0) add(StrCat("cpu ", autoscale.cpu_percent(), "%"));
  if (autoscale.memory_percent() > 0) add(StrCat("memory ", autoscale.memory_percent(), "%"));
  for (const v1::MetricTarget& metric : autoscale.metrics()) {
    add(StrCat(metric.name(), ":", metric.port(),
               metric.path().empty() ? "/metrics" : metric.path(), " ", metric.value()));
  }
  return words;
}

std::string In(absl::Time now, absl::Time then) {
  if (then <= now) return "now";
  return StrCat("in ", absl::AsciiStrToLower(HumanDuration(then - now)));
}

std::string DurationWord(absl::Duration duration) { return absl::FormatDuration(duration); }

std::string TaskName(const v1::Task& task) {
  if (task.slot() != 0) return StrCat(task.service_name(), ".", task.slot());
  return StrCat(task.service_name(), ".",
                task.wanted_node_id().empty() ? task.node_id() : task.wanted_node_id());
}

std::string TaskTitle(const v1::Task& task) {
  return task.run() == 0 ? TaskName(task) : StrCat(TaskName(task), " (run ", task.run(), ")");
}

}  // namespace swarm::cli
