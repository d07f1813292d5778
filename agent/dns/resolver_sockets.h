// The sockets of a container's resolver, in the container's own network namespace.
//
//   ASSIGN_OR_RETURN(ResolverSockets sockets, OpenResolverSockets("/run/swarm/netns/<task id>"));
//   … its shim inherits both and keeps them open; the server reads them …
//   // the next agent, with the shim's (Runtime::KeptFd):
//   RETURN_IF_ERROR(RedirectToResolver(path, sockets));
//
// They are bound to 127.0.0.11 at a high port, so that the container can run a server of its own on
// 0.0.0.0:53; an nftables table `ip swarm_resolver` in that namespace turns port 53 of 127.0.0.11
// into it and back. It does so packet by packet, without connection tracking: no table that fills
// up, no entry that ends while a query waits for the next agent.
//
// Blocking: for a pool's thread, which is in the container's network namespace for a moment. Needs
// CAP_SYS_ADMIN and CAP_NET_ADMIN.
#ifndef SWARM_AGENT_DNS_RESOLVER_SOCKETS_H_
#define SWARM_AGENT_DNS_RESOLVER_SOCKETS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct ResolverSockets {
  UniqueFd udp;
  UniqueFd tcp;  // listens
};

// In a new namespace 0.2 ms. Brings `lo` up, too. After an error nothing is left but perhaps the
// table, which the next call puts right; so it does with another's sockets, which get no queries
// any more.
absl::StatusOr<ResolverSockets> OpenResolverSockets(const std::string& netns_path);

// Makes sure that port 53 leads to these sockets: for those that outlived an agent, or after
// somebody's flush. FailedPrecondition when they are not a resolver's. Up to 20 ms when there are
// rules already.
absl::Status RedirectToResolver(const std::string& netns_path, const ResolverSockets& sockets);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_RESOLVER_SOCKETS_H_
