// NetworkStates for tests, in few words: "10.0.1.0/24" and the rest follows.
#ifndef SWARM_AGENT_NETWORK_NETWORK_TEST_WORLD_H_
#define SWARM_AGENT_NETWORK_NETWORK_TEST_WORLD_H_

#include <string>
#include <vector>

#include "agent/network/network_state.h"

namespace swarm::agent {

inline IpAddress Ip(const std::string& text) { return IpAddress::Parse(text).value(); }
inline IpPrefix Prefix(const std::string& text) { return IpPrefix::Parse(text).value(); }

// The gateway is the first address of each subnet.
inline Network MakeNetwork(const std::string& id, uint32_t vni,
                           const std::vector<std::string>& subnets) {
  Network network{.id = id, .name = id, .vni = vni};
  if (vni == 0) network.driver = NetworkDriver::kBridge;
  for (const std::string& subnet : subnets) {
    network.subnets.push_back({Prefix(subnet), Prefix(subnet).base.Plus(1)});
  }
  return network;
}

// Serving. Addresses of either family, as many as are given.
inline NetworkTask MakeTask(const std::string& network, const std::string& service,
                            const std::string& task, const std::string& node,
                            const std::vector<std::string>& addresses) {
  NetworkTask made{.network_id = network,
                   .task_id = task,
                   .service_id = service,
                   .node_id = node,
                   .name = service + ".1." + task,
                   .serving = true};
  for (const std::string& text : addresses) {
    const IpAddress address = Ip(text);
    (address.is_v4() ? made.v4 : made.v6) = address;
  }
  return made;
}

inline void Put(NetworkState* state, const Network& n) { state->networks[n.id] = n; }
inline void Put(NetworkState* state, const NetworkPeer& p) { state->peers[p.key()] = p; }
inline void Put(NetworkState* state, const NetworkTask& t) { state->tasks[t.key()] = t; }
inline void Put(NetworkState* state, const NetworkService& s) { state->services[s.key()] = s; }
inline void Put(NetworkState* state, const IngressPort& p) { state->ingress_ports[p.key()] = p; }
inline void Put(NetworkState* state, const HostPort& p) { state->host_ports[p.key()] = p; }

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NETWORK_TEST_WORLD_H_
