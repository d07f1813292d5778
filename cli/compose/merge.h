// Several stack files as one. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_MERGE_H_
#define SWARM_CLI_COMPOSE_MERGE_H_

#include "cli/compose/document.h"

namespace swarm::cli::compose {

// One shape for what Docker lets people write in two: "A=b" lists of environment, labels and
// sysctls become maps (the last of equal keys wins), lists of networks and
// dependencies become maps. Other shapes
// stay as they are and are refused where they are read.
void Normalise(Value& root);

// Both normalised. Maps merge key by key, scalars of `over` win, lists are joined without doubles;
// of volumes, devices, secrets and configs one that goes to the same place in the container
// replaces the other. command, entrypoint and a health check's test are replaced as a whole; a null
// in `over` changes nothing.
void Merge(Value& base, Value over);

// Equal but for where they stand.
bool SameValue(const Value& a, const Value& b);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_MERGE_H_
