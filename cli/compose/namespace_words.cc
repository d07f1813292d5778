#include "cli/compose/namespace_words.h"

#include "common/strings.h"

namespace swarm::cli::compose {

absl::StatusOr<bool> ParseSharesHost(std::string_view word) {
  if (word == "host") return true;
  if (word.empty() || word == "private") return false;
  for (const std::string_view joined : {"container:", "service:"}) {
    if (!word.starts_with(joined)) continue;
    return absl::InvalidArgumentError(
        StrCat("\"", word, "\" joins another container's, which may run on another node; use host ",
               "or private"));
  }
  if (word == "shareable") {
    return absl::InvalidArgumentError(
        "\"shareable\" is for other containers to join, and none can here; use private");
  }
  return absl::InvalidArgumentError(StrCat("must be host or private, not \"", word, "\""));
}

}  // namespace swarm::cli::compose
