// States, times and ids in the words that Docker's users know. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_WORDS_H_
#define SWARM_CLI_OUTPUT_WORDS_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

inline constexpr size_t kShortIdLength = 12;

std::string ShortId(std::string_view id, bool whole = false);
absl::Time ToTime(const google::protobuf::Timestamp& timestamp);
absl::Duration ToDuration(const google::protobuf::Duration& duration);
void SetDuration(absl::Duration from, google::protobuf::Duration* to);
// "2026-11-23T19:12:38.5Z"; "" for the epoch.
std::string Rfc3339(const google::protobuf::Timestamp& timestamp);
// With all nine digits, so that lines stay in columns: of logs and events.
std::string Rfc3339Nano(const google::protobuf::Timestamp& timestamp);
// As docker prints memory and traffic: "12.5MiB", "1.02GB"; four digits that count.
std::string BinaryBytes(int64_t bytes);
std::string DecimalBytes(int64_t bytes);
// "5 seconds ago"; clocks that differ never give a negative age.
std::string Ago(absl::Time now, absl::Time then);

std::string StateWord(v1::TaskStatus::State state);  // "Running"
std::string StateKey(v1::TaskStatus::State state);   // "running", as in JSON
bool IsTerminal(v1::TaskStatus::State state);
// "Running 5 seconds ago (healthy)"
std::string CurrentState(const v1::TaskStatus& status, absl::Time now);
// What went wrong or is waited for: "task: non-zero exit (3)"; "" when all is well.
std::string TaskError(const v1::Task& task);

std::string NodeStateWord(v1::NodeStatus::State state);                   // "Ready"
std::string AvailabilityWord(v1::NodeSpec::Availability value);           // "Active"
std::string RoleWord(v1::NodeSpec::Role role);                            // "manager"
std::string UpdateStateKey(v1::UpdateStatus::State state);                // "rollback_paused"
std::string RestartConditionKey(v1::RestartPolicy::Condition condition);  // "on-failure"
std::string ManagerStatusWord(const v1::Node& node);   // "Leader", "Reachable", ""
using NodeNames = std::map<std::string, std::string>;  // host names by id
NodeNames NamesOfNodes(const std::vector<v1::Node>& nodes);

// "replicated", "global", "replicated job", "global job", as docker's lists say.
std::string ModeWord(const v1::ServiceSpec& spec);
// "replicated-job": as --mode and --filter take it.
std::string ModeKey(const v1::ServiceSpec& spec);
bool IsGlobalService(const v1::ServiceSpec& spec);
bool IsJobService(const v1::ServiceSpec& spec);
// With the defaults.
uint64_t MaxConcurrent(const v1::ReplicatedJob& job);
uint64_t TotalCompletions(const v1::ReplicatedJob& job);
// The newest run that began; null before the first.
const v1::JobRun* LastRun(const v1::Service& service);

std::string FailureActionKey(v1::UpdateConfig::FailureAction action);   // "pause"
std::string OrderKey(v1::UpdateConfig::Order order);                    // "stop-first"
std::string StrategyKey(v1::Placement::Strategy strategy);              // "spread"
std::string ConcurrencyKey(v1::CronSchedule::Concurrency concurrency);  // "forbid"
std::string ConditionKey(v1::Dependency::Condition condition);          // "started"
std::string RunStateKey(v1::JobRun::State state);                       // "complete"
std::string RebalanceKey(v1::RebalancePolicy::Mode mode);               // "off"
std::string HealthKey(v1::Health::State state);                         // "healthy"; "" for none
// "3 failures in a row: connection refused"; "" for one that is well.
std::string WhyUnhealthy(const v1::Health& health);
// "gpu=2, radio=1"
std::string GenericWords(const google::protobuf::RepeatedPtrField<v1::GenericResource>& generic);
// Whether the manager has stopped deciding about it.
bool InQuarantine(const v1::Service& service);
// "in quarantine: manager/scheduler ended while …; change its spec, or …"; of one crash what is to
// come; "" when all is well.
std::string QuarantineWords(const v1::Service& service);
// "cpu 70%, memory 80%, queue_length:9090/metrics 10"
std::string AutoscaleWords(const v1::Autoscale& autoscale);

// "in 3 minutes"; "now" when it is over.
std::string In(absl::Time now, absl::Time then);
// "1m30s"
std::string DurationWord(absl::Duration duration);

// "web.1"; "web.<node>" for tasks of global services, which have no slot.
std::string TaskName(const v1::Task& task);
// TaskName, and of jobs the run: "report.1 (run 3)".
std::string TaskTitle(const v1::Task& task);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_WORDS_H_
