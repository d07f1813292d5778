// Fewer findings of what is well: a node of a large network would have one for each other node, and
// all nodes together their number squared. Pure.
#ifndef SWARM_AGENT_DOCTOR_FOLDING_H_
#define SWARM_AGENT_DOCTOR_FOLDING_H_

#include <vector>

#include "agent/doctor/finding.h"
#include "agent/network/network_state.h"

namespace swarm::agent {

// Those that are OK are one for each kind of check and network, which says of how many it speaks
// ("12 tasks on 5 nodes answer through network front") and has the longest of their round trips.
// One that is alone stays as it is, and so does all that is not OK. The order stays.
std::vector<Finding> Folded(std::vector<Finding> findings, const NetworkState& state);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_FOLDING_H_
