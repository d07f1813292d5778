// What NetworkBook knows, as nodes are told it.
#include <string>

#include "manager/dispatcher/network_book.h"

namespace swarm::manager {
namespace {

using Kind = NetworkPiece::Kind;

Port PortOf(const Id& id) {
  return {static_cast<v1::PortConfig::Protocol>(id.high), static_cast<uint32_t>(id.low)};
}

v1::NetworkKey KeyOf(const std::string& network, Id id) {
  v1::NetworkKey key;
  key.set_network_id(network);
  key.set_id(id.ToString());
  return key;
}

const TaskAddress* AddressIn(const Task& task, Id network) {
  for (const TaskAddress& address : task.addresses()) {
    if (address.network == network) return &address;
  }
  return nullptr;
}

// "web.1.<task id>"; the node's id stands for the slot of a global service.
std::string NameOf(const Task& task) {
  const uint64_t slot = PublicSlot(task);
  return task.revision->revision().service_name() + "." +
         (slot != 0 ? std::to_string(slot) : task.node_id.ToString()) + "." + task.id.ToString();
}

bool LocalFirst(const Network& ingress) {
  const auto option = ingress.spec().options().find("local");
  return option != ingress.spec().options().end() && option->second != "false";
}

}  // namespace

v1::NetworkEndpoint EndpointIn(const Service& service, const Network& network) {
  v1::NetworkEndpoint out;
  out.set_network_id(network.id());
  out.set_service_id(service.id());
  out.set_name(service.spec().name());
  for (const v1::NetworkAttachmentConfig& config : service.spec().task().networks()) {
    if (config.target() == network.id() || config.target() == network.spec().name()) {
      *out.mutable_aliases() = config.aliases();
    }
  }
  for (const v1::Endpoint::VirtualIp& ip : service.endpoint().virtual_ips()) {
    if (ip.network_id() != network.id()) continue;
    out.set_vip4(ip.v4());
    out.set_vip6(ip.v6());
  }
  return out;
}

void NetworkBook::Render(Id node, const NetworkPieces& pieces, v1::NetworkChanges& out) const {
  absl::btree_set<Id> whole;
  for (const NetworkPiece& piece : pieces) {
    if (piece.kind == Kind::kPort) {
      const NetworkEntry* ingress = Find(ingress_);
      if (ingress != nullptr && Listens(node, *ingress)) RenderPort(PortOf(piece.id), out);
      continue;
    }
    if (whole.contains(piece.network)) continue;
    const NetworkEntry* entry = Find(piece.network);
    if (entry != nullptr && Listens(node, *entry)) {
      if (piece.kind == Kind::kWhole) whole.insert(piece.network);
      RenderPiece(node, *entry, piece, out);
    } else if (piece.kind == Kind::kNetwork || piece.kind == Kind::kWhole) {
      whole.insert(piece.network);
      out.add_removed_networks(piece.network.ToString());
    }
  }
}

void NetworkBook::RenderAll(Id node, v1::NetworkChanges& out) const {
  for (const auto& [id, entry] : networks_) {
    if (Listens(node, entry)) RenderWhole(node, entry, out);
  }
}

void NetworkBook::RenderPiece(Id node, const NetworkEntry& entry, const NetworkPiece& piece,
                              v1::NetworkChanges& out) const {
  const std::string& network = entry.record->id();
  switch (piece.kind) {
    case Kind::kWhole:
      return RenderWhole(node, entry, out);
    case Kind::kNetwork:
      return RenderNetwork(node, entry, out);
    case Kind::kPeer:
      if (IsPeer(piece.id, entry)) return RenderPeer(piece.id, entry, out);
      *out.add_removed_peers() = KeyOf(network, piece.id);
      return;
    case Kind::kMember: {
      const auto member = entry.members.find(piece.id);
      if (member != entry.members.end()) return RenderMember(node, entry, *member->second, out);
      *out.add_removed_members() = KeyOf(network, piece.id);
      return;
    }
    case Kind::kEndpoint:
      if (entry.endpoints.contains(piece.id)) {
        *out.add_endpoints() = EndpointIn(*services_.find(piece.id)->second.record, *entry.record);
      } else {
        *out.add_removed_endpoints() = KeyOf(network, piece.id);
      }
      return;
    case Kind::kPort:
      return;
  }
}

void NetworkBook::RenderWhole(Id node, const NetworkEntry& entry, v1::NetworkChanges& out) const {
  RenderNetwork(node, entry, out);
  EachListener(entry, [&](Id peer) {
    if (peer != node && IsPeer(peer, entry)) RenderPeer(peer, entry, out);
  });
  for (const auto& [id, task] : entry.members) RenderMember(node, entry, *task, out);
  for (const Id service : entry.endpoints) {
    *out.add_endpoints() = EndpointIn(*services_.find(service)->second.record, *entry.record);
  }
  if (!entry.record->spec().ingress()) return;
  for (const auto& [port, target] : ports_) RenderPort(port, out);
}

void NetworkBook::RenderNetwork(Id node, const NetworkEntry& entry, v1::NetworkChanges& out) const {
  v1::NodeNetwork& network = *out.add_networks();
  network.mutable_network()->set_id(entry.record->id());
  *network.mutable_network()->mutable_spec() = entry.record->spec();
  *network.mutable_network()->mutable_ipam() = entry.record->ipam();
  network.mutable_network()->set_vni(entry.record->vni());
  const auto facts = nodes_.find(node);
  if (IsMacvlan(entry.record->spec()) && facts != nodes_.end()) {
    (*network.mutable_network()->mutable_spec()->mutable_options())["parent"] =
        ParentOf(entry.record->spec(), facts->second.labels);
  }
  if (entry.record->spec().ingress() && facts != nodes_.end()) {
    network.set_node_address(facts->second.ingress.ToString());
  }
}

void NetworkBook::RenderPeer(Id node, const NetworkEntry& entry, v1::NetworkChanges& out) const {
  const NodeFacts& facts = nodes_.find(node)->second;
  v1::NetworkPeer& peer = *out.add_peers();
  peer.set_network_id(entry.record->id());
  peer.set_node_id(node.ToString());
  peer.set_underlay_addr(facts.underlay.ToString());
  if (entry.record->spec().ingress()) peer.set_node_address(facts.ingress.ToString());
  if (IsEncrypted(entry.record->spec())) peer.set_wireguard_key(facts.wireguard_key);
}

void NetworkBook::RenderMember(Id node, const NetworkEntry& entry, const Task& task,
                               v1::NetworkChanges& out) const {
  if (!SpansNodes(entry.record->spec()) && task.node_id != node) return;
  const TaskAddress* address = AddressIn(task, Id::ParseOrZero(entry.record->id()));
  if (address == nullptr) return;
  v1::NetworkMember& member = *out.add_members();
  member.set_network_id(entry.record->id());
  member.set_task_id(task.id.ToString());
  member.set_service_id(task.service_id.ToString());
  member.set_node_id(task.node_id.ToString());
  member.set_name(NameOf(task));
  member.set_hostname(task.revision->revision().task().container().hostname());
  member.set_v4(address->v4.ToString());
  member.set_v6(address->v6.ToString());
  member.set_serving(IsServed(task));
}

void NetworkBook::RenderPort(const Port& port, v1::NetworkChanges& out) const {
  const auto found = ports_.find(port);
  v1::IngressPort& rendered = found == ports_.end() ? *out.add_removed_ports() : *out.add_ports();
  rendered.set_protocol(port.first);
  rendered.set_published_port(port.second);
  if (found == ports_.end()) return;
  rendered.set_target_port(found->second.target);
  rendered.set_service_id(found->second.service.ToString());
  rendered.set_local_first(LocalFirst(*Find(ingress_)->record));
}

}  // namespace swarm::manager
