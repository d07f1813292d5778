#include "agent/health/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

Address ToAddress(const std::string& host, uint16_t port) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    address.size = sizeof *four;
  } else if (inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    address.size = sizeof *six;
  }
  return address;
}

absl::Status Words(int error) {
  return absl::UnavailableError(absl::AsciiStrToLower(std::strerror(error)));
}

}  // namespace

absl::StatusOr<Connection> Connection::Open(Runtime& runtime, const std::string& id,
                                            const ProbeTarget& target, const ProbeLimits& limits) {
  absl::Status first;
  for (const std::string& host : target.hosts) {
    const Address address = ToAddress(host, target.port);
    ASSIGN_OR_RETURN(UniqueFd fd, runtime.OpenSocket(id, address.storage.ss_family, SOCK_STREAM));
    Connection connection(std::move(fd), limits);
    const int connected = connect(
        connection.fd_.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size);
    absl::Status status = connected == 0 || errno == EINPROGRESS ? absl::OkStatus() : Words(errno);
    if (status.ok()) status = connection.Await(POLLOUT);
    if (status.ok()) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(connection.fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == 0) return connection;
      status = Words(error);
    }
    if (first.ok()) {
      first = Annotate(status, absl::StrCat("connect to ", host, ":", target.port));
    }
    if (!absl::IsUnavailable(status)) break;  // out of time
  }
  return first;
}

absl::Status Connection::Await(short events) {
  for (;;) {
    const absl::Duration left = limits_.Left();
    if (left <= absl::ZeroDuration()) return absl::DeadlineExceededError("no answer in time");
    pollfd fds[] = {{fd_.get(), events, 0}, {limits_.interrupt, POLLIN, 0}};
    const int64_t millis = absl::ToInt64Milliseconds(std::min(left, absl::Minutes(1))) + 1;
    const int ready = poll(fds, 2, static_cast<int>(millis));
    if (ready < 0 && errno != EINTR) return Words(errno);
    if (ready <= 0) continue;
    if (fds[1].revents != 0) return absl::CancelledError("interrupted");
    if (fds[0].revents != 0) return absl::OkStatus();
  }
}

absl::Status Connection::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Words(errno);
    RETURN_IF_ERROR(Await(POLLOUT));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> Connection::Read(char* buffer, size_t size) {
  for (;;) {
    RETURN_IF_ERROR(Await(POLLIN));
    const ssize_t n = recv(fd_.get(), buffer, size, 0);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR && errno != EAGAIN) return Words(errno);
  }
}

}  // namespace swarm::agent
