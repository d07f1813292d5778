// Profiles of services: which count. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_PROFILES_H_
#define SWARM_CLI_COMPOSE_PROFILES_H_

#include <string>
#include <vector>

#include "cli/compose/document.h"
#include "cli/compose/problems.h"

namespace swarm::cli::compose {

// Takes out the services that name profiles of which none is in `active` ("*" is all). That one
// that stays depends on one that goes is a problem, which says the profile that would help, unless
// the dependency says `required: false`.
void LeaveOutInactive(Value& root, const std::vector<std::string>& active, Problems& problems);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_PROFILES_H_
