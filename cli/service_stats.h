// `service stats` and `service top`: what tasks use, and what runs in one.
#ifndef SWARM_CLI_SERVICE_STATS_H_
#define SWARM_CLI_SERVICE_STATS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cli/app.h"

namespace swarm::cli {

std::vector<FlagRule> ServiceStatsFlags();
absl::Status ServiceStats(Invocation& in);

std::vector<FlagRule> ServiceTopFlags();
absl::Status ServiceTop(Invocation& in);

// As docker stats prints them: "12.5MiB", "1.02GB"; three digits that count.
std::string BinaryBytes(int64_t bytes);
std::string DecimalBytes(int64_t bytes);

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_STATS_H_
