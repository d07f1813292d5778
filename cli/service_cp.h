// `service cp`: files between this machine and a container.
#ifndef SWARM_CLI_SERVICE_CP_H_
#define SWARM_CLI_SERVICE_CP_H_

#include <vector>

#include "cli/app.h"

namespace swarm::cli {

std::vector<FlagRule> ServiceCpFlags();
absl::Status ServiceCp(Invocation& in);

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_CP_H_
