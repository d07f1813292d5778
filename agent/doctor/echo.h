// ICMP echoes out of network namespaces, all of a round at the same time.
//
//   const std::vector<EchoResult> results = RunEchoes(probes, {}, env);     // one for each probe
//
// A socket belongs to the namespace that it was opened in, so the calling thread is in each of them
// for a moment only, and then waits for all together: a round takes 0.1 s when all is well, and 1.1
// s whatever is lost (2.1 s in a node without room to send). What comes back is read between bursts
// of packets: thousands at once are not lost in this node. Worker thread; needs CAP_NET_RAW,
// CAP_NET_ADMIN and CAP_SYS_ADMIN; leaves nothing behind.
#ifndef SWARM_AGENT_DOCTOR_ECHO_H_
#define SWARM_AGENT_DOCTOR_ECHO_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/doctor/probe_env.h"
#include "common/ip_address.h"

namespace swarm::agent {

struct EchoProbe {
  std::string space;  // path of the namespace that sends; empty: the calling thread's own
  IpAddress from;     // of that namespace
  IpAddress to;
  // Packets as long as the kernel believes that the way takes (of the sending link; less when it
  // was told so), which may not be cut on the way. Else as short as can be.
  bool full_size = false;
  friend bool operator==(const EchoProbe&, const EchoProbe&) = default;
};

struct EchoResult {
  // Why nothing could be sent: the namespace is gone, no descriptor or no buffer is left. The rest
  // says nothing then.
  absl::Status status;
  int sent = 0;  // what found no room in this node is not
  int received = 0;
  int size = 0;               // of a packet, with its IP header
  absl::Duration round_trip;  // the shortest
  std::string refusal;        // what somebody said instead, in words; the last one
};

struct EchoOptions {
  // Each attempt with an identifier of its own: to a virtual address each is a new connection.
  int attempts = 3;
  absl::Duration gap = absl::Milliseconds(50);
  absl::Duration patience = absl::Seconds(1);  // after the last attempt
};

std::vector<EchoResult> RunEchoes(const std::vector<EchoProbe>& probes, const EchoOptions& options,
                                  const ProbeEnv& env);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_ECHO_H_
