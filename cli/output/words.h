// States, times and ids in the words that Docker's users know. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_WORDS_H_
#define SWARM_CLI_OUTPUT_WORDS_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>

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
// "5 seconds ago"; clocks that differ never give a negative age.
std::string Ago(absl::Time now, absl::Time then);

std::string StateWord(v1::TaskStatus::State state);  // "Running"
std::string StateKey(v1::TaskStatus::State state);   // "running", as in JSON
bool IsTerminal(v1::TaskStatus::State state);
// "Running 5 seconds ago"
std::string CurrentState(const v1::TaskStatus& status, absl::Time now);
// What went wrong or is waited for: "task: non-zero exit (3)"; "" when all is well.
std::string TaskError(const v1::Task& task);

std::string NodeStateWord(v1::NodeStatus::State state);                   // "Ready"
std::string AvailabilityWord(v1::NodeSpec::Availability value);           // "Active"
std::string RoleWord(v1::NodeSpec::Role role);                            // "manager"
std::string UpdateStateKey(v1::UpdateStatus::State state);                // "rollback_paused"
std::string RestartConditionKey(v1::RestartPolicy::Condition condition);  // "on-failure"
std::string ManagerStatusWord(const v1::Node& node);  // "Leader", "Reachable", ""

// "web.1", or "web.<node>" for tasks without a slot.
std::string TaskName(const v1::Task& task);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_WORDS_H_
