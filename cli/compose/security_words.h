// The words of `security_opt` that flags and stack files share.
#ifndef SWARM_CLI_COMPOSE_SECURITY_WORDS_H_
#define SWARM_CLI_COMPOSE_SECURITY_WORDS_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace swarm::cli::compose {

// The option as the manager takes it: for "seccomp=FILE" the profile in it, as Docker's clients do.
// `read_file` gives a file's text; it may be empty. InvalidArgument: unknown, or no profile.
absl::StatusOr<std::string> ReadSecurityOption(
    const std::string& option,
    const std::function<absl::StatusOr<std::string>(const std::string&)>& read_file);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_SECURITY_WORDS_H_
