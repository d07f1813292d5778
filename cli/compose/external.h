// Things of a stack file that are not the stack's own: networks, volumes, secrets and
// configs with `external`.
#ifndef SWARM_CLI_COMPOSE_EXTERNAL_H_
#define SWARM_CLI_COMPOSE_EXTERNAL_H_

#include <optional>
#include <string>

#include "cli/compose/document.h"

namespace swarm::cli::compose {

// Whether the object with this key is not the stack's own, and then its name: what `name` says, on
// its own or (as older files have it) within `external`, else the key.
std::optional<std::string> ExternalName(const std::string& key, const Value& object);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_EXTERNAL_H_
