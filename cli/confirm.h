// Asks the user before something is lost.
#ifndef SWARM_CLI_CONFIRM_H_
#define SWARM_CLI_CONFIRM_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "cli/app.h"

namespace swarm::cli {

// True with --force, or when the user types y or yes after "WARNING! <what>".
absl::StatusOr<bool> IsSure(Invocation& in, std::string_view what);

}  // namespace swarm::cli

#endif  // SWARM_CLI_CONFIRM_H_
