// Small pieces around sockets, shared by the server's side and the forwarder's.
#ifndef SWARM_AGENT_DNS_SOCKETS_H_
#define SWARM_AGENT_DNS_SOCKETS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/unique_fd.h"

namespace swarm::agent {

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
