// What a node must know of the cluster's networks: values that the manager sends and that the
// router, the resolver and the attachments of containers are worked out from. No behaviour.
//
// Addresses: of each task one per address family of a network; given by the manager, never twice.
#ifndef SWARM_AGENT_NETWORK_NETWORK_STATE_H_
#define SWARM_AGENT_NETWORK_NETWORK_STATE_H_

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "common/ip_address.h"

namespace swarm::agent {

enum class NetworkDriver : uint8_t {
  kOverlay,  // spans the nodes, by VXLAN
  kBridge,   // tasks of one node reach each other only
  kMacvlan,  // containers stand on a link of the node, in the network that it is in: not the
             // router's
};

// How containers on one parent link reach each other: straight, not at all, by way of the switch
// that the link leads to, or one container alone has the link.
enum class MacvlanMode : uint8_t { kBridge, kPrivate, kVepa, kPassthru };

struct Network {
  std::string id;
  std::string name;  // as people call it, and the search domain
  NetworkDriver driver = NetworkDriver::kOverlay;
  uint32_t vni = 0;  // overlay only; 1 to 2^24 - 1
  struct Subnet {
    IpPrefix prefix;
    IpAddress gateway;  // in it; the same on every node
    friend bool operator==(const Subnet&, const Subnet&) = default;
  };
  std::vector<Subnet> subnets;  // at most one of each family
  bool internal = false;        // no way out of the cluster
  bool ingress = false;         // carries published ports; one in a cluster
  bool encrypted = false;       // never goes in clear between nodes
  std::string parent;  // macvlan: the link of this node, "eth0", "eth0.50"; empty: it has none
  MacvlanMode macvlan_mode = MacvlanMode::kBridge;
  // Of this node on an ingress network: what answers to clients go back through. Else empty.
  IpAddress node_address;
  friend bool operator==(const Network&, const Network&) = default;
};

// Between nodes, that is: what stays on one needs none.
inline bool IsEncrypted(const Network& network) {
  return network.encrypted && network.driver == NetworkDriver::kOverlay;
}

// Another node that has tasks of a network (of an ingress network: every other node).
struct NetworkPeer {
  std::string network_id;
  std::string node_id;
  IpAddress underlay;         // where its VXLAN listens
  IpAddress node_address;     // on an ingress network; else empty
  std::string wireguard_key;  // public, 32 bytes, on an encrypted network; empty: it has none
  std::tuple<std::string, std::string> key() const { return {network_id, node_id}; }
  friend bool operator==(const NetworkPeer&, const NetworkPeer&) = default;
};

// A task's place in a network, on this node or on another one.
struct NetworkTask {
  std::string network_id;
  std::string task_id;
  std::string service_id;
  std::string node_id;
  std::string name;      // "web.1.k3…": <service>.<slot or node id>.<task id>
  std::string hostname;  // of the container when its spec names one
  IpAddress v4;          // empty: none
  IpAddress v6;
  // RUNNING, healthy and wanted: in names and behind virtual addresses. Else only reachable.
  bool serving = false;
  std::tuple<std::string, std::string> key() const { return {network_id, task_id}; }
  friend bool operator==(const NetworkTask&, const NetworkTask&) = default;
};

// A service in a network.
struct NetworkService {
  std::string network_id;
  std::string service_id;
  std::string name;
  std::vector<std::string> aliases;
  IpAddress vip4;  // empty with endpoint mode dnsrr, or without the family
  IpAddress vip6;
  std::tuple<std::string, std::string> key() const { return {network_id, service_id}; }
  friend bool operator==(const NetworkService&, const NetworkService&) = default;
};

enum class PortProtocol : uint8_t { kTcp, kUdp, kSctp };

// A port that every node answers on (ingress).
struct IngressPort {
  PortProtocol protocol = PortProtocol::kTcp;
  uint16_t published = 0;  // on the node
  uint16_t target = 0;     // in the container
  std::string service_id;
  bool local_first = false;  // tasks of the node that was entered, while it has any
  std::tuple<PortProtocol, uint16_t> key() const { return {protocol, published}; }
  friend bool operator==(const IngressPort&, const IngressPort&) = default;
};

// A port of the node that leads to one task on it (host mode).
struct HostPort {
  PortProtocol protocol = PortProtocol::kTcp;
  uint16_t published = 0;
  uint16_t target = 0;
  std::string task_id;
  std::tuple<PortProtocol, uint16_t> key() const { return {protocol, published}; }
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// Everything, by key; pieces may come and go in any order: what points at something that is not
// there is left out until it is.
struct NetworkState {
  template <typename T>
  using ByKey = std::map<decltype(T().key()), T>;

  std::string node_id;  // this node
  std::map<std::string, Network> networks;
  ByKey<NetworkPeer> peers;
  ByKey<NetworkTask> tasks;
  ByKey<NetworkService> services;
  ByKey<IngressPort> ingress_ports;
  ByKey<HostPort> host_ports;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NETWORK_STATE_H_
