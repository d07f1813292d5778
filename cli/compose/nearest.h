// "Did you mean …?" for flags, commands and keys of stack files.
#ifndef SWARM_CLI_COMPOSE_NEAREST_H_
#define SWARM_CLI_COMPOSE_NEAREST_H_

#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace swarm::cli {

// The candidate nearest to `word`, or "" when none is near: by edits (swapped neighbours count as
// one), at most 3 and at most a third of the word's length rounded up. The first of equals wins.
std::string Nearest(std::string_view word, absl::Span<const std::string_view> candidates);

}  // namespace swarm::cli

#endif  // SWARM_CLI_COMPOSE_NEAREST_H_
