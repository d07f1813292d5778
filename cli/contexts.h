// Contexts: a file with a manager's address and a client's certificate, made by
// `swarmctl swarm client-cert` and used by `--context`. Holds a private key: mode 0600.
#ifndef SWARM_CLI_CONTEXTS_H_
#define SWARM_CLI_CONTEXTS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/env.h"

namespace swarm::cli {

// A name is ~/.config/swarm/contexts/<name>.yaml (below XDG_CONFIG_HOME when that is set); what
// holds a slash or ends in .yaml or .yml is a path.
absl::StatusOr<std::string> ContextPath(const CliEnv& env, std::string_view name_or_path);

absl::StatusOr<ManagerTarget> ParseContext(std::string_view yaml, std::string_view file);
std::string RenderContext(const ManagerTarget& target);

}  // namespace swarm::cli

#endif  // SWARM_CLI_CONTEXTS_H_
