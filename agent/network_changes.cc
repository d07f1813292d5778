#include "agent/network_changes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/strings.h"
#include "common/tls/x25519.h"

namespace swarm::agent {
namespace {

PortProtocol ProtocolOf(v1::PortConfig::Protocol protocol) {
  switch (protocol) {
    case v1::PortConfig::PROTOCOL_UDP:
      return PortProtocol::kUdp;
    case v1::PortConfig::PROTOCOL_SCTP:
      return PortProtocol::kSctp;
    default:
      return PortProtocol::kTcp;
  }
}

NetworkDriver DriverOf(const v1::NetworkSpec& spec) {
  if (spec.driver() == "bridge") return NetworkDriver::kBridge;
  return spec.driver() == "macvlan" ? NetworkDriver::kMacvlan : NetworkDriver::kOverlay;
}

std::string OptionOf(const v1::NetworkSpec& spec, const std::string& key) {
  const auto found = spec.options().find(key);
  return found == spec.options().end() ? "" : found->second;
}

MacvlanMode MacvlanModeOf(const std::string& word) {
  if (word == "private") return MacvlanMode::kPrivate;
  if (word == "vepa") return MacvlanMode::kVepa;
  return word == "passthru" ? MacvlanMode::kPassthru : MacvlanMode::kBridge;
}

// Collects the pieces; each of them is whole or left out.
class Translator {
 public:
  TranslatedChanges Take() { return std::move(out_); }

  void Put(const v1::NodeNetwork& from) {
    const v1::NetworkSpec& spec = from.network().spec();
    Network network;
    network.id = from.network().id();
    network.name = spec.name();
    network.driver = DriverOf(spec);
    network.vni = from.network().vni();
    network.internal = spec.internal();
    network.ingress = spec.ingress();
    const auto encrypted = spec.options().find("encrypted");
    network.encrypted = encrypted != spec.options().end() && encrypted->second != "false";
    network.parent = OptionOf(spec, "parent");
    network.macvlan_mode = MacvlanModeOf(OptionOf(spec, "macvlan_mode"));
    Begin("network", network.id);
    for (const v1::IpamConfig& ipam : from.network().ipam()) {
      auto prefix = IpPrefix::Parse(ipam.subnet());
      if (!prefix.ok()) Bad(prefix.status());
      network.subnets.push_back({prefix.value_or(IpPrefix()), Address(ipam.gateway())});
    }
    network.node_address = Address(from.node_address());
    if (End()) out_.update.put.networks[network.id] = std::move(network);
  }

  void Put(const v1::NetworkPeer& from) {
    Begin("peer", from.node_id());
    NetworkPeer peer{from.network_id(), from.node_id(), Address(from.underlay_addr()),
                     Address(from.node_address()), from.wireguard_key()};
    if (!peer.wireguard_key.empty() && peer.wireguard_key.size() != tls::kX25519KeyBytes) {
      Bad(absl::InvalidArgumentError("its WireGuard key is none"));
    }
    if (End()) out_.update.put.peers[peer.key()] = std::move(peer);
  }

  void Put(const v1::NetworkMember& from) {
    Begin("task", from.task_id());
    NetworkTask task;
    task.network_id = from.network_id();
    task.task_id = from.task_id();
    task.service_id = from.service_id();
    task.node_id = from.node_id();
    task.name = from.name();
    task.hostname = from.hostname();
    task.v4 = Address(from.v4());
    task.v6 = Address(from.v6());
    task.serving = from.serving();
    if (End()) out_.update.put.tasks[task.key()] = std::move(task);
  }

  void Put(const v1::NetworkEndpoint& from) {
    Begin("service", from.service_id());
    NetworkService service;
    service.network_id = from.network_id();
    service.service_id = from.service_id();
    service.name = from.name();
    service.aliases.assign(from.aliases().begin(), from.aliases().end());
    service.vip4 = Address(from.vip4());
    service.vip6 = Address(from.vip6());
    if (End()) out_.update.put.services[service.key()] = std::move(service);
  }

  void Put(const v1::IngressPort& from) {
    IngressPort port = Port(from);
    out_.update.put.ingress_ports[port.key()] = std::move(port);
  }

  static IngressPort Port(const v1::IngressPort& from) {
    IngressPort port;
    port.protocol = ProtocolOf(from.protocol());
    port.published = static_cast<uint16_t>(from.published_port());
    port.target = static_cast<uint16_t>(from.target_port());
    port.service_id = from.service_id();
    port.local_first = from.local_first();
    return port;
  }

  NetworkUpdate& update() { return out_.update; }

 private:
  void Begin(std::string_view what, const std::string& id) {
    what_ = StrCat(what, " ", id);
    why_.clear();
  }
  void Bad(const absl::Status& why) { why_ = ToStd(why.message()); }
  bool End() {
    if (why_.empty()) return true;
    out_.problems.push_back(StrCat(what_, ": ", why_));
    return false;
  }
  // Empty is none.
  IpAddress Address(const std::string& text) {
    if (text.empty()) return {};
    auto address = IpAddress::Parse(text);
    if (!address.ok()) Bad(address.status());
    return address.value_or(IpAddress());
  }

  TranslatedChanges out_;
  std::string what_;
  std::string why_;
};

template <typename Keys>
void PutKeys(const google::protobuf::RepeatedPtrField<v1::NetworkKey>& from, Keys& to) {
  for (const v1::NetworkKey& key : from) to.insert({key.network_id(), key.id()});
}

}  // namespace

TranslatedChanges Translate(const v1::NetworkChanges& changes) {
  Translator translator;
  for (const auto& network : changes.networks()) translator.Put(network);
  for (const auto& peer : changes.peers()) translator.Put(peer);
  for (const auto& member : changes.members()) translator.Put(member);
  for (const auto& endpoint : changes.endpoints()) translator.Put(endpoint);
  for (const auto& port : changes.ports()) translator.Put(port);
  NetworkUpdate& update = translator.update();
  update.gone_networks.insert(changes.removed_networks().begin(), changes.removed_networks().end());
  PutKeys(changes.removed_peers(), update.gone_peers);
  PutKeys(changes.removed_members(), update.gone_tasks);
  PutKeys(changes.removed_endpoints(), update.gone_services);
  for (const auto& port : changes.removed_ports()) {
    update.gone_ingress_ports.insert(Translator::Port(port).key());
  }
  return translator.Take();
}

std::tuple<PortProtocol, uint16_t> KeyOf(const v1::IngressPort& port) {
  return Translator::Port(port).key();
}

HostPort TranslateHostPort(const v1::PortConfig& port, const std::string& task_id) {
  return {ProtocolOf(port.protocol()), static_cast<uint16_t>(port.published_port()),
          static_cast<uint16_t>(port.target_port()), task_id};
}

}  // namespace swarm::agent
