#include "cli/output/networks.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "absl/strings/str_join.h"
#include "cli/output/json.h"
#include "cli/output/page.h"
#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// One line of `-p`: published ports that follow each other onto targets that do.
struct PortRange {
  uint32_t published = 0;
  uint32_t target = 0;
  v1::PortConfig::Protocol protocol = v1::PortConfig::PROTOCOL_TCP;
  uint32_t more = 0;  // ports after the first
};

v1::PortConfig::PublishMode WithDefault(v1::PortConfig::PublishMode mode) {
  return mode == v1::PortConfig::PUBLISH_MODE_HOST ? mode : v1::PortConfig::PUBLISH_MODE_INGRESS;
}

v1::PortConfig::Protocol WithDefault(v1::PortConfig::Protocol protocol) {
  return protocol == v1::PortConfig::PROTOCOL_UNSPECIFIED ? v1::PortConfig::PROTOCOL_TCP : protocol;
}

std::vector<PortRange> RangesOf(const Ports& ports, v1::PortConfig::PublishMode mode) {
  std::vector<PortRange> single;
  for (const v1::PortConfig& port : ports) {
    if (WithDefault(port.publish_mode()) != WithDefault(mode)) continue;
    single.push_back({port.published_port(), port.target_port(), WithDefault(port.protocol())});
  }
  std::sort(single.begin(), single.end(), [](const PortRange& a, const PortRange& b) {
    return std::tie(a.protocol, a.published, a.target) <
           std::tie(b.protocol, b.published, b.target);
  });
  std::vector<PortRange> ranges;
  for (const PortRange& port : single) {
    if (!ranges.empty()) {
      PortRange& last = ranges.back();
      const bool follows = last.protocol == port.protocol && last.published > 0 &&
                           port.published == last.published + last.more + 1 &&
                           port.target == last.target + last.more + 1;
      if (follows) {
        ++last.more;
        continue;
      }
    }
    ranges.push_back(port);
  }
  return ranges;
}

// "80" or "80-90"
std::string RangeWord(uint32_t first, uint32_t more) {
  return more == 0 ? StrCat(first) : StrCat(first, "-", first + more);
}

// The tasks of `service` that are to run and have an address in the network, by name.
std::vector<const v1::Task*> TasksOf(const v1::Service& service, const NetworkUsers& users) {
  std::vector<const v1::Task*> tasks;
  for (const v1::Task& task : users.tasks) {
    const bool counts = task.service_id() == service.id() && !IsTerminal(task.status().state());
    if (counts) tasks.push_back(&task);
  }
  std::sort(tasks.begin(), tasks.end(), [](const v1::Task* a, const v1::Task* b) {
    return std::make_tuple(a->slot(), TaskName(*a), a->id()) <
           std::make_tuple(b->slot(), TaskName(*b), b->id());
  });
  return tasks;
}

const v1::TaskNetwork* PlaceOf(const v1::Task& task, const v1::Network& network) {
  for (const v1::TaskNetwork& place : task.networks()) {
    if (place.network_id() == network.id()) return &place;
  }
  return nullptr;
}

std::string AddressOf(const v1::Task& task, const NetworkUsers& users) {
  const auto node = users.nodes.find(task.node_id());
  return node == users.nodes.end() ? "" : node->second.status().addr();
}

std::string HostnameOf(const v1::Task& task, const NetworkUsers& users) {
  const auto node = users.nodes.find(task.node_id());
  return node == users.nodes.end() ? task.node_id() : node->second.description().hostname();
}

// "10.0.1.5, fd00::5"
std::string Both(const std::string& v4, const std::string& v6) {
  return v4.empty() || v6.empty() ? StrCat(v4, v6) : StrCat(v4, ", ", v6);
}

std::string VirtualIp(const v1::Service& service, const v1::Network& network) {
  for (const v1::Endpoint::VirtualIp& vip : service.endpoint().virtual_ips()) {
    if (vip.network_id() == network.id()) return Both(vip.v4(), vip.v6());
  }
  return "";
}

std::vector<const v1::Service*> ByName(const NetworkUsers& users) {
  std::vector<const v1::Service*> services;
  for (const v1::Service& service : users.services) services.push_back(&service);
  std::sort(services.begin(), services.end(),
            [](const auto* a, const auto* b) { return a->spec().name() < b->spec().name(); });
  return services;
}

Json TaskJson(const v1::Task& task, const v1::Network& network, const NetworkUsers& users) {
  Json json;
  json["Name"] = StrCat(TaskName(task), ".", task.id());
  const v1::TaskNetwork* place = PlaceOf(task, network);
  json["EndpointIP"] = place == nullptr ? "" : place->v4().empty() ? place->v6() : place->v4();
  if (place != nullptr && !place->v4().empty()) PutText(json, "EndpointIPv6", place->v6());
  json["State"] = StateKey(task.status().state());
  json["Info"]["Host IP"] = AddressOf(task, users);
  json["Info"]["Node"] = HostnameOf(task, users);
  return json;
}

Json ServicesJson(const v1::Network& network, const NetworkUsers& users) {
  Json json = Json::object();
  for (const v1::Service* service : ByName(users)) {
    Json& one = json[service->spec().name()];
    one["VIP"] = VirtualIp(*service, network);
    one["Ports"] = Json::array();
    for (const v1::PortConfig& port : PortsOf(*service)) {
      one["Ports"].push_back(
          StrCat("Target: ", port.target_port(), ", Publish: ", port.published_port()));
    }
    one["Tasks"] = Json::array();
    for (const v1::Task* task : TasksOf(*service, users)) {
      one["Tasks"].push_back(TaskJson(*task, network, users));
    }
  }
  return json;
}

const google::protobuf::RepeatedPtrField<v1::IpamConfig>& IpamOf(const v1::Network& network) {
  return network.ipam().empty() ? network.spec().ipam() : network.ipam();
}

}  // namespace

std::string DriverWord(const v1::Network& network) {
  return network.spec().driver().empty() ? "overlay" : network.spec().driver();
}

std::string ScopeWord(const v1::Network& network) {
  return network.scope().empty() ? "swarm" : network.scope();
}

std::string ProtocolWord(v1::PortConfig::Protocol protocol) {
  switch (protocol) {
    case v1::PortConfig::PROTOCOL_UDP:
      return "udp";
    case v1::PortConfig::PROTOCOL_SCTP:
      return "sctp";
    default:
      return "tcp";
  }
}

std::string PublishModeWord(v1::PortConfig::PublishMode mode) {
  return mode == v1::PortConfig::PUBLISH_MODE_HOST ? "host" : "ingress";
}

std::string EndpointModeWord(v1::EndpointSpec::Mode mode) {
  return mode == v1::EndpointSpec::MODE_DNSRR ? "dnsrr" : "vip";
}

std::string PublishedPorts(const Ports& ports, v1::PortConfig::PublishMode mode) {
  std::vector<std::string> words;
  for (const PortRange& range : RangesOf(ports, mode)) {
    // Not decided yet: the manager picks one.
    const std::string published =
        range.published == 0 ? "?" : RangeWord(range.published, range.more);
    words.push_back(StrCat("*:", published, "->", RangeWord(range.target, range.more), "/",
                           ProtocolWord(range.protocol)));
  }
  return absl::StrJoin(words, ", ");
}

const Ports& PortsOf(const v1::Service& service) {
  return service.endpoint().ports().empty() ? service.spec().endpoint().ports()
                                            : service.endpoint().ports();
}

void SortForListing(std::vector<v1::Network>& networks) {
  std::sort(networks.begin(), networks.end(), [](const auto& a, const auto& b) {
    return std::tie(a.spec().name(), a.id()) < std::tie(b.spec().name(), b.id());
  });
}

Listing NetworkListing(std::vector<v1::Network> networks, bool whole_ids) {
  Listing listing({{"ID", "NETWORK ID"},
                   {"Name"},
                   {"Driver"},
                   {"Scope"},
                   {"CreatedAt", "", false},
                   {"IPv6", "", false},
                   {"Internal", "", false},
                   {"Labels", "", false}});
  SortForListing(networks);
  for (const v1::Network& network : networks) {
    const v1::NetworkSpec& spec = network.spec();
    const std::map<std::string, std::string> labels(spec.labels().begin(), spec.labels().end());
    listing.Add({ShortId(network.id(), whole_ids), spec.name(), DriverWord(network),
                 ScopeWord(network), Rfc3339(network.meta().created_at()),
                 spec.enable_ipv6() ? "true" : "false", spec.internal() ? "true" : "false",
                 absl::StrJoin(labels, ",", absl::PairFormatter("="))});
  }
  return listing;
}

JsonObject NetworkObject(const v1::Network& network, const NetworkUsers* users) {
  const v1::NetworkSpec& spec = network.spec();
  Json json;
  json["Name"] = spec.name();
  json["Id"] = network.id();
  json["Created"] = Rfc3339(network.meta().created_at());
  json["Scope"] = ScopeWord(network);
  json["Driver"] = DriverWord(network);
  json["EnableIPv6"] = spec.enable_ipv6();
  json["IPAM"]["Driver"] = "default";
  json["IPAM"]["Config"] = Json::array();
  for (const v1::IpamConfig& config : IpamOf(network)) {
    Json one;
    one["Subnet"] = config.subnet();
    PutText(one, "IPRange", config.ip_range());
    one["Gateway"] = config.gateway();
    if (!config.aux_addresses().empty()) one["AuxiliaryAddresses"] = Sorted(config.aux_addresses());
    json["IPAM"]["Config"].push_back(std::move(one));
  }
  json["Internal"] = spec.internal();
  json["Attachable"] = spec.attachable();
  json["Ingress"] = spec.ingress();
  json["Options"] = Sorted(spec.options());
  if (network.vni() > 0) json["VNI"] = network.vni();
  json["Labels"] = Sorted(spec.labels());
  if (users != nullptr) json["Services"] = ServicesJson(network, *users);
  return Object(std::move(json));
}

std::string PrettyNetwork(const v1::Network& network, const NetworkUsers* users) {
  const v1::NetworkSpec& spec = network.spec();
  Page page;
  page.Line("ID", network.id());
  page.Line("Name", spec.name());
  page.Map("Labels", spec.labels());
  page.Line("Driver", DriverWord(network));
  page.Line("Scope", ScopeWord(network));
  for (const v1::IpamConfig& config : IpamOf(network)) {
    page.Line("Subnet", config.subnet());
    page.Line("Gateway", config.gateway(), 1);
    if (!config.ip_range().empty()) page.Line("Range", config.ip_range(), 1);
    for (const auto& [name, address] : std::map<std::string, std::string>(
             config.aux_addresses().begin(), config.aux_addresses().end())) {
      page.Line("Kept Free", StrCat(address, " (", name, ")"), 1);
    }
  }
  page.Line("Internal", spec.internal() ? "true" : "false");
  page.Line("Ingress", spec.ingress() ? "true" : "false");
  page.Map("Options", spec.options());
  if (users == nullptr) return page.Take();
  page.Line("Services", users->services.empty() ? "none" : "");
  for (const v1::Service* service : ByName(*users)) {
    const std::string vip = VirtualIp(*service, network);
    page.Line(service->spec().name(), vip.empty() ? "no virtual address" : vip, 1);
    for (const v1::Task* task : TasksOf(*service, *users)) {
      const v1::TaskNetwork* place = PlaceOf(*task, network);
      page.Item(StrCat(TaskTitle(*task), ": ",
                       place == nullptr ? "no address yet" : Both(place->v4(), place->v6()), ", ",
                       StateKey(task->status().state()), " on ", HostnameOf(*task, *users)));
    }
  }
  return page.Take();
}

}  // namespace swarm::cli
