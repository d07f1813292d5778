// Makes the cluster as a stack's file says: networks, secrets, configs, volumes, then services. One
// thread.
#ifndef SWARM_CLI_STACK_DEPLOYMENT_H_
#define SWARM_CLI_STACK_DEPLOYMENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/app.h"
#include "cli/compose/stack.h"

namespace swarm::cli {

// Those with the stack's label, by name.
absl::StatusOr<std::vector<v1::Service>> ServicesOf(ManagerClient& manager,
                                                    const std::string& stack);

struct DeployedStack {
  std::vector<v1::Service> accepted;  // as the manager answered, or as they were and are
  std::vector<v1::Service> pruned;  // removed by --prune; their tasks may still be on their way out
};

// `resolve` is --resolve-image: always, changed or never. References of the file's services to
// secrets and configs get their ids. Services that are new together, or there together, are written
// together: the first error is returned, with what was said of others that were under way, and
// nothing more is begun; what was written by then stays.
absl::StatusOr<DeployedStack> DeployStack(Invocation& in, ManagerClient& manager,
                                          const std::string& stack, const std::string& resolve,
                                          compose::Stack& file);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_DEPLOYMENT_H_
