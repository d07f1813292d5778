// `network doctor`: every node looks at its networks, and what is broken is said in words.
#ifndef SWARM_CLI_NETWORK_DOCTOR_H_
#define SWARM_CLI_NETWORK_DOCTOR_H_

#include <vector>

#include "absl/status/status.h"
#include "cli/app.h"

namespace swarm::cli {

std::vector<FlagRule> NetworkDoctorFlags();
// Exit code 1 when something is broken or a node was not looked at.
absl::Status NetworkDoctor(Invocation& in);

}  // namespace swarm::cli

#endif  // SWARM_CLI_NETWORK_DOCTOR_H_
