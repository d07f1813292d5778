// What a deploy of a stack file would change, in words. One thread.
#ifndef SWARM_CLI_STACK_DIFF_H_
#define SWARM_CLI_STACK_DIFF_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/compose/stack.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

// As the spec would be sent: what the user cannot say in a file stays as it is.
v1::ServiceSpec SpecToDeploy(const v1::ServiceSpec& old, v1::ServiceSpec wanted);

// A line for each field that differs, by its path: `~ task.container.image: "a" -> "b"`. Variables
// are compared by their names, and of capabilities, constraints and the like, whose order says
// nothing, what came and went is told; an order that is another alone is one line.
std::vector<std::string> SpecDifferences(const v1::ServiceSpec& old, const v1::ServiceSpec& wanted);

struct StackDiff {
  std::string text;   // a line for what is made, changed or removed, and a last one that counts
  bool empty = true;  // a deploy would change nothing
};

// References of the file's services to secrets and configs get the names that a deploy would give
// them. `existing`: the services of the stack. With `prune` those that left the file are removed;
// else they are named and count as no change.
absl::StatusOr<StackDiff> DiffStack(ManagerClient& manager, const std::string& stack,
                                    compose::Stack& file, const std::vector<v1::Service>& existing,
                                    bool prune);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_DIFF_H_
