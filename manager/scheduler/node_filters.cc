#include "manager/scheduler/node_filters.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kNoSuitableNode = "no suitable node";

using Names = absl::btree_set<std::string>;

void AddShortages(const GroupDemand& demand, const NodeInfo& node, Names& names) {
  for (const std::string_view what : Shortages(demand.reservation, node.taken, node.capacity)) {
    if (!names.contains(ToAbsl(what))) names.emplace(what);
  }
}

std::string InsufficientResources(std::string_view on, const Names& short_of) {
  return StrCat("insufficient resources", on, " (", absl::StrJoin(short_of, ", "), ")");
}

void AddPortsInUse(const GroupDemand& demand, const NodeInfo& node, absl::btree_set<Port>& ports) {
  for (const Port& port : demand.host_ports) {
    if (node.HasPort(port)) ports.insert(port);
  }
}

std::string PortsInUse(std::string_view on, const absl::btree_set<Port>& ports) {
  const auto name = [](std::string* out, const Port& port) { *out += PortName(port); };
  return StrCat(ports.size() == 1 ? "host port " : "host ports ", absl::StrJoin(ports, ", ", name),
                " in use", on);
}

std::string WireguardMissing(const std::string& network, std::string_view of) {
  return StrCat("WireGuard, which the encrypted network \"", network,
                "\" needs, is missing in the kernel of ", of);
}

// "link eth1 of network lan"; empty: all are there.
std::string MissingParent(const GroupDemand& demand, const NodeInfo& node) {
  for (const Ref<Network>& network : demand.parented) {
    const std::string parent = ParentOf(network->spec(), node.node->spec().labels());
    if (HasParent(node.node->description(), parent)) continue;
    return StrCat("link ", parent.empty() ? "named" : parent, " for network ",
                  network->spec().name());
  }
  return "";
}

std::string DriverIsMissing(const std::string& driver, std::string_view on) {
  return StrCat("volume driver \"", driver, "\" is not", on);
}

std::string NameOf(const NodeInfo& node) {
  return node.subject.hostname.empty() ? node.subject.id : node.subject.hostname;
}

}  // namespace

std::string EncryptedNetworkOf(const Revision& revision, const View& view) {
  for (const v1::NetworkAttachmentConfig& config : revision.revision().task().networks()) {
    const Ref<Network> network = FindTarget(view, config.target());
    if (network != nullptr && IsEncrypted(network->spec())) return network->spec().name();
  }
  if (!JoinsIngress(revision.revision())) return "";
  const Ref<Network> ingress = FindIngress(view);
  return ingress != nullptr && IsEncrypted(ingress->spec()) ? ingress->spec().name() : "";
}

std::vector<Ref<Network>> ParentedNetworks(const Revision& revision, const View& view) {
  std::vector<Ref<Network>> parented;
  for (const v1::NetworkAttachmentConfig& config : revision.revision().task().networks()) {
    const Ref<Network> network = FindTarget(view, config.target());
    if (network != nullptr && IsMacvlan(network->spec())) parented.push_back(network);
  }
  return parented;
}

Filter FirstFailed(const GroupDemand& demand, const NodeInfo& node) {
  return node.takes_new_tasks ? FirstFailedOfAvailable(demand, node) : Filter::kAvailable;
}

Filter FirstFailedOfAvailable(const GroupDemand& demand, const NodeInfo& node) {
  if (!Fits(demand.reservation, node.taken, node.capacity)) return Filter::kResources;
  if (!demand.rules.BrokenConstraint(node.subject).empty()) return Filter::kConstraints;
  if (!demand.rules.PlatformMatches(node.node->description().platform())) return Filter::kPlatform;
  if (!demand.encrypted_network.empty() && !HasWireguard(*node.node)) return Filter::kEncryption;
  if (!MissingParent(demand, node).empty()) return Filter::kParentLinks;
  for (const Port& port : demand.host_ports) {
    if (node.HasPort(port)) return Filter::kHostPorts;
  }
  if (!demand.missing_driver.empty()) return Filter::kVolumeDriver;
  const uint64_t limit = demand.rules.max_replicas_per_node();
  if (limit > 0 && node.TasksOf(demand.key.service) >= limit) return Filter::kMaxReplicas;
  return Filter::kNone;
}

std::string ExplainRefusal(const GroupDemand& demand, const NodeInfo& node, Filter failed) {
  const std::string on = StrCat(" on node ", NameOf(node));
  std::string why;
  switch (failed) {
    case Filter::kAvailable:
      why = StrCat("node ", NameOf(node), " is not available for new tasks");
      break;
    case Filter::kResources: {
      Names short_of;
      AddShortages(demand, node, short_of);
      why = InsufficientResources(on, short_of);
      break;
    }
    case Filter::kConstraints:
      why = StrCat("scheduling constraints not satisfied", on, " (",
                   demand.rules.BrokenConstraint(node.subject), ")");
      break;
    case Filter::kPlatform:
      why = StrCat("unsupported platform", on);
      break;
    case Filter::kEncryption:
      why = WireguardMissing(demand.encrypted_network, StrCat("node ", NameOf(node)));
      break;
    case Filter::kParentLinks:
      why = StrCat("no ", MissingParent(demand, node), on);
      break;
    case Filter::kHostPorts: {
      absl::btree_set<Port> ports;
      AddPortsInUse(demand, node, ports);
      why = PortsInUse(on, ports);
      break;
    }
    case Filter::kVolumeDriver:
      why = DriverIsMissing(demand.missing_driver, on);
      break;
    case Filter::kMaxReplicas:
      why = StrCat("max replicas per node limit reached", on);
      break;
    case Filter::kNone:
      break;
  }
  return StrCat(kNoSuitableNode, " (", why, ")");
}

std::string ExplainAwaiting(const NodeInfo& node) {
  return StrCat(kNoSuitableNode, " (its volumes are on node ", NameOf(node),
                ", which has not come back since the manager started)");
}

std::string ExplainFollowing(const NodeInfo& node) {
  return StrCat(kNoSuitableNode, " (its volumes are on node ", NameOf(node),
                ", which takes it once the task before it has ended there)");
}

void Refusals::Add(const GroupDemand& demand, const NodeInfo& node, Filter failed) {
  ++nodes_[static_cast<size_t>(failed)];
  if (failed == Filter::kResources) AddShortages(demand, node, short_of_);
  if (failed == Filter::kVolumeDriver) missing_driver_ = demand.missing_driver;
  if (failed == Filter::kHostPorts) AddPortsInUse(demand, node, ports_in_use_);
  if (failed == Filter::kEncryption) encrypted_network_ = demand.encrypted_network;
  if (failed == Filter::kParentLinks) missing_links_.insert(MissingParent(demand, node));
}

std::string Refusals::Words(size_t filter) const {
  const uint32_t nodes = nodes_[filter];
  const std::string on = StrCat(" on ", nodes, nodes == 1 ? " node" : " nodes");
  switch (static_cast<Filter>(filter)) {
    case Filter::kAvailable:
      return StrCat(nodes, nodes == 1 ? " node" : " nodes", " not available for new tasks");
    case Filter::kResources:
      return InsufficientResources(on, short_of_);
    case Filter::kConstraints:
      return StrCat("scheduling constraints not satisfied", on);
    case Filter::kPlatform:
      return StrCat("unsupported platform", on);
    case Filter::kEncryption:
      return WireguardMissing(encrypted_network_, StrCat(nodes, nodes == 1 ? " node" : " nodes"));
    case Filter::kParentLinks:
      return StrCat("no ", absl::StrJoin(missing_links_, " nor "), on);
    case Filter::kHostPorts:
      return PortsInUse(on, ports_in_use_);
    case Filter::kVolumeDriver:
      return DriverIsMissing(missing_driver_, on);
    case Filter::kMaxReplicas:
      return StrCat("max replicas per node limit reached", on);
    case Filter::kNone:
      break;
  }
  return "";
}

std::string Refusals::Explain() const {
  std::array<size_t, static_cast<size_t>(Filter::kNone)> order;
  std::iota(order.begin(), order.end(), 0);
  // Most nodes first, as Swarm writes it; of equals the earlier filter.
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return nodes_[a] > nodes_[b]; });
  std::vector<std::string> reasons;
  for (const size_t filter : order) {
    if (nodes_[filter] > 0) reasons.push_back(Words(filter));
  }
  if (reasons.empty()) return std::string(kNoSuitableNode);
  return StrCat(kNoSuitableNode, " (", absl::StrJoin(reasons, "; "), ")");
}

}  // namespace swarm::manager
