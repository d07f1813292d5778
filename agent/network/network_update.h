// What changed between two NetworkStates, as a value: records that came or changed, and the keys of
// those that went. Pure.
#ifndef SWARM_AGENT_NETWORK_NETWORK_UPDATE_H_
#define SWARM_AGENT_NETWORK_NETWORK_UPDATE_H_

#include <set>
#include <string>
#include <tuple>

#include "agent/network/network_state.h"

namespace swarm::agent {

struct NetworkUpdate {
  template <typename T>
  using Keys = std::set<decltype(T().key())>;

  NetworkState put;  // `node_id` does not count
  std::set<std::string> gone_networks;
  Keys<NetworkPeer> gone_peers;
  Keys<NetworkTask> gone_tasks;
  Keys<NetworkService> gone_services;
  Keys<IngressPort> gone_ingress_ports;
  Keys<HostPort> gone_host_ports;
};

// What leads from `from` to `to`. Costs what both hold.
NetworkUpdate UpdateBetween(const NetworkState& from, const NetworkState& to);

// `into`, and then `next`, as one update: whoever applies it is where both would have led one after
// the other. Costs what `next` holds.
void AppendUpdate(NetworkUpdate next, NetworkUpdate* into);

// Removing what is not there is harmless.
void ApplyUpdate(const NetworkUpdate& update, NetworkState* state);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NETWORK_UPDATE_H_
