// Command lines and environment files as people write them. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_WORDS_H_
#define SWARM_CLI_COMPOSE_WORDS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::cli::compose {

// "sh -c 'a b'" is {sh, -c, a b}: quotes and backslashes as a shell reads them, no variables, no
// operators. InvalidArgument for a quote that is never closed.
absl::StatusOr<std::vector<std::string>> SplitWords(std::string_view text);

// The `.env` beside a stack file: NAME=value, `export ` and spaces around allowed, # comments,
// '…' as it stands, "…" with \n \t \" \\. InvalidArgument "line 3: …".
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseDotEnv(std::string_view text);

// `--env-file` and `env_file:`: NAME=value as it stands, or NAME alone, which stands for the
// caller's own variable; # comments. The lines, checked, without comments.
absl::StatusOr<std::vector<std::string>> ParseEnvFile(std::string_view text);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_WORDS_H_
