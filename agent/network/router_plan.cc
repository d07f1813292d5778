#include "agent/network/router_plan.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

using Family = IpAddress::Family;
constexpr Family kFamilies[] = {Family::kV4, Family::kV6};

std::string_view Digit(Family family) { return family == Family::kV4 ? "4" : "6"; }
std::string_view DnatTo(Family family) {
  return family == Family::kV4 ? "dnat ip to" : "dnat ip6 to";
}

std::string_view ProtocolName(PortProtocol protocol) {
  switch (protocol) {
    case PortProtocol::kTcp:
      return "tcp";
    case PortProtocol::kUdp:
      return "udp";
    case PortProtocol::kSctp:
      return "sctp";
  }
  return "";
}

IpPrefix Only(const IpAddress& address) { return {.base = address, .length = address.width()}; }

IpPrefix Everything(Family family) {
  IpPrefix prefix;
  prefix.base.family = family;
  return prefix;
}

// A name in nft holds no colons.
std::string VipChain(const IpAddress& vip) {
  if (vip.is_v4()) return StrCat("vip_", vip.ToString());
  std::string name = "vip_";
  for (const uint8_t byte : vip.bytes) absl::StrAppendFormat(&name, "%02x", byte);
  return name;
}

const Network::Subnet* SubnetOf(const Network& network, Family family) {
  for (const Network::Subnet& subnet : network.subnets) {
    if (subnet.prefix.base.family == family) return &subnet;
  }
  return nullptr;
}

const IpAddress& AddressOf(const NetworkTask& task, Family family) {
  return family == Family::kV4 ? task.v4 : task.v6;
}

bool IsTunnelled(const Network& network) {
  return network.driver == NetworkDriver::kOverlay && network.vni != 0;
}

// What a node's end of the network's VXLAN link is named by; all nodes work out the same. On an
// encrypted network and on the ingress network it is what the manager keeps unique: the underlay is
// what an agent said of itself, and two may say the same.
IpAddress EndOf(const Network& network, const std::string& node_id, const IpAddress& node_address,
                const IpAddress& underlay) {
  if (IsEncrypted(network)) return InnerAddress(node_id);
  return network.ingress && !node_address.empty() ? node_address : underlay;
}

IpAddress EndOf(const Network& network, const NetworkPeer& peer) {
  return EndOf(network, peer.node_id, peer.node_address, peer.underlay);
}

// The peer's address on the network's VXLAN link, as routes name it; IPv4 goes by an IPv6 hop where
// its end is named by IPv6.
IpAddress NextHop(const Network& network, const NetworkPeer& peer, Family family) {
  const IpAddress end = EndOf(network, peer);
  return family == Family::kV4 && end.is_v4() ? end : MacAddress::Of(end).LinkLocal();
}

}  // namespace

void RouterState::Add(const RouterState& other) {
  router.Add(other.router);
  tunnel.Add(other.tunnel);
  router_table.Add(other.router_table);
  host_table.Add(other.host_table);
  forward4 |= other.forward4;
  forward6 |= other.forward6;
}

uint32_t EntranceMark(const NetworkPeer& peer) {
  const IpAddress& address = peer.node_address.empty() ? peer.underlay : peer.node_address;
  uint32_t low = 0;  // of addresses of one subnet the low bits differ
  for (const char byte : address.ToBytes()) low = low << 8 | static_cast<uint8_t>(byte);
  return 0x53000000 | (low & 0xffffff);
}

// A changed rule begins to count at its first element again; where that lies in the list depends on
// the list, so that a service which changes all the time does not give all to one task.
std::string BalanceRule(std::string_view nat, const std::vector<IpAddress>& backends,
                        uint16_t port) {
  const std::string suffix = port == 0 ? "" : StrCat(":", port);
  if (backends.size() == 1) {
    const IpAddress& only = backends.front();
    return only.is_v6() && port != 0 ? StrCat(nat, " [", only.ToString(), "]", suffix)
                                     : StrCat(nat, " ", only.ToString(), suffix);
  }
  std::string all;
  for (const IpAddress& backend : backends) StrAppend(&all, backend.ToString(), " ");
  const size_t first = StableHash(all) % backends.size();
  std::string rule = StrCat(nat, " numgen inc mod ", backends.size(), " map { ");
  for (size_t i = 0; i < backends.size(); ++i) {
    StrAppend(&rule, i == 0 ? "" : ", ", i, " : ",
              backends[(first + i) % backends.size()].ToString());
  }
  return StrCat(rule, " }", suffix);
}

const Network* RouterPlanner::FindNetwork(const std::string& id) const {
  const auto found = state_.networks.find(id);
  const bool carried = found != state_.networks.end() && IsRouted(found->second) &&
                       CheckNetwork(found->second, facts_.HasWireguard()).ok();
  return carried ? &found->second : nullptr;
}

const NetworkPeer* RouterPlanner::FindPeer(const std::string& network_id,
                                           const std::string& node_id) const {
  const Network* network = FindNetwork(network_id);
  const auto peer = state_.peers.find({network_id, node_id});
  if (network == nullptr || !IsTunnelled(*network) || peer == state_.peers.end()) return nullptr;
  if (IsEncrypted(*network) && peer->second.wireguard_key.empty()) return nullptr;
  return peer->second.underlay.empty() ? nullptr : &peer->second;
}

std::vector<const NetworkTask*> RouterPlanner::Serving(const std::string& network_id,
                                                       const std::string& service_id) const {
  std::vector<const NetworkTask*> serving;
  const auto ids = tasks_of_service_.find({network_id, service_id});
  if (ids == tasks_of_service_.end()) return serving;
  for (const std::string& id : ids->second) {
    const NetworkTask& task = state_.tasks.at({network_id, id});
    if (task.serving) serving.push_back(&task);
  }
  return serving;
}

std::vector<IpAddress> RouterPlanner::IngressBackends(const IngressPort& port,
                                                      Family family) const {
  std::vector<IpAddress> all, local;
  for (const std::string& network_id : ingress_networks_) {
    if (FindNetwork(network_id) == nullptr) continue;
    for (const NetworkTask* task : Serving(network_id, port.service_id)) {
      const IpAddress& address = AddressOf(*task, family);
      if (address.empty()) continue;
      all.push_back(address);
      if (task->node_id == facts_.node_id) local.push_back(address);
    }
  }
  return port.local_first && !local.empty() ? local : all;
}

// Any network with a way out will do: all of a container's addresses are on one link.
IpAddress RouterPlanner::HostPortBackend(const HostPort& port, Family family) const {
  const auto networks = networks_of_task_.find(port.task_id);
  if (networks == networks_of_task_.end()) return {};
  for (const std::string& network_id : networks->second) {
    const Network* network = FindNetwork(network_id);
    const NetworkTask& task = state_.tasks.at({network_id, port.task_id});
    if (network == nullptr || network->internal || task.node_id != facts_.node_id) continue;
    if (!AddressOf(task, family).empty()) return AddressOf(task, family);
  }
  return {};
}

RouterState RouterPlanner::OfNetwork(const Network& network) const {
  RouterState out;
  auto& sets = out.router_table.elements;
  const std::string link = VxlanLinkName(network.vni);
  if (IsTunnelled(network)) {
    const bool has_v6 = SubnetOf(network, Family::kV6) != nullptr;
    out.router.vxlans[link] = {
        .vni = network.vni,
        .port = facts_.vxlan_port,
        .local = IsEncrypted(network) ? InnerAddress(facts_.node_id) : facts_.underlay,
        .mac =
            MacAddress::Of(EndOf(network, facts_.node_id, network.node_address, facts_.underlay)),
        .mtu = IsEncrypted(network) ? facts_.EncryptedMtu(has_v6) : facts_.OverlayMtu(has_v6)};
    if (network.ingress) sets["ingress_links"][StrCat("\"", link, "\"")] = "";
  }
  for (const Network::Subnet& subnet : network.subnets) {
    const std::string digit(Digit(subnet.prefix.base.family));
    const std::string prefix = subnet.prefix.ToString();
    out.router.addresses.insert({"lo", subnet.gateway, subnet.gateway.width()});
    sets["subnets" + digit][prefix] = "";
    sets["gateways" + digit][prefix] = subnet.gateway.ToString();
    if (!network.internal) sets["outward" + digit][prefix] = "";
    if (network.ingress) {
      // Tasks of two services meet here that may share no other network: nothing goes within.
      sets["ingress" + digit][prefix] = "";
      continue;
    }
    sets["within" + digit][StrCat(prefix, " . ", prefix)] = "";
    if (IsTunnelled(network)) {
      sets["overlay" + digit][StrCat("\"", link, "\" . ", prefix)] = "";
    }
  }
  return out;
}

RouterState RouterPlanner::OfPeer(const NetworkPeer& peer) const {
  RouterState out;
  if (FindPeer(peer.network_id, peer.node_id) == nullptr) return out;
  const Network* network = FindNetwork(peer.network_id);
  const std::string link = VxlanLinkName(network->vni);
  const MacAddress mac = MacAddress::Of(EndOf(*network, peer));
  out.router.forwarding[{link, mac}] =
      IsEncrypted(*network) ? InnerAddress(peer.node_id) : peer.underlay;
  const uint32_t mark = EntranceMark(peer);
  for (const Family family : kFamilies) {
    const Network::Subnet* subnet = SubnetOf(*network, family);
    if (subnet == nullptr) continue;
    const IpAddress hop = NextHop(*network, peer, family);
    out.router.neighbours[{link, hop}] = mac;
    if (!network->ingress) continue;
    out.router.rules.insert({family, mark});
    out.router.routes[{mark, Everything(family)}] = {
        .link = link, .via = hop, .source = subnet->gateway};
    out.router_table.elements["entrances"][mac.ToString()] = absl::StrFormat("0x%08x", mark);
  }
  return out;
}

RouterState RouterPlanner::OfTask(const NetworkTask& task) const {
  RouterState out;
  const Network* network = FindNetwork(task.network_id);
  const NetworkPeer* peer = FindPeer(task.network_id, task.node_id);
  if (peer == nullptr || task.node_id == facts_.node_id) return out;
  for (const Family family : kFamilies) {
    const IpAddress& address = AddressOf(task, family);
    const Network::Subnet* subnet = SubnetOf(*network, family);
    if (address.empty() || subnet == nullptr) continue;
    out.router.routes[{kMainTable, Only(address)}] = {.link = VxlanLinkName(network->vni),
                                                      .via = NextHop(*network, *peer, family),
                                                      .source = subnet->gateway};
  }
  return out;
}

RouterState RouterPlanner::OfService(const NetworkService& service) const {
  RouterState out;
  if (FindNetwork(service.network_id) == nullptr) return out;
  const auto serving = Serving(service.network_id, service.service_id);
  for (const Family family : kFamilies) {
    const IpAddress& vip = family == Family::kV4 ? service.vip4 : service.vip6;
    std::vector<IpAddress> backends;
    for (const NetworkTask* task : serving) {
      const IpAddress& address = AddressOf(*task, family);
      if (!address.empty()) backends.push_back(address);
    }
    // Without any, no link leads to the address, and whoever tries is told at once.
    if (vip.empty() || backends.empty()) continue;
    const std::string chain = VipChain(vip);
    out.router_table.elements[StrCat("vips", Digit(family))][vip.ToString()] =
        StrCat("goto ", chain);
    out.router_table.chains[chain] = {BalanceRule(DnatTo(family), backends, 0)};
  }
  return out;
}

RouterState RouterPlanner::OfPort(const PortKey& key) const {
  RouterState out;
  const auto ingress = state_.ingress_ports.find(key);
  const auto host = state_.host_ports.find(key);
  const std::string_view protocol = ProtocolName(std::get<0>(key));
  const std::string element = StrCat(protocol, " . ", std::get<1>(key));
  for (const Family family : kFamilies) {
    std::vector<IpAddress> backends;
    bool published = false;  // the family is there at all, whether or not a task is
    uint16_t target = 0;
    if (ingress != state_.ingress_ports.end()) {
      backends = IngressBackends(ingress->second, family);
      target = ingress->second.target;
      for (const std::string& id : ingress_networks_) {
        const Network* network = FindNetwork(id);
        published |= network != nullptr && SubnetOf(*network, family) != nullptr;
      }
    } else if (host != state_.host_ports.end()) {
      const IpAddress backend = HostPortBackend(host->second, family);
      target = host->second.target;
      published = !backend.empty();
      if (published) backends.push_back(backend);
    }
    if (!published) continue;
    (family == Family::kV4 ? out.forward4 : out.forward6) = true;
    const std::string set = StrCat("ports", Digit(family));
    out.host_table.elements[set][element] = "";
    if (backends.empty()) continue;  // the router refuses
    const std::string chain = StrCat("port", Digit(family), "_", protocol, "_", std::get<1>(key));
    out.router_table.elements[set][element] = StrCat("goto ", chain);
    out.router_table.chains[chain] = {
        StrCat("meta l4proto ", protocol, " ", BalanceRule(DnatTo(family), backends, target))};
  }
  return out;
}

RouterState RouterPlanner::OfAttachment(const Attachment& attachment) const {
  RouterState out;
  const std::string link = ContainerLinkName(attachment.task_id);
  for (const AttachedAddress& a : attachment.addresses) {
    if (!a.macvlan.empty()) continue;
    out.router.routes[{kMainTable, Only(a.address)}] = {.link = link, .source = a.gateway};
    out.router.neighbours[{link, a.address}] = attachment.mac;
    if (a.way_out) (a.address.is_v4() ? out.forward4 : out.forward6) = true;
  }
  return out;
}

RouterState RouterPlanner::OfTunnel() const {
  RouterState out;
  if (!facts_.HasWireguard() || encrypted_networks_.empty()) return out;
  out.tunnel.link = {.private_key = facts_.wireguard_private_key,
                     .port = facts_.wireguard_port,
                     .mtu = facts_.TunnelMtu(),
                     .address = InnerAddress(facts_.node_id)};
  return out;
}

// All networks of a node say the same of it.
RouterState RouterPlanner::OfTunnelNode(const std::string& node_id) const {
  RouterState out;
  const auto networks = networks_of_node_.find(node_id);
  if (networks == networks_of_node_.end()) return out;
  for (const std::string& id : networks->second) {
    const NetworkPeer* peer = FindPeer(id, node_id);
    if (peer == nullptr || !IsEncrypted(*FindNetwork(id))) continue;
    out.tunnel.peers[peer->wireguard_key] = {.address = InnerAddress(node_id),
                                             .endpoint = peer->underlay,
                                             .port = facts_.wireguard_port};
    break;
  }
  return out;
}

RouterState RouterPlanner::WorkOut(const Part& part) const {
  const auto of = [&](const auto& records, const auto& key, auto work_out) {
    const auto found = records.find(key);
    return found == records.end() ? RouterState() : (this->*work_out)(found->second);
  };
  const std::tuple<std::string, std::string> key = {part.first, part.second};
  switch (part.kind) {
    case Kind::kNetwork: {
      const Network* network = FindNetwork(part.first);
      return network == nullptr ? RouterState() : OfNetwork(*network);
    }
    case Kind::kPeer:
      return of(state_.peers, key, &RouterPlanner::OfPeer);
    case Kind::kTask:
      return of(state_.tasks, key, &RouterPlanner::OfTask);
    case Kind::kService:
      return of(state_.services, key, &RouterPlanner::OfService);
    case Kind::kPort:
      return OfPort(part.port);
    case Kind::kAttachment:
      return of(attachments_, part.first, &RouterPlanner::OfAttachment);
    case Kind::kTunnel:
      return OfTunnel();
    case Kind::kTunnelNode:
      return OfTunnelNode(part.first);
  }
  return {};
}

template <typename Alter>
RouterPlanner::Change RouterPlanner::Around(std::set<Part> touched, Alter alter) {
  alter(&touched);
  Change change;
  for (const Part& part : touched) {
    const auto old = parts_.find(part);
    RouterState now = WorkOut(part);
    if (old != parts_.end()) {
      // Peers that say one underlay share what leads there: it stays with the one that stays.
      if (old->second == now && part.kind != Kind::kPeer) continue;
      change.before.Add(old->second);
    }
    change.after.Add(now);
    if (now == RouterState()) {
      parts_.erase(part);
    } else {
      parts_[part] = std::move(now);
    }
  }
  return change;
}

RouterPlanner::Change RouterPlanner::Update(const NetworkUpdate& update) {
  // What pointed at a record before, and what does after.
  return Around(Touched(update), [&](std::set<Part>* touched) {
    Enter(update);
    touched->merge(Touched(update));
  });
}

RouterPlanner::Change RouterPlanner::Attach(const Attachment& attachment) {
  return Around({{Kind::kAttachment, attachment.task_id, ""}},
                [&](std::set<Part>*) { attachments_[attachment.task_id] = attachment; });
}

RouterPlanner::Change RouterPlanner::Detach(const std::string& task_id) {
  return Around({{Kind::kAttachment, task_id, ""}},
                [&](std::set<Part>*) { attachments_.erase(task_id); });
}

RouterState RouterPlanner::Wanted() const {
  RouterState all;
  all.router = RouterBase(facts_);
  for (const auto& [part, state] : parts_) all.Add(state);
  return all;
}

}  // namespace swarm::agent
