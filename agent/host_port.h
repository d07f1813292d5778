// HOST[:PORT] as people write it.
#ifndef SWARM_AGENT_HOST_PORT_H_
#define SWARM_AGENT_HOST_PORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/ip_address.h"

namespace swarm::agent {

struct HostAndPort {
  std::string host;  // a name, an IPv4 address, or an IPv6 address in brackets
  int port = 0;      // 0: none was given
};

// IPv6 may come without brackets when there is no port. InvalidArgument begins with `what`.
absl::StatusOr<HostAndPort> ParseHostPort(const std::string& text, const std::string& what);
std::string FormatHostPort(const HostAndPort& addr);

// None when the host is a name.
IpAddress AddressOf(const HostAndPort& addr);

// `host` as others can dial it, by Docker's rule: an IP address as it is, or the address of a
// network interface of this machine (IPv4 before IPv6). Anything else is InvalidArgument, begins
// with `what` and names the interfaces: a name that does not resolve would leave a cluster that
// nobody reaches.
absl::StatusOr<std::string> AdvertisedHost(const std::string& host, const std::string& what);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HOST_PORT_H_
