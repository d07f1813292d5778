// What the manager says of networks on the wire, as the values that router and resolver work with.
// Pure.
#ifndef SWARM_AGENT_NETWORK_CHANGES_H_
#define SWARM_AGENT_NETWORK_CHANGES_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "agent/network/network_update.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

struct TranslatedChanges {
  NetworkUpdate update;
  // Pieces that say nothing (an address that is none): left out, and why, for the log.
  std::vector<std::string> problems;
};
TranslatedChanges Translate(const v1::NetworkChanges& changes);

// What tells one published port from another.
std::tuple<PortProtocol, uint16_t> KeyOf(const v1::IngressPort& port);

// A port of a service in host mode, on the node of one of its tasks.
HostPort TranslateHostPort(const v1::PortConfig& port, const std::string& task_id);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_CHANGES_H_
