// The forward chain of iptables as it was before nftables (iptables-legacy): nft does not show it,
// and packets meet it all the same.
//
// Read only: a table of this kind is written as a whole, and who else writes it at the same time
// would be lost.
#ifndef SWARM_AGENT_NETWORK_LEGACY_FORWARD_H_
#define SWARM_AGENT_NETWORK_LEGACY_FORWARD_H_

#include <string>
#include <vector>

#include "agent/network/network_namespace.h"

namespace swarm::agent {

// A sentence for people for each family whose policy is to drop, without rules that let through
// what comes and goes by `link`. Nothing when there is no such table, or it cannot be read.
std::vector<std::string> LegacyObstacles(const NetworkNamespace& space, const std::string& link);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_LEGACY_FORWARD_H_
