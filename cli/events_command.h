// `events`: what changes in the cluster, and what has changed. One thread.
#ifndef SWARM_CLI_EVENTS_COMMAND_H_
#define SWARM_CLI_EVENTS_COMMAND_H_

#include <vector>

#include "cli/app.h"

namespace swarm::cli {

std::vector<FlagRule> EventsFlags();
absl::Status Events(Invocation& in);

}  // namespace swarm::cli

#endif  // SWARM_CLI_EVENTS_COMMAND_H_
