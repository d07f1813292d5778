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

// The link of a container that leads to the router, whatever the number of its networks there. Of
// one that has macvlan networks alone the first of those has the name.
inline constexpr char kContainerLink[] = "eth0";

struct AttachedAddress {
  IpAddress address;
  IpPrefix subnet;
  IpAddress gateway;     // of the subnet
  bool way_out = false;  // the network is not internal
  std::string macvlan;   // name of the link that has it; empty: the router's link
  friend bool operator==(const AttachedAddress&, const AttachedAddress&) = default;
};

// A link of a container of its own, on a link of the node.
struct MacvlanLink {
  std::string name;    // in the container
  std::string parent;  // in the host
  MacvlanMode mode = MacvlanMode::kBridge;
  MacAddress mac;  // made from its first address; of zeros: the parent's
  friend bool operator==(const MacvlanLink&, const MacvlanLink&) = default;
};

struct Attachment {
  std::string task_id;
  // In the order of the task's networks. None (driver none): the container has `lo` only.
  std::vector<AttachedAddress> addresses;
  bool tunnelled = false;  // in an overlay network: room for VXLAN's headers in each packet
  bool encrypted = false;  // one of them is encrypted: room for WireGuard's, too
  MacAddress mac;          // of the router's link, made from its first address
  std::vector<MacvlanLink> macvlans;
  // Whether it has a link to the router.
  bool is_routed() const;
  friend bool operator==(const Attachment&, const Attachment&) = default;
};

// Of a task that `state` names, in the order of `network_ids`: the default route goes by the first
// of them that is not internal (per family), so put the ingress network last. NotFound names the
// network or the task that is missing; FailedPrecondition a macvlan network without a parent link
// here; otherwise errors are those of CheckNetwork.
absl::StatusOr<Attachment> PlanAttachment(const NetworkState& state, const std::string& task_id,
                                          const std::vector<std::string>& network_ids,
                                          bool has_wireguard = false);

// FailedPrecondition, with the reason in words, for a network that this node must not carry: an
// encrypted one without WireGuard, since nothing of it ever goes in clear.
absl::Status CheckNetwork(const Network& network, bool has_wireguard);

// Its packets go through the router.
inline bool IsRouted(const Network& network) { return network.driver != NetworkDriver::kMacvlan; }

// Addresses, routes and neighbours in the container's namespace. On the router's link everything
// goes to the gateway, whose hardware address is known, so that nothing is ever asked for there. On
// a macvlan link neighbours are asked for as on any LAN. A container with more than one link
// answers by the one that it was asked by: what comes from an address goes by the table of its
// link.
NamespaceState PlanContainer(const Attachment& attachment);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_CONTAINER_PLAN_H_
