#include "agent/network/container_plan.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

IpPrefix Everything(IpAddress::Family family) {
  IpPrefix prefix;
  prefix.base.family = family;
  return prefix;
}

absl::Status AppendAddress(const Network& network, const IpAddress& address,
                           Attachment* attachment) {
  if (address.empty()) return absl::OkStatus();
  for (const Network::Subnet& subnet : network.subnets) {
    if (!subnet.prefix.Contains(address)) continue;
    attachment->addresses.push_back({.address = address,
                                     .subnet = subnet.prefix,
                                     .gateway = subnet.gateway,
                                     .way_out = !network.internal});
    return absl::OkStatus();
  }
  return absl::NotFoundError(StrCat("address ", address.ToString(), " of task ",
                                    attachment->task_id, " lies in no subnet of network ",
                                    network.name));
}

}  // namespace

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
    RETURN_IF_ERROR(AppendAddress(network->second, task->second.v4, &attachment));
    RETURN_IF_ERROR(AppendAddress(network->second, task->second.v6, &attachment));
    attachment.tunnelled |= network->second.driver == NetworkDriver::kOverlay;
    attachment.encrypted |= IsEncrypted(network->second);
  }
  if (!attachment.addresses.empty()) {
    attachment.mac = MacAddress::Of(attachment.addresses.front().address);
  }
  return attachment;
}

NamespaceState PlanContainer(const Attachment& attachment) {
  NamespaceState state;
  for (const AttachedAddress& a : attachment.addresses) {
    const IpPrefix gateway{.base = a.gateway, .length = a.gateway.width()};
    state.addresses.insert({kContainerLink, a.address, a.subnet.length});
    state.neighbours[{kContainerLink, a.gateway}] = kRouterMac;
    state.routes[{kMainTable, gateway}] = {.link = kContainerLink};
    state.routes[{kMainTable, a.subnet}] = {
        .link = kContainerLink, .via = a.gateway, .source = a.address};
    if (!a.way_out) continue;
    // The first of its family stays.
    state.routes.try_emplace({kMainTable, Everything(a.address.family)},
                             Route{.link = kContainerLink, .via = a.gateway, .source = a.address});
  }
  return state;
}

}  // namespace swarm::agent
