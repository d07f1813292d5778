#include "cli/compose/network_reader.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "cli/compose/external.h"
#include "cli/compose/network_words.h"
#include "common/stack_label.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// "127.0.0.1:8080:80", or a map.
absl::StatusOr<std::vector<v1::PortConfig>> ReadPort(const Fields& port) {
  if (port.value()->IsScalar()) return ParseShortPorts(port.value()->text);
  PublishWords words;
  words.target = port.Text("target").value_or("");
  words.published = port.Text("published").value_or("");
  words.protocol = port.Text("protocol").value_or("");
  words.mode = port.Text("mode").value_or("");
  words.name = port.Text("name").value_or("");
  if (words.target.empty()) {
    return absl::InvalidArgumentError(
        "needs target, the port in the container, such as {target: 80, published: 8080}");
  }
  return MakePorts(words);
}

}  // namespace

// ------------------------------------------------------------------------- what services join

const Value* NetworkReader::Declared(std::string_view key) const {
  const Value* networks = root_.Find("networks");
  return networks == nullptr ? nullptr : networks->Find(key);
}

std::string NetworkReader::NameOf(const std::string& key) const {
  if (const Value* network = Declared(key)) {
    if (const auto external = ExternalName(key, *network)) return *external;
    const Value* name = network->Find("name");
    if (name != nullptr && name->IsScalar() && !name->text.empty()) return name->text;
  }
  return StrCat(options_.name, "_", key);
}

bool NetworkReader::IsHostOrNone(const std::string& key) const {
  const Value* network = Declared(key);
  if (network == nullptr) return false;
  const auto external = ExternalName(key, *network);
  return external && (*external == kHostNetwork || *external == kNoNetwork);
}

void NetworkReader::Join(const std::string& service, const std::string& key, const Fields& options,
                         v1::TaskSpec& task) {
  joined_.insert(key);
  v1::NetworkAttachmentConfig& network = *task.add_networks();
  network.set_target(NameOf(key));
  const std::vector<std::string> aliases = options.List("aliases");
  if (IsHostOrNone(key)) {
    if (aliases.empty()) return;
    problems_.Warn(options.Get("aliases")->Where(), options.Path("aliases"),
                   StrCat("has no meaning on the network ", network.target(), " and is left out"));
    return;
  }
  network.add_aliases(service);
  for (const std::string& alias : aliases) {
    const auto& all = network.aliases();
    if (std::find(all.begin(), all.end(), alias) == all.end()) network.add_aliases(alias);
  }
  for (const auto& [name, value] : options.Map("driver_opts")) {
    (*network.mutable_driver_options())[name] = value.value_or("");
  }
}

void NetworkReader::ReadJoins(const std::string& name, const Fields& service, v1::TaskSpec& task) {
  const Value* networks = service.Get("networks");
  const bool names_some = networks != nullptr && networks->IsMap() && !networks->entries.empty();
  if (const auto mode = service.Text("network_mode")) {
    if (*mode != kHostNetwork && *mode != kNoNetwork) {
      service.Refuse("network_mode",
                     StrCat("must be host or none, not ", *mode,
                            "; for what services reach each other by use ", "networks"));
    } else if (names_some) {
      service.Refuse("network_mode", StrCat(*mode, " stands alone; leave networks out"));
    }
    task.add_networks()->set_target(*mode);
    return;
  }
  const Fields all = service.Section("networks");
  if (!names_some) {
    const std::string key(kDefaultNetwork);
    return Join(name, key, all.Section(key), task);
  }
  for (const Entry& entry : networks->entries) {
    if (Declared(entry.key) == nullptr && entry.key != kDefaultNetwork) {
      problems_.Invalid(entry.Where(), service.Path("networks"),
                        StrCat("the network ", entry.key, " is not declared; declare it ",
                               "under the file's own networks:"));
      continue;
    }
    if (IsHostOrNone(entry.key) && networks->entries.size() > 1) {
      all.RefuseAt(
          entry, StrCat("the network ", NameOf(entry.key), " stands alone; leave the others out"));
    }
    Join(name, entry.key, all.Section(entry.key), task);
  }
  // As Docker: what stands first in the file makes no difference.
  std::sort(task.mutable_networks()->begin(), task.mutable_networks()->end(),
            [](const auto& a, const auto& b) { return a.target() < b.target(); });
}

// --------------------------------------------------------------------------- the file's networks

void NetworkReader::CheckExternal(const Entry& entry) {
  const Fields network(&entry.value, StrCat("networks.", entry.key), problems_);
  for (const Entry& key : entry.value.entries) {
    if (key.key == "external" || key.key == "name" || key.key.starts_with("x-")) continue;
    network.RefuseAt(key, "an external network is as it is; leave this out, or external");
  }
}

void NetworkReader::ReadIpam(const Fields& ipam, v1::NetworkSpec& spec) {
  const auto driver = ipam.Text("driver");
  if (driver && !driver->empty() && *driver != "default") {
    ipam.Refuse("driver", StrCat("must be default, since there is no other, not ", *driver));
  }
  IpamWriter writer(spec);
  const auto put = [](const Fields& config, std::string_view key, auto add) {
    const auto text = config.Text(key);
    if (!text) return;
    const absl::Status status = add(*text);
    if (!status.ok()) config.Refuse(key, StrCat(*text, " ", ToStd(status.message())));
  };
  for (const Fields& config : ipam.Items("config")) {
    if (!config.value()->IsMap()) continue;
    put(config, "subnet", [&](const std::string& text) { return writer.AddSubnet(text); });
    put(config, "ip_range", [&](const std::string& text) { return writer.AddRange(text); });
    put(config, "gateway", [&](const std::string& text) { return writer.AddGateway(text); });
    const Fields taken = config.Section("aux_addresses");
    for (const auto& [name, address] : config.Map("aux_addresses")) {
      put(taken, name,
          [&, &key = name](const std::string& text) { return writer.AddAuxiliary(key, text); });
    }
  }
}

v1::NetworkSpec NetworkReader::ReadNetwork(const std::string& key, const Value* value) {
  const Fields network(value, StrCat("networks.", key), problems_);
  v1::NetworkSpec spec;
  spec.set_name(NameOf(key));
  spec.set_driver(network.Text("driver").value_or("overlay"));
  for (const auto& [name, option] : network.Map("driver_opts")) {
    (*spec.mutable_options())[name] = option.value_or("");
  }
  // Files say 'yes' as well.
  const auto encrypted = spec.mutable_options()->find("encrypted");
  if (encrypted != spec.mutable_options()->end() && !encrypted->second.empty()) {
    const auto is_on = network.Section("driver_opts").Switch("encrypted");
    if (is_on) encrypted->second = *is_on ? "true" : "false";
  }
  spec.set_internal(network.Switch("internal").value_or(false));
  spec.set_attachable(network.Switch("attachable").value_or(false));
  ReadIpam(network.Section("ipam"), spec);
  const auto ipv6 = network.Switch("enable_ipv6");
  if (ipv6 == false && HasSubnetV6(spec)) {
    network.Refuse("enable_ipv6", "is false, and there is an IPv6 subnet; leave one of them out");
  }
  spec.set_enable_ipv6(ipv6.value_or(false) || HasSubnetV6(spec));
  if (network.Switch("enable_ipv4") == false) {
    network.Refuse("enable_ipv4", "a network without IPv4 is not built yet");
  }
  for (const auto& [name, label] : network.Map("labels")) {
    if (name == kNamespaceLabel) network.Refuse("labels", StrCat(kNamespaceLabel, " is reserved"));
    (*spec.mutable_labels())[name] = label.value_or("");
  }
  (*spec.mutable_labels())[std::string(kNamespaceLabel)] = options_.name;
  return spec;
}

void NetworkReader::Finish(Stack& stack) {
  const Value* networks = root_.Find("networks");
  const bool declares = networks != nullptr && networks->IsMap();
  for (size_t i = 0; declares && i < networks->entries.size(); ++i) {
    const Entry& entry = networks->entries[i];
    if (entry.key.starts_with("x-") || (!entry.value.IsMap() && !entry.value.IsNull())) continue;
    const bool joined = joined_.contains(entry.key);
    if (const auto external = ExternalName(entry.key, entry.value)) {
      CheckExternal(entry);
      if (joined && !IsHostOrNone(entry.key)) {
        stack.external_networks.push_back({entry.key, entry.Where(), *external});
      }
      continue;
    }
    if (const absl::Status status = CheckStackName(entry.key); !status.ok()) {
      problems_.Invalid(entry.Where(), StrCat("networks.", entry.key), ToStd(status.message()));
    }
    v1::NetworkSpec spec = ReadNetwork(entry.key, &entry.value);
    for (const StackNetwork& other : stack.networks) {
      if (!joined || other.spec.name() != spec.name()) continue;
      problems_.Invalid(entry.Where(), StrCat("networks.", entry.key),
                        StrCat("has the name ", spec.name(), ", as networks.", other.name,
                               "; leave one of them out"));
    }
    if (joined) stack.networks.push_back({entry.key, entry.Where(), std::move(spec)});
  }
  const std::string key(kDefaultNetwork);
  if (joined_.contains(key) && Declared(key) == nullptr) {
    stack.networks.push_back({key, "", ReadNetwork(key, nullptr)});
  }
}

// ------------------------------------------------------------------------- ports and look-ups

// In ingress mode a port is every node's, so it is one service's alone; in host mode several may
// have it, on different nodes. What a service publishes twice itself the manager says.
void NetworkReader::TakePort(const std::string& service, const Value& at, const std::string& path,
                             const v1::PortConfig& port) {
  if (port.published_port() == 0) return;
  const bool on_host = port.publish_mode() == v1::PortConfig::PUBLISH_MODE_HOST;
  const auto [it, first] = published_.try_emplace({port.protocol(), port.published_port()},
                                                  Publisher{service, at.Where(), on_host});
  const Publisher& other = it->second;
  if (first || other.service == service || (other.on_host && on_host)) return;
  problems_.Invalid(
      at.Where(), path,
      StrCat("port ", port.published_port(), " is published by services.", other.service, " too (",
             other.where, "); give one of them another port, or both mode: host"));
}

void NetworkReader::ReadEndpoint(const std::string& name, const Fields& service,
                                 v1::ServiceSpec& spec) {
  const auto mode = service.Section("deploy").With("endpoint_mode", ParseEndpointMode);
  if (mode) spec.mutable_endpoint()->set_mode(*mode);
  const std::vector<Fields> items = service.Items("ports");
  std::vector<v1::PortConfig> all;
  for (size_t i = 0; i < items.size(); ++i) {
    const Value& value = *items[i].value();
    if (!value.IsScalar() && !value.IsMap()) continue;  // told with the keys
    const std::string path = StrCat(service.Path("ports"), "[", i, "]");
    const absl::StatusOr<std::vector<v1::PortConfig>> ports = ReadPort(items[i]);
    if (!ports.ok()) {
      problems_.Invalid(value.Where(), path, ToStd(ports.status().message()));
      continue;
    }
    for (const v1::PortConfig& port : *ports) TakePort(name, value, path, port);
    const std::string address =
        value.IsScalar() ? HostAddressOf(value.text) : items[i].Text("host_ip").value_or("");
    if (!address.empty()) {
      problems_.Warn(value.Where(), path,
                     StrCat("is published on all addresses of a node: ", address,
                            " is left out, as Docker does"));
    }
    all.insert(all.end(), ports->begin(), ports->end());
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.published_port() < b.published_port();
  });
  for (v1::PortConfig& port : all) *spec.mutable_endpoint()->add_ports() = std::move(port);
}

namespace {

// Lines of /etc/hosts, from "db:10.0.0.9" or from a map of names to addresses.
void ReadHosts(const Fields& service, Problems& problems, v1::ContainerSpec& container) {
  const Value* hosts = service.Get("extra_hosts");
  if (hosts == nullptr) return;
  const auto add = [&](const Value& at, const std::string& path,
                       const absl::StatusOr<std::string>& line) {
    if (line.ok()) {
      container.add_hosts(*line);
    } else {
      problems.Invalid(at.Where(), path, ToStd(line.status().message()));
    }
  };
  const std::string path = service.Path("extra_hosts");
  if (!hosts->IsMap()) {
    for (const Value* text : service.Texts("extra_hosts")) add(*text, path, ParseHost(text->text));
    return;
  }
  const Fields all = service.Section("extra_hosts");
  std::vector<std::string> names;
  for (const Entry& entry : hosts->entries) names.push_back(entry.key);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    for (const Value* address : all.Texts(name)) {
      add(*address, all.Path(name), MakeHost(name, address->text));
    }
  }
}

}  // namespace

void ReadLookups(const Fields& service, Problems& problems, v1::ContainerSpec& container) {
  ReadHosts(service, problems, container);
  const auto read = [&](std::string_view key, auto parse, auto add) {
    for (const Value* text : service.Texts(key)) {
      const absl::StatusOr<std::string> word = parse(text->text);
      if (word.ok()) {
        add(*container.mutable_dns(), *word);
      } else {
        service.RefuseAt(key, *text, ToStd(word.status().message()));
      }
    }
  };
  read("dns", ParseAddress, [](auto& dns, auto& word) { dns.add_nameservers(word); });
  read("dns_search", ParseDnsWord, [](auto& dns, auto& word) { dns.add_search(word); });
  read("dns_opt", ParseDnsWord, [](auto& dns, auto& word) { dns.add_options(word); });
}

}  // namespace swarm::cli::compose
