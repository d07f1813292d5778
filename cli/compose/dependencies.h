// `depends_on`: which services wait for which. One thread.
#ifndef SWARM_CLI_COMPOSE_DEPENDENCIES_H_
#define SWARM_CLI_COMPOSE_DEPENDENCIES_H_

#include <string>
#include <vector>

#include "cli/compose/fields.h"
#include "cli/compose/problems.h"
#include "cli/compose/stack.h"

namespace swarm::cli::compose {

// depends_on of one service; `services` are all of the file, which it may name. In the spec the
// names are <stack>_<name>.
void ReadDependencies(const Fields& service, const Value& services, const std::string& stack,
                      v1::ServiceSpec& spec);

// What is waited for goes first; else the order stays. Circles are invalid, and so is waiting for
// the end of a service that has none.
void SortByDependencies(const Value& file, std::vector<StackService>& services, Problems& problems);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_DEPENDENCIES_H_
