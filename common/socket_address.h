// IP addresses as the kernel's socket calls have them, and what the kernel says of our own.
#ifndef SWARM_COMMON_SOCKET_ADDRESS_H_
#define SWARM_COMMON_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <cstdint>

#include "common/ip_address.h"

namespace swarm {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress ToSocketAddress(const IpAddress& address, uint16_t port);
// None of other families.
IpAddress FromSocketAddress(const SocketAddress& address);

// Our own address on the way to `to`, or on the way out of this machine (by IPv4) when that is none
// or a loopback's; none when there is no way. Asks the kernel for a route, sends nothing.
IpAddress LocalAddressTowards(const IpAddress& to);

}  // namespace swarm

#endif  // SWARM_COMMON_SOCKET_ADDRESS_H_
