// What the manager thinks of a stack file's services before anything is made. One thread.
#ifndef SWARM_CLI_STACK_SERVICES_H_
#define SWARM_CLI_STACK_SERVICES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/compose/stack.h"
#include "cli/stack_words.h"

namespace swarm::cli {

// The services whose spec the manager takes from nobody, in the order of the file; at least the
// first of them. An error: it could not be asked.
absl::StatusOr<std::vector<Refusal>> RefusedServices(ManagerClient& manager,
                                                     const compose::Stack& file);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_SERVICES_H_
