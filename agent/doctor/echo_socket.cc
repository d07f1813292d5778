#include "agent/doctor/echo_socket.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/icmp.h>  // after <netinet/in.h>, of which it would hide a part

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/socket_address.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

using Family = IpAddress::Family;

// For thousands of packets at the same time: the kernel counts up to 1 KiB for a small one, and
// what waits for a hardware address counts until that is known.
constexpr int kBuffer = 8 << 20;

absl::Status SetOption(const UniqueFd& fd, int level, int option, int value) {
  if (setsockopt(fd.get(), level, option, &value, sizeof value) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "socket option");
}

// As large as it is asked for, whatever the host's net.core.rmem_max says: what finds no room is
// dropped by the kernel and would read as lost on the way.
absl::Status SetBuffer(const UniqueFd& fd, int forced, int option) {
  if (SetOption(fd, SOL_SOCKET, forced, kBuffer).ok()) return absl::OkStatus();
  return SetOption(fd, SOL_SOCKET, option, kBuffer);
}

// Only what ParseEchoAnswer knows takes room: not requests, ours or others', nor router
// advertisements.
absl::Status SetFilter(const UniqueFd& fd, Family family) {
  if (family == Family::kV4) {
    const icmp_filter filter = {
        ~(1U << ICMP_ECHOREPLY | 1U << ICMP_DEST_UNREACH | 1U << ICMP_TIME_EXCEEDED)};
    if (setsockopt(fd.get(), SOL_RAW, ICMP_FILTER, &filter, sizeof filter) == 0) {
      return absl::OkStatus();
    }
    return ErrnoStatus(errno, "a filter for ICMP");
  }
  icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  for (const int type :
       {ICMP6_ECHO_REPLY, ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG, ICMP6_TIME_EXCEEDED}) {
    ICMP6_FILTER_SETPASS(type, &filter);
  }
  if (setsockopt(fd.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, "a filter for ICMPv6");
}

}  // namespace

absl::StatusOr<UniqueFd> OpenEchoSocket(IpAddress::Family family) {
  const bool v4 = family == Family::kV4;
  UniqueFd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                     v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6)));
  if (!fd.valid()) return ErrnoStatus(errno, "a socket for ICMP");
  RETURN_IF_ERROR(v4 ? SetOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
                     : SetOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE));
  RETURN_IF_ERROR(SetBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF));
  RETURN_IF_ERROR(SetBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF));
  RETURN_IF_ERROR(SetFilter(fd, family));
  return fd;
}

absl::StatusOr<int> MtuTowards(const IpAddress& from, const IpAddress& to) {
  const bool v4 = to.is_v4();
  const UniqueFd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  const SocketAddress own = ToSocketAddress(from, 0), other = ToSocketAddress(to, 9);
  if (bind(fd.get(), own.get(), own.size) != 0) {
    return ErrnoStatus(errno, absl::StrCat("address ", from.ToString()));
  }
  if (connect(fd.get(), other.get(), other.size) != 0) {
    return ErrnoStatus(errno, absl::StrCat("the way to ", to.ToString()));
  }
  int mtu = 0;
  socklen_t size = sizeof mtu;
  const int got = v4 ? getsockopt(fd.get(), IPPROTO_IP, IP_MTU, &mtu, &size)
                     : getsockopt(fd.get(), IPPROTO_IPV6, IPV6_MTU, &mtu, &size);
  if (got != 0) return ErrnoStatus(errno, "the way's MTU");
  return mtu;
}

}  // namespace swarm::agent
