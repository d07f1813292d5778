// The functions of templates: Docker's and Go's. Pure.
#ifndef SWARM_CLI_TEMPLATE_FUNCTIONS_H_
#define SWARM_CLI_TEMPLATE_FUNCTIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/template/value.h"

namespace swarm::cli {

bool KnowsFunction(std::string_view name);
// "and, eq, ge, …"
std::string FunctionNames();

struct FunctionCall {
  std::string_view name;
  std::vector<Value> arguments;
  size_t position = 0;
  bool headings = false;  // the values are columns' headings: those that Docker leaves alone stay
};
// All but `and` and `or`, which do not look at all of their arguments and are the executor's.
absl::StatusOr<Value> CallFunction(const FunctionCall& call);

// fmt.Sprintf: %s %v %d %q %t %f %g %e %x %X %c %%, with flags, width and precision up to 1000.
absl::StatusOr<std::string> Sprintf(const FunctionCall& call);

}  // namespace swarm::cli

#endif  // SWARM_CLI_TEMPLATE_FUNCTIONS_H_
