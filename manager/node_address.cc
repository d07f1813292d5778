#include "manager/node_address.h"

#include <string>

namespace swarm::manager {

// "10.0.0.7", "10.0.0.7:41234", "[::1]:5000", "::1".
IpAddress UnderlayOf(const Node& node) {
  const std::string& addr = node.status().addr();
  if (const auto whole = IpAddress::Parse(addr); whole.ok()) return whole->Unmapped();
  std::string host = addr.substr(0, addr.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const auto address = IpAddress::Parse(host);
  return address.ok() ? address->Unmapped() : IpAddress{};
}

}  // namespace swarm::manager
