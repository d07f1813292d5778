// Hardware addresses and names of links, made from what the manager gives: every node works out the
// same ones by itself, so nobody asks and nobody is asked (no ARP, no neighbour discovery).
#ifndef SWARM_AGENT_NETWORK_MAC_ADDRESS_H_
#define SWARM_AGENT_NETWORK_MAC_ADDRESS_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/ip_address.h"

namespace swarm::agent {

struct MacAddress {
  std::array<uint8_t, 6> bytes = {};

  // Locally administered. Of IPv4 02:42 and the address, so no two are the same; of IPv6 02 and 40
  // bits of a hash.
  static MacAddress Of(const IpAddress& address);

  std::string ToString() const;  // "02:42:0a:00:01:05"
  // fe80::… with this as its interface's part.
  IpAddress LinkLocal() const;

  friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

// Of the router's end of every container's link: each link has two ends only.
inline constexpr MacAddress kRouterMac = {{0x02, 0x53, 0x57, 0x52, 0x4d, 0x01}};

// The same on every node and in every release.
uint64_t StableHash(std::string_view text);

// The router's end of a container's link, "c" and 56 bits of a hash: at most 15 characters. The
// link carries the whole task id as its alias.
std::string ContainerLinkName(std::string_view task_id);
// "vx4097".
std::string VxlanLinkName(uint32_t vni);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_MAC_ADDRESS_H_
