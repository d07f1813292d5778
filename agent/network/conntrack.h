// Connection tracking of one network namespace: forgets flows that lead to a task that is gone.
//
// TCP and SCTP notice by themselves (the router refuses them); a client that goes on sending UDP
// would keep its flow to the old address alive for ever, and never come to the tasks that serve
// now.
//
// Blocking: the kernel walks its table once for each call, some ms per 100,000 flows. One thread at
// a time.
#ifndef SWARM_AGENT_NETWORK_CONNTRACK_H_
#define SWARM_AGENT_NETWORK_CONNTRACK_H_

#include <set>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/netlink_socket.h"
#include "common/ip_address.h"

namespace swarm::agent {

class Conntrack {
 public:
  static absl::StatusOr<Conntrack> Open(const NetworkNamespace& space);

  // Flows but TCP's and SCTP's whose answers would come from one of `addresses`; the next packet of
  // each is a new flow.
  absl::Status Forget(const std::set<IpAddress>& addresses);

 private:
  explicit Conntrack(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_CONNTRACK_H_
