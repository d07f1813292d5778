// Variables in stack files: $V ${V} ${V:-d} ${V-d} ${V:?e} ${V?e} ${V:+r} ${V+r} and $$ for a
// dollar. What stands after the operator may hold variables itself. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_INTERPOLATE_H_
#define SWARM_CLI_COMPOSE_INTERPOLATE_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::cli::compose {

using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

// InvalidArgument for a lone dollar, an unclosed brace, a bad name, a required variable that is
// missing (its message is the user's) and for results over 1 MiB. A variable that is not set and
// has no default is empty, and its name is added to `unset` (may be null) once.
absl::StatusOr<std::string> Interpolate(std::string_view text, const Lookup& lookup,
                                        std::vector<std::string>* unset = nullptr);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_INTERPOLATE_H_
