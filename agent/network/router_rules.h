// What is always wanted of a router and of its host, whatever the networks: the pair of links
// between the two, and the constant part of their nftables tables. Pure.
//
// The path of a packet through the router's table, and why each rule is there, is written in the
// text itself (router_rules.cc). No rule belongs to one network, service or task: those are
// elements of sets and maps, and a chain per virtual address and per published port that a map
// leads to.
#ifndef SWARM_AGENT_NETWORK_ROUTER_RULES_H_
#define SWARM_AGENT_NETWORK_ROUTER_RULES_H_

#include <algorithm>
#include <string>

#include "agent/network/namespace_state.h"
#include "common/ip_address.h"

namespace swarm::agent {

// The router's end of the pair that leads to the host.
inline constexpr char kUplink[] = "uplink";

struct RouterFacts {
  std::string node_id;
  IpAddress underlay;       // of this node; VXLAN goes out from it
  int underlay_mtu = 1500;  // of the link that has it
  uint16_t vxlan_port = 4789;
  // Of this node, 32 bytes and secret; empty: no encrypted network is carried here.
  std::string wireguard_private_key;
  uint16_t wireguard_port = 51871;
  std::string host_link;  // the host's end of the pair
  // The ends' addresses, which nothing else in the host may use. Those of IPv6 are empty when the
  // kernel runs without it.
  IpAddress host4, router4, host6, router6;

  bool HasWireguard() const { return !wireguard_private_key.empty(); }
  // Of a link whose packets may be carried in VXLAN. One that has IPv6 is never below IPv6's least,
  // at which the kernel would take IPv6 off it: the wire's packets are then sent in fragments.
  int OverlayMtu(bool has_v6) const {
    return AtLeast(has_v6, underlay_mtu - (underlay.is_v6() ? 70 : 50));
  }
  // As above, of one whose packets may be carried in VXLAN in WireGuard.
  int EncryptedMtu(bool has_v6) const { return AtLeast(has_v6, RoomInTunnel() - kInnerVxlan); }
  // Of the WireGuard link; its own addresses are of IPv6, and the largest of the above fits.
  int TunnelMtu() const { return std::max(RoomInTunnel(), kLeastMtu6 + kInnerVxlan); }

 private:
  static constexpr int kLeastMtu6 = 1280;
  static constexpr int kInnerVxlan = 70;  // over IPv6
  // In WireGuard (IP, UDP and 32 bytes).
  int RoomInTunnel() const { return underlay_mtu - (underlay.is_v6() ? 80 : 60); }
  static int AtLeast(bool has_v6, int mtu) { return has_v6 ? std::max(mtu, kLeastMtu6) : mtu; }
};

NamespaceState RouterBase(const RouterFacts& facts);
NamespaceState HostBase(const RouterFacts& facts);
MacAddress HostMac();  // of the host's end

// The insides of the tables.
std::string RouterRules(const RouterFacts& facts);
std::string HostRules(const RouterFacts& facts);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_ROUTER_RULES_H_
