// Which keys a stack file may have, and what becomes of each. One thread, pure.
#ifndef SWARM_CLI_COMPOSE_SCHEMA_H_
#define SWARM_CLI_COMPOSE_SCHEMA_H_

#include "cli/compose/document.h"
#include "cli/compose/problems.h"

namespace swarm::cli::compose {

// Every key of the merged file: unknown ones are invalid (with the nearest known one), known ones
// without the feature are NotBuilt, ignored ones are warnings. Shapes too: a map where a map must
// be. Values are LoadStack's to read.
void CheckSchema(const Value& root, Problems& problems);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_SCHEMA_H_
