// The networks of a stack: made before its services, removed after them. One thread.
#ifndef SWARM_CLI_STACK_NETWORKS_H_
#define SWARM_CLI_STACK_NETWORKS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/app.h"
#include "cli/compose/stack.h"
#include "cli/stack_words.h"

namespace swarm::cli {

// What of `old` is not as `wanted` says, in words: "its driver is bridge, and the file says
// overlay"; "" when all is. The label of the stack does not count: stacks may share a network.
std::string NetworkDifference(const v1::NetworkSpec& old, const v1::NetworkSpec& wanted);

// Those with the stack's label, by name.
absl::StatusOr<std::vector<v1::Network>> NetworksOfStack(ManagerClient& manager,
                                                         const std::string& stack);

// Those of them that are no longer in the file.
absl::StatusOr<std::vector<v1::Network>> OldNetworks(ManagerClient& manager,
                                                     const std::string& stack,
                                                     const compose::Stack& file);

// What a file means for the networks of the cluster. What is there already is left alone.
struct NetworkPlan {
  std::vector<v1::NetworkSpec> missing;
  std::vector<Refusal> refusals;  // then nothing is made
};

absl::StatusOr<NetworkPlan> PlanNetworks(ManagerClient& manager, const compose::Stack& file);

// Those that are missing. The plan has no refusals.
absl::Status MakeNetworks(Invocation& in, ManagerClient& manager, const NetworkPlan& plan);

// One that something still uses is an error that names it and the rest goes on; with `leave_used`
// it stays, with a warning. One that is gone already is fine.
absl::Status RemoveNetworks(Invocation& in, ManagerClient& manager,
                            const std::vector<v1::Network>& networks, bool leave_used);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_NETWORKS_H_
