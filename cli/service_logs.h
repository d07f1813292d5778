// `service logs`: lines of all tasks of a service, each with the task that printed it.
#ifndef SWARM_CLI_SERVICE_LOGS_H_
#define SWARM_CLI_SERVICE_LOGS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/app.h"

namespace swarm::cli {

std::vector<FlagRule> ServiceLogsFlags();
absl::Status ServiceLogs(Invocation& in);

// `--since`: "10m" (ago), RFC 3339 with or without a zone (UTC), a date, or Unix seconds.
absl::StatusOr<absl::Time> ParseSince(std::string_view text, absl::Time now);

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_LOGS_H_
