// What networks, ports and the places of tasks in networks mean, as values: shared by the rooms
// that decide by it (api, allocator, scheduler, dispatcher), which never call each other. Pure, but
// for what is asked of a View (loop thread).
#ifndef SWARM_MANAGER_NETWORK_RULES_H_
#define SWARM_MANAGER_NETWORK_RULES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ip_address.h"
#include "manager/store/store.h"

namespace swarm::manager {

// Networks that every node has, that nobody makes and nothing is given on: "host" is the node's
// own, "none" has loopback alone.
inline constexpr std::string_view kHostNetwork = "host";
inline constexpr std::string_view kNoNetwork = "none";
inline bool IsPredefinedNetwork(std::string_view target) {
  return target == kHostNetwork || target == kNoNetwork;
}
// The network that carries ports in ingress mode, when the manager makes it.
inline constexpr std::string_view kIngressName = "ingress";

inline constexpr std::string_view kOverlay = "overlay";
inline constexpr std::string_view kBridge = "bridge";
inline constexpr std::string_view kMacvlan = "macvlan";
// The driver that a spec means.
std::string_view DriverOf(const v1::NetworkSpec& spec);
// It reaches from node to node, over VXLAN.
inline bool IsOverlay(const v1::NetworkSpec& spec) { return DriverOf(spec) == kOverlay; }
// Between nodes it goes by WireGuard only.
bool IsEncrypted(const v1::NetworkSpec& spec);
// What a node must have to take part in such a network.
inline bool HasWireguard(const Node& node) { return !node.description().wireguard_key().empty(); }

// Containers stand straight on a link of their node, in the LAN that it is in: no virtual addresses
// are there, and no way from published ports.
inline bool IsMacvlan(const v1::NetworkSpec& spec) { return DriverOf(spec) == kMacvlan; }
// Tasks on different nodes reach each other by it.
inline bool SpansNodes(const v1::NetworkSpec& spec) { return IsOverlay(spec) || IsMacvlan(spec); }
// The link of a macvlan network on a node with these labels: what the label that the option
// "parent_label" names has as its value, else the option "parent"; empty: it has none there.
using NodeLabels = google::protobuf::Map<std::string, std::string>;
std::string ParentOf(const v1::NetworkSpec& spec, const NodeLabels& labels);
// In NodeDescription.features of a node that has such a link.
std::string ParentFeature(std::string_view link);
// The node has the parent, or what a VLAN "eth0.50" is made on.
bool HasParent(const v1::NodeDescription& node, std::string_view parent);

// Its subnet of that family, as allocated; empty: none.
IpPrefix SubnetOf(const Network& network, IpAddress::Family family);

// Null: there is none now.
Ref<Network> FindIngress(const View& view);
// By a target as service specs have it: an id or a name. Null when there is none, and for the
// predefined ones.
Ref<Network> FindTarget(const View& view, std::string_view target);

// ------------------------------------------------------------------------------------------- ports

using Port = std::pair<v1::PortConfig::Protocol, uint32_t>;  // never UNSPECIFIED; as published

v1::PortConfig::Protocol ProtocolOf(const v1::PortConfig& port);
inline Port PublishedOf(const v1::PortConfig& port) {
  return {ProtocolOf(port), port.published_port()};
}
inline bool IsHostPort(const v1::PortConfig& port) {
  return port.publish_mode() == v1::PortConfig::PUBLISH_MODE_HOST;
}
std::string PortName(const Port& port);  // "8080/tcp"
bool HasIngressPorts(const v1::EndpointSpec& endpoint);
bool HasHostPorts(const v1::EndpointSpec& endpoint);
// Its tasks are on the ingress network: for ports in ingress mode, or because ports in host mode
// need some network and the service names none.
bool JoinsIngress(const v1::ServiceSpec& spec);
bool JoinsIngress(const v1::Revision& revision);

// What of an endpoint its tasks must know, so that a change of it makes a new revision: host ports
// (without their names, in order), and whether there are ingress ports.
void SetPorts(const v1::ServiceSpec& spec, v1::Revision& revision);
bool SamePorts(const v1::Revision& a, const v1::Revision& b);

// ------------------------------------------------------------------------------- tasks in networks

// Its name stands for one address; else for the addresses of its tasks.
inline bool WantsVirtualAddresses(const v1::ServiceSpec& spec) {
  return spec.endpoint().mode() != v1::EndpointSpec::MODE_DNSRR;
}
// The task holds its addresses: nobody else may have them.
inline bool HoldsAddresses(const Task& task) {
  return !task.gone && !IsTerminal(task.state) && !task.addresses().empty();
}
// In names and behind virtual addresses, if its node is there.
inline bool IsServing(const Task& task) {
  return task.state == TaskState::kRunning &&
         (task.desired == TaskState::kRunning || task.desired == TaskState::kComplete);
}

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_NETWORK_RULES_H_
