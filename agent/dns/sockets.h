// Small pieces around sockets, shared by the server's side and the forwarder's.
#ifndef SWARM_AGENT_DNS_SOCKETS_H_
#define SWARM_AGENT_DNS_SOCKETS_H_

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/ip_address.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress ToSocketAddress(const IpAddress& address, uint16_t port);

// Runs `work` inside a network namespace, on this thread, which is back in its own afterwards: a
// thread that could not come back ends the process. Needs CAP_SYS_ADMIN.
absl::Status InNetworkNamespace(int netns, absl::FunctionRef<absl::Status()> work);

// Close-on-exec and without blocking, in a network namespace or (-1) this thread's own.
absl::StatusOr<UniqueFd> OpenSocket(int netns, int family, int type);

// A descriptor that is readable while `fd` is writable, has failed or was closed by the other side:
// for loops that only know WatchReadable. Borrows `fd`.
absl::StatusOr<UniqueFd> WatchableWhenWritable(int fd);

// DNS over TCP: two bytes of length in front of each message.
std::string WithLength(absl::string_view message);
// Takes the first whole message off `buffer`.
std::optional<std::string> TakeMessage(std::string& buffer);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_SOCKETS_H_
