#include "agent/doctor/probe_env.h"

#include <algorithm>

namespace swarm::agent {
namespace {

constexpr absl::Duration kSlice = absl::Milliseconds(50);

}  // namespace

bool AwaitReady(const ProbeEnv& env, std::vector<pollfd>* sockets, absl::Duration until) {
  for (pollfd& socket : *sockets) socket.revents = 0;
  while (!env.cancelled) {
    const absl::Duration left = until - env.clock.MonotonicNow();
    if (left <= absl::ZeroDuration()) return false;
    // Up: a wait of less than a millisecond must not spin.
    const auto milliseconds = absl::ToInt64Milliseconds(std::min(left, kSlice)) + 1;
    const int ready = poll(sockets->data(), sockets->size(), static_cast<int>(milliseconds));
    if (ready > 0) return true;
  }
  return false;
}

}  // namespace swarm::agent
