#include "manager/allocator/endpoint_planner.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

TaskAddress AddressOf(const v1::Endpoint::VirtualIp& ip) {
  return {Id::ParseOrZero(ip.network_id()), IpAddress::Parse(ip.v4()).value_or(IpAddress{}),
          IpAddress::Parse(ip.v6()).value_or(IpAddress{})};
}

bool Has(const v1::Endpoint& endpoint, const v1::Endpoint::VirtualIp& ip) {
  return std::any_of(endpoint.virtual_ips().begin(), endpoint.virtual_ips().end(),
                     [&](const auto& other) {
                       return other.network_id() == ip.network_id() && other.v4() == ip.v4() &&
                              other.v6() == ip.v6();
                     });
}

bool Has(const v1::Endpoint& endpoint, const Port& port) {
  return std::any_of(endpoint.ports().begin(), endpoint.ports().end(), [&](const auto& other) {
    return !IsHostPort(other) && PublishedOf(other) == port;
  });
}

// Networks that the service's tasks are in by its spec.
absl::StatusOr<std::vector<Id>> NetworksOf(const View& view, const v1::ServiceSpec& spec) {
  std::vector<Id> networks;
  for (const v1::NetworkAttachmentConfig& config : spec.task().networks()) {
    if (IsPredefinedNetwork(config.target())) continue;
    const Ref<Network> network = FindTarget(view, config.target());
    if (network == nullptr) {
      return absl::NotFoundError(StrCat("network ", config.target(), " not found"));
    }
    networks.push_back(Id::ParseOrZero(network->id()));
  }
  if (!HasIngressPorts(spec.endpoint())) return networks;
  const Ref<Network> ingress = FindIngress(view);
  if (ingress == nullptr) return absl::NotFoundError("there is no ingress network");
  networks.push_back(Id::ParseOrZero(ingress->id()));
  return networks;
}

bool HasTasksIn(const View& view, Id service, Id network) {
  bool found = false;
  view.EachTaskOfService(service, [&](const Ref<Task>& task) {
    found = HoldsAddresses(*task) &&
            std::any_of(task->addresses().begin(), task->addresses().end(),
                        [&](const TaskAddress& address) { return address.network == network; });
    return !found;
  });
  return found;
}

// The number that the service was given for a port like this one and that `taken` does not have.
uint32_t GivenBefore(const v1::Endpoint& endpoint, const v1::PortConfig& wanted,
                     const std::set<Port>& taken) {
  for (const v1::PortConfig& port : endpoint.ports()) {
    const bool given = port.published_port() >= EndpointPlanner::kFirstGivenPort &&
                       port.published_port() <= EndpointPlanner::kLastGivenPort;
    if (given && !IsHostPort(port) && ProtocolOf(port) == ProtocolOf(wanted) &&
        port.target_port() == wanted.target_port() && !taken.contains(PublishedOf(port))) {
      return port.published_port();
    }
  }
  return 0;
}

bool IsHostPortOfAnyone(const View& view, const Port& port) {
  bool found = false;
  view.EachService([&](const Ref<Service>& service) {
    const auto& ports = service->spec().endpoint().ports();
    found = std::any_of(ports.begin(), ports.end(), [&](const auto& other) {
      return IsHostPort(other) && PublishedOf(other) == port;
    });
    return !found;
  });
  return found;
}

}  // namespace

absl::StatusOr<v1::Endpoint> EndpointPlanner::Plan(const View& view, const Service& service,
                                                   absl::Duration now) {
  v1::Endpoint planned;
  absl::Status status = PlanAddresses(view, service, now, planned);
  if (status.ok()) status = PlanPorts(view, service, planned);
  if (status.ok()) return planned;
  Abandon(service, planned);
  return status;
}

absl::Status EndpointPlanner::PlanAddresses(const View& view, const Service& service,
                                            absl::Duration now, v1::Endpoint& planned) {
  ASSIGN_OR_RETURN(const std::vector<Id> networks, NetworksOf(view, service.spec()));
  if (!WantsVirtualAddresses(service.spec())) return absl::OkStatus();
  std::set<Id> missing;
  for (const Id network : networks) {
    // On a LAN nobody would answer for one: there the name stands for the tasks' addresses.
    if (!IsMacvlan(view.GetNetwork(network)->spec())) missing.insert(network);
  }
  const Id id = Id::ParseOrZero(service.id());
  for (const v1::Endpoint::VirtualIp& ip : service.endpoint().virtual_ips()) {
    const Id network = Id::ParseOrZero(ip.network_id());
    if (missing.erase(network) > 0 || HasTasksIn(view, id, network)) {
      *planned.add_virtual_ips() = ip;
    }
  }
  for (const Id network : networks) {
    if (missing.erase(network) == 0) continue;
    ASSIGN_OR_RETURN(const TaskAddress address, book_.Take(network, now));
    v1::Endpoint::VirtualIp& ip = *planned.add_virtual_ips();
    ip.set_network_id(network.ToString());
    ip.set_v4(address.v4.ToString());
    ip.set_v6(address.v6.ToString());
  }
  return absl::OkStatus();
}

absl::Status EndpointPlanner::PlanPorts(const View& view, const Service& service,
                                        v1::Endpoint& planned) {
  const Id id = Id::ParseOrZero(service.id());
  std::set<Port> said;
  for (const v1::PortConfig& port : service.spec().endpoint().ports()) {
    if (port.published_port() != 0) said.insert(PublishedOf(port));
  }
  for (const v1::PortConfig& wanted : service.spec().endpoint().ports()) {
    v1::PortConfig port = wanted;
    port.set_protocol(ProtocolOf(wanted));
    port.set_publish_mode(IsHostPort(wanted) ? v1::PortConfig::PUBLISH_MODE_HOST
                                             : v1::PortConfig::PUBLISH_MODE_INGRESS);
    if (!IsHostPort(port)) {
      if (port.published_port() == 0)
        port.set_published_port(GivenBefore(service.endpoint(), port, said));
      if (port.published_port() == 0) {
        ASSIGN_OR_RETURN(const uint32_t given, GivePort(view, port.protocol()));
        port.set_published_port(given);
      }
      said.insert(PublishedOf(port));
      const Id owner = ports_.try_emplace(PublishedOf(port), id).first->second;
      if (owner != id) {
        const Ref<Service> other = view.GetService(owner);
        return absl::FailedPreconditionError(
            StrCat("port ", PortName(PublishedOf(port)), " is published by service ",
                   other == nullptr ? owner.ToString() : other->spec().name()));
      }
    }
    *planned.add_ports() = std::move(port);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> EndpointPlanner::GivePort(const View& view,
                                                   v1::PortConfig::Protocol protocol) {
  constexpr uint32_t kCount = kLastGivenPort - kFirstGivenPort + 1;
  for (uint32_t i = 0; i < kCount; ++i) {
    const uint32_t number = kFirstGivenPort + (next_port_ - kFirstGivenPort + i) % kCount;
    const Port port{protocol, number};
    if (ports_.contains(port) || IsHostPortOfAnyone(view, port)) continue;
    next_port_ = number + 1;
    return number;
  }
  return absl::ResourceExhaustedError(StrCat("no port from ", kFirstGivenPort, " to ",
                                             kLastGivenPort, " is free: publish a number"));
}

void EndpointPlanner::Commit(const Service& before, const v1::Endpoint& planned,
                             absl::Duration now) {
  for (const v1::Endpoint::VirtualIp& ip : before.endpoint().virtual_ips()) {
    if (!Has(planned, ip)) book_.Release(AddressOf(ip), now);
  }
  const Id id = Id::ParseOrZero(before.id());
  for (const v1::PortConfig& port : before.endpoint().ports()) {
    if (IsHostPort(port) || Has(planned, PublishedOf(port))) continue;
    const auto owner = ports_.find(PublishedOf(port));
    if (owner != ports_.end() && owner->second == id) ports_.erase(owner);
  }
}

void EndpointPlanner::Abandon(const Service& before, const v1::Endpoint& planned) {
  for (const v1::Endpoint::VirtualIp& ip : planned.virtual_ips()) {
    if (!Has(before.endpoint(), ip)) book_.Return(AddressOf(ip));
  }
  const Id id = Id::ParseOrZero(before.id());
  for (const v1::PortConfig& port : planned.ports()) {
    if (IsHostPort(port) || Has(before.endpoint(), PublishedOf(port))) continue;
    const auto owner = ports_.find(PublishedOf(port));
    if (owner != ports_.end() && owner->second == id) ports_.erase(owner);
  }
}

void EndpointPlanner::Hold(const Service& service) {
  for (const v1::Endpoint::VirtualIp& ip : service.endpoint().virtual_ips()) {
    book_.Hold(AddressOf(ip));
  }
  for (const v1::PortConfig& port : service.endpoint().ports()) {
    if (!IsHostPort(port)) ports_.try_emplace(PublishedOf(port), Id::ParseOrZero(service.id()));
  }
}

void EndpointPlanner::Release(const Service& service, absl::Duration now) {
  Commit(service, v1::Endpoint(), now);
}

}  // namespace swarm::manager
