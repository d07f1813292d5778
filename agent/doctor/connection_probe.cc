#include "agent/doctor/connection_probe.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/socket_address.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

struct Attempt {
  size_t probe = 0;
  UniqueFd fd;
};

void Count(int error, ConnectionResult* result) {
  if (error == 0) {
    ++result->connected;
  } else if (error == ECONNREFUSED || error == ECONNRESET) {
    ++result->refused;
  } else if (error == ETIMEDOUT) {
    ++result->unanswered;
  } else {
    result->error = std::strerror(error);
  }
}

// Nothing under way: it has succeeded or failed already.
UniqueFd Begin(const ConnectionProbe& probe, ConnectionResult* result) {
  ++result->tried;
  const SocketAddress to = ToSocketAddress(probe.to, probe.port);
  UniqueFd fd(socket(to.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool begun = fd.valid() && connect(fd.get(), to.get(), to.size) == 0;
  if (!begun && fd.valid() && errno == EINPROGRESS) return fd;
  Count(begun ? 0 : errno, result);
  return UniqueFd();
}

int OutcomeOf(const UniqueFd& fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

}  // namespace

std::vector<ConnectionResult> TryConnections(const std::vector<ConnectionProbe>& probes,
                                             const ConnectionOptions& options,
                                             const ProbeEnv& env) {
  std::vector<ConnectionResult> results(probes.size());
  std::vector<Attempt> under_way;
  for (size_t i = 0; i < probes.size(); ++i) {
    for (int n = 0; n < probes[i].attempts; ++n) {
      if (UniqueFd fd = Begin(probes[i], &results[i]); fd.valid()) {
        under_way.push_back({i, std::move(fd)});
      }
    }
  }
  const absl::Duration until = env.clock.MonotonicNow() + options.patience;
  while (!under_way.empty()) {
    std::vector<pollfd> polled;
    for (const Attempt& attempt : under_way) {
      polled.push_back({.fd = attempt.fd.get(), .events = POLLOUT});
    }
    if (!AwaitReady(env, &polled, until)) break;
    std::vector<Attempt> left;
    for (size_t i = 0; i < under_way.size(); ++i) {
      if (polled[i].revents == 0) {
        left.push_back(std::move(under_way[i]));
      } else {
        Count(OutcomeOf(under_way[i].fd), &results[under_way[i].probe]);
      }
    }
    under_way = std::move(left);
  }
  for (const Attempt& attempt : under_way) ++results[attempt.probe].unanswered;
  return results;
}

}  // namespace swarm::agent
