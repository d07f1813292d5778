// Connection: TCP to a port of a container, out of its own network namespace, with one deadline for
// everything.
//
//   ASSIGN_OR_RETURN(Connection c, Connection::Open(runtime, id, target, limits));
//   RETURN_IF_ERROR(c.Write("GET / HTTP/1.1\r\n…"));
//   ASSIGN_OR_RETURN(size_t n, c.Read(buffer, sizeof buffer));   // 0: the other side has ended
//
// Blocking, for a pool's thread. Errors are words for people: DeadlineExceeded, Cancelled (the
// interrupt), Unavailable ("connection refused").
#ifndef SWARM_AGENT_HEALTH_CONNECTION_H_
#define SWARM_AGENT_HEALTH_CONNECTION_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/health/health_check.h"
#include "agent/runtime/runtime.h"
#include "common/clock.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// How long something on a pool may take. Borrows both.
struct ProbeLimits {
  const Clock& clock;
  absl::Duration deadline;  // monotonic
  int interrupt = -1;       // ends it when readable; -1: nothing does

  absl::Duration Left() const { return deadline - clock.MonotonicNow(); }
};

class Connection {
 public:
  // The first of the target's hosts that answers; the error is the first host's.
  static absl::StatusOr<Connection> Open(Runtime& runtime, const std::string& id,
                                         const ProbeTarget& target, const ProbeLimits& limits);

  absl::Status Write(absl::string_view bytes);
  absl::StatusOr<size_t> Read(char* buffer, size_t size);

 private:
  Connection(UniqueFd fd, const ProbeLimits& limits) : fd_(std::move(fd)), limits_(limits) {}
  absl::Status Await(short events);

  UniqueFd fd_;
  ProbeLimits limits_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HEALTH_CONNECTION_H_
