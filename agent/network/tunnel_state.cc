#include "agent/network/tunnel_state.h"

#include "agent/network/mac_address.h"

namespace swarm::agent {

const IpPrefix& InnerPrefix() {
  static const IpPrefix prefix = IpPrefix::Parse("fd53:7767::/64").value();
  return prefix;
}

IpAddress InnerAddress(std::string_view node_id) {
  IpAddress address = InnerPrefix().base;
  const uint64_t hash = StableHash(node_id);
  for (size_t i = 0; i < sizeof hash; ++i) {
    address.bytes[8 + i] = static_cast<uint8_t>(hash >> (8 * (sizeof hash - 1 - i)));
  }
  return address;
}

bool IsInnerAddress(const IpAddress& address) { return InnerPrefix().Contains(address); }

void TunnelState::Add(const TunnelState& other) {
  if (other.link) link = other.link;
  for (const auto& [key, peer] : other.peers) peers[key] = peer;
}

TunnelDifference Difference(const TunnelState& from, const TunnelState& to) {
  TunnelDifference difference;
  if (to.link && to.link != from.link) difference.put.link = to.link;
  if (from.link && !to.link) difference.remove.link = from.link;
  for (const auto& [key, peer] : to.peers) {
    const auto old = from.peers.find(key);
    if (old == from.peers.end() || old->second != peer) difference.put.peers.emplace(key, peer);
  }
  for (const auto& [key, peer] : from.peers) {
    if (!to.peers.contains(key)) difference.remove.peers.emplace(key, peer);
  }
  return difference;
}

}  // namespace swarm::agent
