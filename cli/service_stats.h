// `service stats` and `service top`: what tasks use, and what runs in one.
#ifndef SWARM_CLI_SERVICE_STATS_H_
#define SWARM_CLI_SERVICE_STATS_H_

#include <vector>

#include "cli/app.h"

namespace swarm::cli {

std::vector<FlagRule> ServiceStatsFlags();
absl::Status ServiceStats(Invocation& in);

std::vector<FlagRule> ServiceTopFlags();
absl::Status ServiceTop(Invocation& in);

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_STATS_H_
