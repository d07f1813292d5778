#include "agent/network/container_plan.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

IpPrefix Only(const IpAddress& address) { return {.base = address, .length = address.width()}; }

IpPrefix Everything(IpAddress::Family family) {
  IpPrefix prefix;
  prefix.base.family = family;
  return prefix;
}

absl::Status AppendAddress(const Network& network, const IpAddress& address,
                           const std::string& macvlan, Attachment* attachment) {
  if (address.empty()) return absl::OkStatus();
  for (const Network::Subnet& subnet : network.subnets) {
    if (!subnet.prefix.Contains(address)) continue;
    attachment->addresses.push_back({.address = address,
                                     .subnet = subnet.prefix,
                                     .gateway = subnet.gateway,
                                     .way_out = !network.internal,
                                     .macvlan = macvlan});
    return absl::OkStatus();
  }
  return absl::NotFoundError(StrCat("address ", address.ToString(), " of task ",
                                    attachment->task_id, " lies in no subnet of network ",
                                    network.name));
}

// The container's next link, for a network that is not the router's.
absl::StatusOr<std::string> AppendMacvlan(const Network& network, const NetworkTask& task,
                                          size_t number, Attachment* attachment) {
  if (network.parent.empty()) {
    return absl::FailedPreconditionError(
        StrCat("network ", network.name,
               " names no parent link for this node: give the node the label that the network's "
               "option parent_label names, with a link as its value"));
  }
  MacvlanLink link{.name = StrCat("eth", number),
                   .parent = network.parent,
                   .mode = network.macvlan_mode,
                   .mac = MacAddress::Of(task.v4.empty() ? task.v6 : task.v4)};
  if (link.mode == MacvlanMode::kPassthru) link.mac = {};
  attachment->macvlans.push_back(link);
  return link.name;
}

// Routes by which packets from an address go out by its own link.
constexpr uint32_t kFirstLinkTable = 100;

uint32_t TableOf(const Attachment& attachment, const AttachedAddress& address) {
  uint32_t table = kFirstLinkTable;
  for (const MacvlanLink& link : attachment.macvlans) {
    ++table;
    if (link.name == address.macvlan) return table;
  }
  return kFirstLinkTable;
}

void PlanTable(const AttachedAddress& a, const std::string& link, uint32_t table,
               NamespaceState* state) {
  Route within{.link = link, .source = a.address};
  if (a.macvlan.empty()) within.via = a.gateway;
  state->routes[{table, a.subnet}] = within;
  // The first of its family stays.
  if (a.way_out) {
    state->routes.try_emplace({table, Everything(a.address.family)},
                              Route{.link = link, .via = a.gateway, .source = a.address});
  }
}

}  // namespace

bool Attachment::is_routed() const {
  return std::any_of(addresses.begin(), addresses.end(),
                     [](const AttachedAddress& a) { return a.macvlan.empty(); });
}

absl::Status CheckNetwork(const Network& network, bool has_wireguard) {
  if (!IsEncrypted(network) || has_wireguard) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("network ", network.name,
             " is encrypted and never goes in clear, and this node's kernel has no WireGuard: give "
             "it one that has (Linux 5.6 with CONFIG_WIREGUARD), or make the network without "
             "encryption"));
}

absl::StatusOr<Attachment> PlanAttachment(const NetworkState& state, const std::string& task_id,
                                          const std::vector<std::string>& network_ids,
                                          bool has_wireguard) {
  Attachment attachment{.task_id = task_id};
  // The router's link is eth0 when there is one.
  const bool routed = std::any_of(network_ids.begin(), network_ids.end(), [&](const auto& id) {
    const auto network = state.networks.find(id);
    return network != state.networks.end() && IsRouted(network->second);
  });
  for (const std::string& id : network_ids) {
    const auto network = state.networks.find(id);
    if (network == state.networks.end()) {
      return absl::NotFoundError(StrCat("this node was not told of network ", id));
    }
    RETURN_IF_ERROR(CheckNetwork(network->second, has_wireguard));
    const auto task = state.tasks.find({id, task_id});
    if (task == state.tasks.end()) {
      return absl::NotFoundError(
          StrCat("task ", task_id, " has no address in network ", network->second.name));
    }
    std::string macvlan;
    if (!IsRouted(network->second)) {
      const size_t number = attachment.macvlans.size() + (routed ? 1 : 0);
      ASSIGN_OR_RETURN(macvlan, AppendMacvlan(network->second, task->second, number, &attachment));
    }
    RETURN_IF_ERROR(AppendAddress(network->second, task->second.v4, macvlan, &attachment));
    RETURN_IF_ERROR(AppendAddress(network->second, task->second.v6, macvlan, &attachment));
    attachment.tunnelled |= network->second.driver == NetworkDriver::kOverlay;
    attachment.encrypted |= IsEncrypted(network->second);
  }
  for (const AttachedAddress& address : attachment.addresses) {
    if (!address.macvlan.empty()) continue;
    attachment.mac = MacAddress::Of(address.address);
    break;
  }
  return attachment;
}

NamespaceState PlanContainer(const Attachment& attachment) {
  NamespaceState state;
  const bool one_link = attachment.macvlans.size() + (attachment.is_routed() ? 1 : 0) == 1;
  for (const AttachedAddress& a : attachment.addresses) {
    const std::string link = a.macvlan.empty() ? kContainerLink : a.macvlan;
    state.addresses.insert({link, a.address, a.subnet.length});
    if (a.macvlan.empty()) {
      state.neighbours[{link, a.gateway}] = kRouterMac;
      state.routes[{kMainTable, Only(a.gateway)}] = {.link = link};
    }
    PlanTable(a, link, kMainTable, &state);
    if (one_link) continue;
    const uint32_t table = TableOf(attachment, a);
    PlanTable(a, link, table, &state);
    state.source_rules.insert({a.address, table});
  }
  return state;
}

}  // namespace swarm::agent
