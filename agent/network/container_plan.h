// The place of one container in its networks, and what it means for the container's own network
// namespace. Pure.
#ifndef SWARM_AGENT_NETWORK_CONTAINER_PLAN_H_
#define SWARM_AGENT_NETWORK_CONTAINER_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/namespace_state.h"
#include "agent/network/network_state.h"

namespace swarm::agent {

// The one link of a container, whatever the number of its networks.
inline constexpr char kContainerLink[] = "eth0";

struct AttachedAddress {
  IpAddress address;
  IpPrefix subnet;
  IpAddress gateway;     // of the subnet
  bool way_out = false;  // the network is not internal
  friend bool operator==(const AttachedAddress&, const AttachedAddress&) = default;
};

struct Attachment {
  std::string task_id;
  // In the order of the task's networks. None (driver none): the container has `lo` only.
  std::vector<AttachedAddress> addresses;
  bool tunnelled = false;  // in an overlay network: room for VXLAN's headers in each packet
  bool encrypted = false;  // one of them is encrypted: room for WireGuard's, too
  MacAddress mac;          // made from the first address
  friend bool operator==(const Attachment&, const Attachment&) = default;
};

// Of a task that `state` names, in the order of `network_ids`: the default route goes by the first
// of them that is not internal (per family), so put the ingress network last. NotFound names the
// network or the task that is missing; otherwise errors are those of CheckNetwork.
absl::StatusOr<Attachment> PlanAttachment(const NetworkState& state, const std::string& task_id,
                                          const std::vector<std::string>& network_ids,
                                          bool has_wireguard = false);

// FailedPrecondition, with the reason in words, for a network that this node must not carry: an
// encrypted one without WireGuard, since nothing of it ever goes in clear.
absl::Status CheckNetwork(const Network& network, bool has_wireguard);

// Addresses, routes and neighbours in the container's namespace: everything goes to the gateway,
// whose hardware address is known, so that nothing is ever asked for on the link.
NamespaceState PlanContainer(const Attachment& attachment);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_CONTAINER_PLAN_H_
