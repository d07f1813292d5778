#include "manager/api/endpoint_validation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/ip_address.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"
#include "manager/api/network_validation.h"
#include "manager/network_rules.h"

namespace swarm::manager {
namespace {

constexpr int kMostNetworks = 32;
constexpr int kMostAliases = 64;
constexpr uint32_t kLastPort = 65'535;
constexpr int kMostHosts = 1'000;
constexpr int kMostNameservers = 8;
constexpr int kMostSearchDomains = 32;
constexpr size_t kLongestName = 253;

// "host" or "none" when the service stands on it, else empty.
std::string_view PredefinedOf(const v1::TaskSpec& task) {
  for (const v1::NetworkAttachmentConfig& network : task.networks()) {
    if (IsPredefinedNetwork(network.target())) return network.target();
  }
  return {};
}

absl::Status ValidateAttachment(const std::string& path, const v1::NetworkAttachmentConfig& config,
                                std::set<std::string>& seen) {
  if (config.target().empty()) return FieldError(path + ".target", "is empty");
  if (!seen.insert(config.target()).second) {
    return FieldError(path,
                      StrCat("network \"", absl::CEscape(config.target()), "\" is given twice"));
  }
  if (config.driver_options_size() > 0) {
    return FieldError(path + ".driver_options", "no driver here has options for one service");
  }
  if (IsPredefinedNetwork(config.target()) && config.aliases_size() > 0) {
    return FieldError(path + ".aliases",
                      StrCat("the network \"", config.target(), "\" has no names"));
  }
  if (config.aliases_size() > kMostAliases) {
    return FieldError(path + ".aliases", StrCat("are more than ", kMostAliases));
  }
  for (int i = 0; i < config.aliases_size(); ++i) {
    RETURN_IF_ERROR(ValidateDnsLabel(StrCat(path, ".aliases[", i, "]"), config.aliases(i)));
  }
  return absl::OkStatus();
}

absl::Status ValidateNetworks(const v1::TaskSpec& task) {
  if (task.networks_size() > kMostNetworks) {
    return FieldError("task.networks", StrCat("are more than ", kMostNetworks));
  }
  std::set<std::string> seen;
  for (int i = 0; i < task.networks_size(); ++i) {
    RETURN_IF_ERROR(ValidateAttachment(StrCat("task.networks[", i, "]"), task.networks(i), seen));
  }
  const std::string_view predefined = PredefinedOf(task);
  if (!predefined.empty() && task.networks_size() > 1) {
    return FieldError("task.networks", StrCat("the network \"", predefined, "\" stands alone"));
  }
  for (const auto& [key, value] : std::map<std::string, std::string>(
           task.container().sysctls().begin(), task.container().sysctls().end())) {
    if (predefined == kHostNetwork && key.compare(0, 4, "net.") == 0) {
      return FieldError(StrCat("task.container.sysctls[", key, "]"),
                        "would change the host, whose network the service uses");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidatePort(const std::string& path, const v1::PortConfig& port) {
  if (!v1::PortConfig::Protocol_IsValid(port.protocol())) {
    return FieldError(path + ".protocol", StrCat(port.protocol(), " is unknown"));
  }
  if (!v1::PortConfig::PublishMode_IsValid(port.publish_mode())) {
    return FieldError(path + ".publish_mode", StrCat(port.publish_mode(), " is unknown"));
  }
  if (port.target_port() == 0 || port.target_port() > kLastPort) {
    return FieldError(path + ".target_port",
                      StrCat(port.target_port(), " is not between 1 and ", kLastPort));
  }
  if (port.published_port() > kLastPort) {
    return FieldError(path + ".published_port",
                      StrCat(port.published_port(), " is not between 0 and ", kLastPort));
  }
  if (IsHostPort(port) && port.published_port() == 0) {
    return FieldError(path + ".published_port",
                      "a port of the node's choice is not built in host mode; give one");
  }
  return absl::OkStatus();
}

// Ports of a service that has no private network that they could lead to.
absl::Status ValidatePortOn(std::string_view predefined, const std::string& path,
                            const v1::PortConfig& port) {
  if (predefined.empty()) return absl::OkStatus();
  if (predefined == kNoNetwork) {
    return FieldError(path, "leads nowhere: the service is on the network \"none\"");
  }
  if (!IsHostPort(port)) {
    return FieldError(path,
                      "the service is on the host's network, which has no ports in ingress mode; "
                      "publish in host mode or join a network");
  }
  if (port.published_port() != port.target_port()) {
    return FieldError(path,
                      "the service is on the host's network: published and target port are one");
  }
  return absl::OkStatus();
}

absl::Status ValidateEndpoint(const v1::ServiceSpec& spec) {
  const v1::EndpointSpec& endpoint = spec.endpoint();
  if (!v1::EndpointSpec::Mode_IsValid(endpoint.mode())) {
    return FieldError("endpoint.mode", StrCat(endpoint.mode(), " is unknown; vip or dnsrr"));
  }
  const std::string_view predefined = PredefinedOf(spec.task());
  std::set<Port> seen;
  for (int i = 0; i < endpoint.ports_size(); ++i) {
    const v1::PortConfig& port = endpoint.ports(i);
    const std::string path = StrCat("endpoint.ports[", i, "]");
    RETURN_IF_ERROR(ValidatePort(path, port));
    RETURN_IF_ERROR(ValidatePortOn(predefined, path, port));
    if (port.published_port() != 0 && !seen.insert(PublishedOf(port)).second) {
      return FieldError(path, StrCat("port ", PortName(PublishedOf(port)),
                                     " is published twice by this service"));
    }
    if (!IsHostPort(port) && endpoint.mode() == v1::EndpointSpec::MODE_DNSRR) {
      return FieldError(path,
                        "a service in endpoint mode dnsrr has no ports in ingress mode; publish "
                        "in host mode, or use endpoint mode vip");
    }
  }
  return absl::OkStatus();
}

// Labels with dots between them; a dot at the end is fine.
absl::Status ValidateHostName(const std::string& path, std::string_view name) {
  std::string_view rest = name;
  if (!rest.empty() && rest.back() == '.') rest.remove_suffix(1);
  if (rest.empty() || rest.size() > kLongestName) {
    return FieldError(
        path, StrCat("\"", absl::CEscape(ToAbsl(name.substr(0, 64))), "\" is not a host name"));
  }
  for (const absl::string_view label : absl::StrSplit(ToAbsl(rest), '.')) {
    if (ValidateDnsLabel(path, ToStd(label)).ok()) continue;
    return FieldError(path, StrCat("\"", absl::CEscape(ToAbsl(name)), "\" is not a host name"));
  }
  return absl::OkStatus();
}

absl::Status ValidateDns(const v1::DnsConfig& dns) {
  if (dns.nameservers_size() > kMostNameservers) {
    return FieldError("task.container.dns.nameservers", StrCat("are more than ", kMostNameservers));
  }
  for (int i = 0; i < dns.nameservers_size(); ++i) {
    if (IpAddress::Parse(dns.nameservers(i)).ok()) continue;
    return FieldError(StrCat("task.container.dns.nameservers[", i, "]"),
                      StrCat("\"", absl::CEscape(dns.nameservers(i)), "\" is not an address"));
  }
  if (dns.search_size() > kMostSearchDomains) {
    return FieldError("task.container.dns.search", StrCat("are more than ", kMostSearchDomains));
  }
  for (int i = 0; i < dns.search_size(); ++i) {
    if (dns.search(i) == ".") continue;  // none at all, as in docker
    RETURN_IF_ERROR(ValidateHostName(StrCat("task.container.dns.search[", i, "]"), dns.search(i)));
  }
  for (int i = 0; i < dns.options_size(); ++i) {
    const std::string& option = dns.options(i);
    const bool good = !option.empty() && option.size() <= 64 &&
                      std::all_of(option.begin(), option.end(),
                                  [](unsigned char c) { return absl::ascii_isgraph(c); });
    if (good) continue;
    return FieldError(StrCat("task.container.dns.options[", i, "]"),
                      StrCat("\"", absl::CEscape(option.substr(0, 64)),
                             "\" is no option of resolv.conf, as timeout:3"));
  }
  return absl::OkStatus();
}

absl::Status CheckNetworks(const View& view, const v1::TaskSpec& task) {
  std::set<std::string> seen;
  for (int i = 0; i < task.networks_size(); ++i) {
    const std::string path = StrCat("task.networks[", i, "]");
    const std::string& target = task.networks(i).target();
    if (IsPredefinedNetwork(target)) continue;
    const Ref<Network> network = FindTarget(view, target);
    if (network == nullptr) {
      return FieldError(path, StrCat("network \"", absl::CEscape(target), "\" not found"));
    }
    if (network->spec().ingress()) {
      return FieldError(path, StrCat("the ingress network \"", network->spec().name(),
                                     "\" is joined by publishing a port"));
    }
    if (!seen.insert(network->id()).second) {
      return FieldError(path, StrCat("network \"", network->spec().name(), "\" is given twice"));
    }
  }
  return absl::OkStatus();
}

// In ingress mode a port is every node's, so it is one service's alone; in host mode several may
// have it, on different nodes.
const v1::PortConfig* FindConflict(const Service& other, const v1::PortConfig& port) {
  const auto clashes = [&](const v1::PortConfig& theirs) {
    return PublishedOf(theirs) == PublishedOf(port) && !(IsHostPort(theirs) && IsHostPort(port));
  };
  for (const auto* ports : {&other.spec().endpoint().ports(), &other.endpoint().ports()}) {
    const auto found = std::find_if(ports->begin(), ports->end(), clashes);
    if (found != ports->end()) return &*found;
  }
  return nullptr;
}

}  // namespace

absl::Status ValidateReach(const v1::ServiceSpec& spec) {
  RETURN_IF_ERROR(ValidateNetworks(spec.task()));
  return ValidateEndpoint(spec);
}

absl::Status ValidateNames(const v1::ContainerSpec& spec) {
  if (spec.hosts_size() > kMostHosts) {
    return FieldError("task.container.hosts", StrCat("are more than ", kMostHosts));
  }
  for (int i = 0; i < spec.hosts_size(); ++i) {
    const std::string path = StrCat("task.container.hosts[", i, "]");
    const std::vector<std::string> parts =
        absl::StrSplit(spec.hosts(i), absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (parts.size() < 2 || !IpAddress::Parse(parts[0]).ok()) {
      return FieldError(path, StrCat("\"", absl::CEscape(spec.hosts(i).substr(0, 64)),
                                     "\" is not an address and names, as in \"10.0.0.9 db\""));
    }
    for (size_t name = 1; name < parts.size(); ++name) {
      RETURN_IF_ERROR(ValidateHostName(path, parts[name]));
    }
  }
  return spec.has_dns() ? ValidateDns(spec.dns()) : absl::OkStatus();
}

// A port in host mode leads to an address in a network that is not internal, by way of the router.
absl::Status CheckWayIn(const View& view, const v1::ServiceSpec& spec) {
  if (!HasHostPorts(spec.endpoint()) || spec.task().networks_size() == 0) return absl::OkStatus();
  for (const v1::NetworkAttachmentConfig& config : spec.task().networks()) {
    const Ref<Network> network = FindTarget(view, config.target());
    if (network == nullptr) return absl::OkStatus();
    if (!network->spec().internal() && !IsMacvlan(network->spec())) return absl::OkStatus();
  }
  return FieldError("endpoint.ports",
                    "a port in host mode needs a network of driver overlay or bridge that is not "
                    "internal: join one more (on a macvlan network tasks are reached at their own "
                    "addresses)");
}

absl::Status CheckReach(const View& view, const v1::ServiceSpec& spec, Id self) {
  RETURN_IF_ERROR(CheckNetworks(view, spec.task()));
  RETURN_IF_ERROR(CheckWayIn(view, spec));
  return CheckPublishedPorts(view, spec.endpoint(), [self](const Service& other) {
    return Id::ParseOrZero(other.id()) == self;
  });
}

absl::Status CheckPublishedPorts(const View& view, const v1::EndpointSpec& endpoint,
                                 absl::FunctionRef<bool(const Service&)> gives_way) {
  if (endpoint.ports_size() == 0) return absl::OkStatus();
  absl::Status status;
  view.EachService([&](const Ref<Service>& other) {
    const bool has_none =
        other->spec().endpoint().ports_size() == 0 && other->endpoint().ports_size() == 0;
    // The ports of one that is being removed are waited for (the allocator says so meanwhile).
    if (has_none || other->removing() || gives_way(*other)) return true;
    for (int i = 0; i < endpoint.ports_size() && status.ok(); ++i) {
      const v1::PortConfig& port = endpoint.ports(i);
      if (port.published_port() == 0) continue;
      const v1::PortConfig* theirs = FindConflict(*other, port);
      if (theirs == nullptr) continue;
      status = FieldError(StrCat("endpoint.ports[", i, "]"),
                          StrCat("port ", PortName(PublishedOf(port)),
                                 " is published by service \"", other->spec().name(), "\" in ",
                                 IsHostPort(*theirs) ? "host" : "ingress", " mode"));
    }
    return status.ok();
  });
  return status;
}

}  // namespace swarm::manager
