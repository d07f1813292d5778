// `service exec` and `service attach`: this terminal, or this pipe, at a program in a container.
#ifndef SWARM_CLI_SERVICE_EXEC_H_
#define SWARM_CLI_SERVICE_EXEC_H_

#include <vector>

#include "cli/app.h"

namespace swarm::cli {

std::vector<FlagRule> ServiceExecFlags();
absl::Status ServiceExec(Invocation& in);

std::vector<FlagRule> ServiceAttachFlags();
absl::Status ServiceAttach(Invocation& in);

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_EXEC_H_
