#include "common/socket_address.h"

#include <netinet/in.h>

#include <cstring>
#include <string_view>

#include "common/unique_fd.h"

namespace swarm {
namespace {

// Of TEST-NET-1, which nobody has: where it leads is where everything leads.
constexpr std::string_view kElsewhere = "192.0.2.1";
constexpr uint16_t kAnyPort = 9;

bool IsLoopback(const IpAddress& address) {
  return address.is_v4() ? address.bytes[0] == 127 : address == IpAddress::Parse("::1").value();
}

}  // namespace

SocketAddress ToSocketAddress(const IpAddress& address, uint16_t port) {
  SocketAddress out;
  if (address.is_v4()) {
    sockaddr_in four = {};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    std::memcpy(&four.sin_addr, address.bytes.data(), 4);
    std::memcpy(&out.storage, &four, sizeof four);
    out.size = sizeof four;
  } else {
    sockaddr_in6 six = {};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    std::memcpy(&six.sin6_addr, address.bytes.data(), 16);
    std::memcpy(&out.storage, &six, sizeof six);
    out.size = sizeof six;
  }
  return out;
}

IpAddress FromSocketAddress(const SocketAddress& address) {
  IpAddress out;
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in four = {};
    std::memcpy(&four, &address.storage, sizeof four);
    out.family = IpAddress::Family::kV4;
    std::memcpy(out.bytes.data(), &four.sin_addr, 4);
  } else if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 six = {};
    std::memcpy(&six, &address.storage, sizeof six);
    out.family = IpAddress::Family::kV6;
    std::memcpy(out.bytes.data(), &six.sin6_addr, 16);
  }
  return out;
}

IpAddress LocalAddressTowards(const IpAddress& to) {
  const bool known = !to.empty() && !IsLoopback(to);
  const SocketAddress target =
      ToSocketAddress(known ? to : IpAddress::Parse(kElsewhere).value(), kAnyPort);
  const UniqueFd fd(::socket(target.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  SocketAddress own;
  own.size = sizeof own.storage;
  if (!fd.valid() || ::connect(fd.get(), target.get(), target.size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.size) != 0) {
    return {};
  }
  const IpAddress address = FromSocketAddress(own);
  return IsLoopback(address) ? IpAddress() : address;
}

}  // namespace swarm
