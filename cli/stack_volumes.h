// The volumes of a stack: said before its services are made, and kept when they go. One thread.
#ifndef SWARM_CLI_STACK_VOLUMES_H_
#define SWARM_CLI_STACK_VOLUMES_H_

#include "absl/status/status.h"
#include "cli/app.h"
#include "cli/compose/stack.h"

namespace swarm::cli {

// Everything is checked before the first is made: external volumes that are not there and volumes
// that are otherwise than the file says are errors. What is there already is left alone; other
// labels are a warning.
absl::Status MakeVolumes(Invocation& in, ManagerClient& manager, const compose::Stack& file);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_VOLUMES_H_
