#include "manager/network_rules.h"

#include <algorithm>

#include "common/strings.h"

namespace swarm::manager {

std::string_view DriverOf(const v1::NetworkSpec& spec) {
  return spec.driver().empty() ? kOverlay : std::string_view(spec.driver());
}

bool IsEncrypted(const v1::NetworkSpec& spec) {
  const auto option = spec.options().find("encrypted");
  return IsOverlay(spec) && option != spec.options().end() && option->second != "false";
}

std::string ParentOf(const v1::NetworkSpec& spec, const NodeLabels& labels) {
  const auto label = spec.options().find("parent_label");
  if (label != spec.options().end()) {
    const auto value = labels.find(label->second);
    if (value != labels.end() && !value->second.empty()) return value->second;
  }
  const auto parent = spec.options().find("parent");
  return parent == spec.options().end() ? "" : parent->second;
}

std::string ParentFeature(std::string_view link) { return StrCat("macvlan:", link); }

bool HasParent(const v1::NodeDescription& node, std::string_view parent) {
  const auto has = [&](std::string_view link) {
    const auto& features = node.features();
    return !link.empty() &&
           std::find(features.begin(), features.end(), ParentFeature(link)) != features.end();
  };
  return has(parent) ||
         (parent.find('.') != parent.npos && has(parent.substr(0, parent.rfind('.'))));
}

IpPrefix SubnetOf(const Network& network, IpAddress::Family family) {
  for (const v1::IpamConfig& ipam : network.ipam()) {
    const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(ipam.subnet());
    if (subnet.ok() && subnet->base.family == family) return *subnet;
  }
  return {};
}

Ref<Network> FindIngress(const View& view) {
  Ref<Network> found;
  view.EachNetwork([&](const Ref<Network>& network) {
    if (network->spec().ingress()) found = network;
    return found == nullptr;
  });
  return found;
}

Ref<Network> FindTarget(const View& view, std::string_view target) {
  if (IsPredefinedNetwork(target)) return nullptr;
  if (Ref<Network> network = view.GetNetwork(Id::ParseOrZero(target))) return network;
  return view.GetNetworkByName(target);
}

v1::PortConfig::Protocol ProtocolOf(const v1::PortConfig& port) {
  return port.protocol() == v1::PortConfig::PROTOCOL_UNSPECIFIED ? v1::PortConfig::PROTOCOL_TCP
                                                                 : port.protocol();
}

std::string PortName(const Port& port) {
  const std::string_view protocol = port.first == v1::PortConfig::PROTOCOL_UDP    ? "udp"
                                    : port.first == v1::PortConfig::PROTOCOL_SCTP ? "sctp"
                                                                                  : "tcp";
  return StrCat(port.second, "/", protocol);
}

bool HasIngressPorts(const v1::EndpointSpec& endpoint) {
  return std::any_of(endpoint.ports().begin(), endpoint.ports().end(),
                     [](const v1::PortConfig& port) { return !IsHostPort(port); });
}

bool HasHostPorts(const v1::EndpointSpec& endpoint) {
  return std::any_of(endpoint.ports().begin(), endpoint.ports().end(), IsHostPort);
}

bool JoinsIngress(const v1::ServiceSpec& spec) {
  return HasIngressPorts(spec.endpoint()) ||
         (HasHostPorts(spec.endpoint()) && spec.task().networks_size() == 0);
}

bool JoinsIngress(const v1::Revision& revision) {
  return revision.joins_ingress() ||
         (revision.host_ports_size() > 0 && revision.task().networks_size() == 0);
}

void SetPorts(const v1::ServiceSpec& spec, v1::Revision& revision) {
  std::vector<v1::PortConfig> ports;
  for (const v1::PortConfig& port : spec.endpoint().ports()) {
    if (!IsHostPort(port)) continue;
    ports.push_back(port);
    ports.back().clear_name();
    ports.back().set_protocol(ProtocolOf(port));
  }
  std::sort(ports.begin(), ports.end(),
            [](const auto& a, const auto& b) { return PublishedOf(a) < PublishedOf(b); });
  revision.mutable_host_ports()->Assign(ports.begin(), ports.end());
  revision.set_joins_ingress(HasIngressPorts(spec.endpoint()));
}

bool SamePorts(const v1::Revision& a, const v1::Revision& b) {
  return a.joins_ingress() == b.joins_ingress() &&
         std::equal(a.host_ports().begin(), a.host_ports().end(), b.host_ports().begin(),
                    b.host_ports().end(), [](const auto& x, const auto& y) {
                      return PublishedOf(x) == PublishedOf(y) && x.target_port() == y.target_port();
                    });
}

}  // namespace swarm::manager
