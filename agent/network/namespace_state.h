// What rtnetlink shows of a network namespace, as a value: wanted, applied or read from the kernel.
// Two of them have a difference, which is again two of them.
//
// Pure. Ordered by key, so that a difference costs what the two hold: parts that are known not to
// differ need not be in either.
#ifndef SWARM_AGENT_NETWORK_NAMESPACE_STATE_H_
#define SWARM_AGENT_NETWORK_NAMESPACE_STATE_H_

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "agent/network/mac_address.h"
#include "common/ip_address.h"

namespace swarm::agent {

inline constexpr uint32_t kMainTable = 254;

struct VxlanLink {
  uint32_t vni = 0;
  uint16_t port = 0;
  IpAddress local;  // of the underlay
  MacAddress mac;
  int mtu = 0;
  // What cannot be changed in place.
  bool SameTunnel(const VxlanLink& other) const {
    return std::tie(vni, port, local) == std::tie(other.vni, other.port, other.local);
  }
  friend bool operator==(const VxlanLink&, const VxlanLink&) = default;
};

// An address that a link has. Never brings a route with it.
struct LinkAddress {
  std::string link;
  IpAddress address;
  int length = 0;
  friend auto operator<=>(const LinkAddress&, const LinkAddress&) = default;
};

struct RouteKey {
  uint32_t table = kMainTable;
  IpPrefix destination;
  friend auto operator<=>(const RouteKey&, const RouteKey&) = default;
};

struct Route {
  std::string link;
  IpAddress via;     // empty: the destination is on the link itself. Of either family
  IpAddress source;  // empty: the kernel chooses
  friend bool operator==(const Route&, const Route&) = default;
};

// Packets with this mark look into the table of the same number, before the main one.
struct MarkRule {
  IpAddress::Family family = IpAddress::Family::kV4;
  uint32_t mark = 0;
  friend auto operator<=>(const MarkRule&, const MarkRule&) = default;
};

// Packets from this address look into that table, before the main one.
struct SourceRule {
  IpAddress source;
  uint32_t table = 0;
  friend auto operator<=>(const SourceRule&, const SourceRule&) = default;
};

struct NamespaceState {
  using NeighbourKey = std::pair<std::string, IpAddress>;  // link, address
  using ForwardingKey =
      std::pair<std::string, MacAddress>;  // VXLAN link, a peer's hardware address

  std::map<std::string, VxlanLink> vxlans;
  std::set<LinkAddress> addresses;
  std::map<RouteKey, Route> routes;
  std::map<NeighbourKey, MacAddress> neighbours;
  std::map<ForwardingKey, IpAddress> forwarding;  // to an address of the underlay
  std::set<MarkRule> rules;
  std::set<SourceRule> source_rules;

  bool empty() const;
  // Adds all that `other` holds; a key that both hold takes the value of `other`.
  void Add(const NamespaceState& other);
  friend bool operator==(const NamespaceState&, const NamespaceState&) = default;
};

// From `from` to `to`: first put (make, or replace the value of the key), then remove.
struct NamespaceDifference {
  NamespaceState put;
  NamespaceState remove;  // the keys count
  bool empty() const { return put.empty() && remove.empty(); }
};
NamespaceDifference Difference(const NamespaceState& from, const NamespaceState& to);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NAMESPACE_STATE_H_
