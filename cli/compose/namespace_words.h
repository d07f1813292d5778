// The words of `pid`, `ipc` and `uts` that flags and stack files share. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_NAMESPACE_WORDS_H_
#define SWARM_CLI_COMPOSE_NAMESPACE_WORDS_H_

#include <string_view>

#include "absl/status/statusor.h"

namespace swarm::cli::compose {

// Whether the container shares the node's: "host" does, "private" and "" do not. InvalidArgument
// says what may stand there; the caller adds where it stood.
absl::StatusOr<bool> ParseSharesHost(std::string_view word);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_NAMESPACE_WORDS_H_
