// TCP connections to ports of this host, all of a round at the same time. What is opened is closed
// at once; nothing is sent by it.
//
//   const std::vector<ConnectionResult> results = TryConnections(probes, {}, env);
//
// Worker thread, in its own namespace; takes at most the patience.
#ifndef SWARM_AGENT_DOCTOR_CONNECTION_PROBE_H_
#define SWARM_AGENT_DOCTOR_CONNECTION_PROBE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "agent/doctor/probe_env.h"
#include "common/ip_address.h"

namespace swarm::agent {

struct ConnectionProbe {
  IpAddress to;
  uint16_t port = 0;
  int attempts = 1;
  friend bool operator==(const ConnectionProbe&, const ConnectionProbe&) = default;
};

struct ConnectionResult {
  int tried = 0;
  int connected = 0;
  int refused = 0;
  int unanswered = 0;
  std::string error;  // of those that failed in another way; the last one
};

struct ConnectionOptions {
  absl::Duration patience = absl::Milliseconds(1500);
};

std::vector<ConnectionResult> TryConnections(const std::vector<ConnectionProbe>& probes,
                                             const ConnectionOptions& options, const ProbeEnv& env);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_CONNECTION_PROBE_H_
