// The tunnel between nodes that carries encrypted networks, as a value: this node's WireGuard link
// and the other nodes on it; wanted, applied or read from the kernel.
//
// One link for all encrypted networks of a node. Inside of it every node has one address, made from
// its id, so that nobody gives them and every node knows them all: the VXLAN links of encrypted
// networks go from inner address to inner address. The only addresses of a peer that its packets
// may come from is that one; its key says who it is.
//
// Pure.
#ifndef SWARM_AGENT_NETWORK_TUNNEL_STATE_H_
#define SWARM_AGENT_NETWORK_TUNNEL_STATE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/ip_address.h"

namespace swarm::agent {

// "fd53:7767::<64 bits of a hash>". Two ids of one hash would cut one of the two nodes off and
// leave the other as it is: a chance of 1 in 10^11 with 10,000 nodes.
IpAddress InnerAddress(std::string_view node_id);
const IpPrefix& InnerPrefix();  // of all of them
// Whose VXLAN goes through the tunnel and by no other way.
bool IsInnerAddress(const IpAddress& address);

// Keys have 32 bytes (RFC 7748). Those of links are secret: nothing prints them.
struct WireguardLink {
  std::string private_key;
  uint16_t port = 0;  // UDP, of the host
  int mtu = 0;
  IpAddress address;
  friend bool operator==(const WireguardLink&, const WireguardLink&) = default;
};

struct WireguardPeer {
  IpAddress address;   // inner
  IpAddress endpoint;  // of the underlay
  uint16_t port = 0;
  friend bool operator==(const WireguardPeer&, const WireguardPeer&) = default;
};

struct TunnelState {
  std::optional<WireguardLink> link;
  std::map<std::string, WireguardPeer> peers;  // by public key

  bool empty() const { return !link && peers.empty(); }
  // As NamespaceState::Add.
  void Add(const TunnelState& other);
  friend bool operator==(const TunnelState&, const TunnelState&) = default;
};

// From `from` to `to`: first put (make, or replace the value of the key), then remove.
struct TunnelDifference {
  TunnelState put;
  TunnelState remove;  // that there is a link, and the keys of peers, count
};
TunnelDifference Difference(const TunnelState& from, const TunnelState& to);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_TUNNEL_STATE_H_
