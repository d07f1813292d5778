// What echoes go through. In the network namespace of the thread that calls.
#ifndef SWARM_AGENT_DOCTOR_ECHO_SOCKET_H_
#define SWARM_AGENT_DOCTOR_ECHO_SOCKET_H_

#include "absl/status/statusor.h"
#include "common/ip_address.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// A raw socket that does not block and cuts no packet, here or on the way. It has room for
// thousands of them, and gets only what ParseEchoAnswer knows. Needs CAP_NET_RAW.
absl::StatusOr<UniqueFd> OpenEchoSocket(IpAddress::Family family);

// In bytes: what the kernel believes that the way takes. Sends nothing.
absl::StatusOr<int> MtuTowards(const IpAddress& from, const IpAddress& to);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_ECHO_SOCKET_H_
