#include "agent/dns/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>

#include <cerrno>
#include <cstring>

#include "agent/network/network_namespace.h"
#include "common/status_macros.h"

namespace swarm::agent {

absl::StatusOr<UniqueFd> OpenSocket(int netns, int family, int type) {
  UniqueFd fd;
  const auto open_here = [&] {
    fd.Reset(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return fd.valid() ? absl::OkStatus() : ErrnoStatus(errno, "open a socket");
  };
  RETURN_IF_ERROR(netns < 0 ? open_here() : RunInNamespace(netns, open_here));
  return fd;
}

absl::StatusOr<UniqueFd> WatchableWhenWritable(int fd) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {};
  event.events = EPOLLOUT;
  if (!epoll.valid() || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "watch a socket");
  }
  return epoll;
}

std::string WithLength(absl::string_view message) {
  std::string out = {static_cast<char>(message.size() >> 8), static_cast<char>(message.size())};
  out.append(message.data(), message.size());
  return out;
}

std::optional<std::string> TakeMessage(std::string& buffer) {
  if (buffer.size() < 2) return std::nullopt;
  const size_t size =
      static_cast<size_t>(static_cast<uint8_t>(buffer[0])) << 8 | static_cast<uint8_t>(buffer[1]);
  if (buffer.size() - 2 < size) return std::nullopt;
  std::string message = buffer.substr(2, size);
  buffer.erase(0, size + 2);
  return message;
}

}  // namespace swarm::agent
