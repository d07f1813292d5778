#include "agent/dns/resolver_sockets.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "agent/dns/redirect.h"
#include "agent/dns/sockets.h"
#include "agent/network/network_namespace.h"
#include "common/ip_address.h"
#include "common/socket_address.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr char kAddress[] = "127.0.0.11";
// Above the ports that the kernel gives away by itself, so that it is seldom in a program's way.
constexpr uint16_t kPort = 61053;
constexpr int kBacklog = 128;
constexpr int kReceiveBuffer = 1 << 20;  // some thousand queries, while no agent is there

absl::Status BringLoopbackUp() {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenSocket(-1, AF_INET, SOCK_DGRAM));
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  if (ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) return ErrnoStatus(errno, "look at lo");
  if ((request.ifr_flags & IFF_UP) != 0) return absl::OkStatus();
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return ErrnoStatus(errno, "bring lo up");
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenBound(int type) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(-1, AF_INET, type));
  ASSIGN_OR_RETURN(const IpAddress address, IpAddress::Parse(kAddress));
  // Another port when an earlier pair of sockets still has it.
  for (const uint16_t port : {kPort, uint16_t{0}}) {
    const SocketAddress to = ToSocketAddress(address, port);
    if (bind(fd.get(), to.get(), to.size) == 0) break;
    if (port == 0 || errno != EADDRINUSE) {
      return ErrnoStatus(errno, absl::StrCat("bind to ", kAddress));
    }
  }
  if (type == SOCK_STREAM) {
    if (listen(fd.get(), kBacklog) != 0) return ErrnoStatus(errno, "listen");
  } else {
    // Best effort: with less, fewer queries wait.
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  return fd;
}

// The port that it is bound to; an error when it is not one of OpenBound's.
absl::StatusOr<uint16_t> PortOf(const UniqueFd& fd, int type) {
  sockaddr_in bound = {};
  socklen_t size = sizeof bound;
  int real_type = 0;
  socklen_t type_size = sizeof real_type;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &real_type, &type_size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("no socket: ", std::strerror(errno)));
  }
  const IpAddress address =
      IpAddress::FromBytes({reinterpret_cast<const char*>(&bound.sin_addr), 4});
  if (bound.sin_family != AF_INET || real_type != type || address.ToString() != kAddress) {
    return absl::FailedPreconditionError("not a resolver's socket");
  }
  return ntohs(bound.sin_port);
}

// Inside the namespace.
absl::Status Redirect(const ResolverSockets& sockets) {
  ASSIGN_OR_RETURN(const uint16_t udp, PortOf(sockets.udp, SOCK_DGRAM));
  ASSIGN_OR_RETURN(const uint16_t tcp, PortOf(sockets.tcp, SOCK_STREAM));
  return RedirectPort53(udp, tcp);
}

}  // namespace

absl::StatusOr<ResolverSockets> OpenResolverSockets(const std::string& netns_path) {
  ResolverSockets sockets;
  RETURN_IF_ERROR(EnterAndRun(netns_path, [&]() -> absl::Status {
    RETURN_IF_ERROR(BringLoopbackUp());
    ASSIGN_OR_RETURN(sockets.udp, OpenBound(SOCK_DGRAM));
    ASSIGN_OR_RETURN(sockets.tcp, OpenBound(SOCK_STREAM));
    return Redirect(sockets);
  }));
  return sockets;
}

absl::Status RedirectToResolver(const std::string& netns_path, const ResolverSockets& sockets) {
  return EnterAndRun(netns_path, [&] { return Redirect(sockets); });
}

}  // namespace swarm::agent
