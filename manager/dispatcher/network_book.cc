#include "manager/dispatcher/network_book.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "google/protobuf/util/message_differencer.h"
#include "manager/node_address.h"

namespace swarm::manager {
namespace {

using google::protobuf::util::MessageDifferencer;
using Kind = NetworkPiece::Kind;

Id IdOf(const Network& network) { return Id::ParseOrZero(network.id()); }

Id PortId(const Port& port) { return {static_cast<uint64_t>(port.first), port.second}; }

void Nobody(Id, const NetworkPiece&) {}

}  // namespace

void NetworkBook::Load(const View& view) {
  view.EachNetwork(
      [this](const Ref<Network>& network) { return PutNetwork(network, Nobody), true; });
  view.EachNode([this](const Ref<Node>& node) { return PutNode(*node, Nobody), true; });
  view.EachService(
      [this](const Ref<Service>& service) { return PutService(service, Nobody), true; });
  view.EachTask([this](const Ref<Task>& task) { return PutTask(task, Nobody), true; });
}

// ---------------------------------------------------------------------------------- who listens

const NetworkBook::NetworkEntry* NetworkBook::Find(Id network) const {
  const auto found = networks_.find(network);
  return found == networks_.end() || found->second.record == nullptr ? nullptr : &found->second;
}

bool NetworkBook::Listens(Id node, const NetworkEntry& entry) const {
  if (entry.record == nullptr) return false;
  if (entry.nodes.contains(node)) return true;
  if (!entry.record->spec().ingress()) return false;
  const auto facts = nodes_.find(node);
  return facts != nodes_.end() && !facts->second.ingress.empty();
}

bool NetworkBook::IsPeer(Id node, const NetworkEntry& entry) const {
  const auto facts = nodes_.find(node);
  if (facts == nodes_.end() || facts->second.down || facts->second.underlay.empty()) return false;
  if (!IsOverlay(entry.record->spec()) || !Listens(node, entry)) return false;
  return !entry.record->spec().ingress() || !facts->second.ingress.empty();
}

bool NetworkBook::IsServed(const Task& task) const {
  const auto facts = nodes_.find(task.node_id);
  return IsServing(task) && (facts == nodes_.end() || !facts->second.down);
}

bool NetworkBook::Serves(Id task) const {
  const auto found = tasks_.find(task);
  return found != tasks_.end() && IsServed(*found->second);
}

void NetworkBook::EachListener(const NetworkEntry& entry, EachNode each) const {
  if (entry.record == nullptr) return;
  for (const auto& [node, count] : entry.nodes) each(node);
  if (!entry.record->spec().ingress()) return;
  for (const auto& [node, facts] : nodes_) {
    if (!facts.ingress.empty() && !entry.nodes.contains(node)) each(node);
  }
}

// Of a network that does not leave the node nobody else does.
void NetworkBook::EachWhoKnows(const NetworkEntry& entry, Id node, EachNode each) const {
  if (entry.record == nullptr) return;
  if (SpansNodes(entry.record->spec())) return EachListener(entry, each);
  each(node);
}

std::vector<Id> NetworkBook::WhoKnow(const Task& task) const {
  absl::btree_set<Id> nodes;
  for (const TaskAddress& address : task.addresses()) {
    if (const NetworkEntry* entry = Find(address.network); entry != nullptr) {
      EachWhoKnows(*entry, task.node_id, [&](Id node) { nodes.insert(node); });
    }
  }
  return {nodes.begin(), nodes.end()};
}

// ------------------------------------------------------------------------------------------- marks

void NetworkBook::MarkPeer(Id node, const NetworkEntry& entry, Mark mark) const {
  if (entry.record == nullptr || !IsOverlay(entry.record->spec())) return;
  const NetworkPiece piece{Kind::kPeer, IdOf(*entry.record), node};
  EachListener(entry, [&](Id listener) {
    if (listener != node) mark(listener, piece);
  });
}

void NetworkBook::MarkMember(const Task& task, const NetworkEntry& entry, Mark mark) const {
  if (entry.record == nullptr) return;
  const NetworkPiece piece{Kind::kMember, IdOf(*entry.record), task.id};
  EachWhoKnows(entry, task.node_id, [&](Id node) { mark(node, piece); });
}

void NetworkBook::MarkEndpoint(Id service, const NetworkEntry& entry, Mark mark) const {
  if (entry.record == nullptr) return;
  const NetworkPiece piece{Kind::kEndpoint, IdOf(*entry.record), service};
  EachListener(entry, [&](Id node) { mark(node, piece); });
}

void NetworkBook::MarkPort(const Port& port, Mark mark) const {
  const NetworkEntry* ingress = Find(ingress_);
  if (ingress == nullptr) return;
  const NetworkPiece piece{Kind::kPort, {}, PortId(port)};
  EachListener(*ingress, [&](Id node) { mark(node, piece); });
}

void NetworkBook::MarkListening(Id node, Id network, bool listened, Mark mark) const {
  const auto entry = networks_.find(network);
  const bool listens = entry != networks_.end() && Listens(node, entry->second);
  if (listens == listened) return;
  mark(node, {listens ? Kind::kWhole : Kind::kNetwork, network, {}});
  if (entry != networks_.end()) MarkPeer(node, entry->second, mark);
}

// ---------------------------------------------------------------------------------------- networks

void NetworkBook::PutNetwork(const Ref<Network>& network, Mark mark) {
  const Id id = IdOf(*network);
  NetworkEntry& entry = networks_[id];
  if (entry.record == network) return;
  const bool is_new = entry.record == nullptr;
  entry.record = network;
  networks_by_name_[network->spec().name()] = id;
  if (network->spec().ingress()) ingress_ = id;
  EachListener(entry, [&](Id node) {
    mark(node, {is_new ? Kind::kWhole : Kind::kNetwork, id, {}});
  });
  if (is_new) ResolveServices(mark);
}

void NetworkBook::RemoveNetwork(Id network, Mark mark) {
  const auto found = networks_.find(network);
  if (found == networks_.end() || found->second.record == nullptr) return;
  NetworkEntry& entry = found->second;
  EachListener(entry, [&](Id node) { mark(node, {Kind::kNetwork, network, {}}); });
  if (const auto named = networks_by_name_.find(entry.record->spec().name());
      named != networks_by_name_.end() && named->second == network) {
    networks_by_name_.erase(named);
  }
  if (ingress_ == network) ingress_ = {};
  entry.record = nullptr;
  if (entry.members.empty()) networks_.erase(found);
  ResolveServices(mark);
}

// ------------------------------------------------------------------------------------------- nodes

bool NetworkBook::NodeFacts::operator==(const NodeFacts& other) const {
  const auto sorted = [](const NodeLabels& all) {
    return std::map<std::string, std::string>(all.begin(), all.end());
  };
  return std::tie(underlay, ingress, wireguard_key, down) ==
             std::tie(other.underlay, other.ingress, other.wireguard_key, other.down) &&
         sorted(labels) == sorted(other.labels);
}

void NetworkBook::PutNode(const Node& node, Mark mark) {
  NodeFacts facts;
  facts.underlay = UnderlayOf(node);
  facts.ingress =
      IpAddress::Parse(node.ingress_v4().empty() ? node.ingress_v6() : node.ingress_v4())
          .value_or(IpAddress{});
  facts.wireguard_key = node.description().wireguard_key();
  facts.down = node.status().state() == v1::NodeStatus::STATE_DOWN;
  facts.labels = node.spec().labels();
  SetFacts(Id::ParseOrZero(node.id()), &facts, mark);
}

void NetworkBook::RemoveNode(Id node, Mark mark) { SetFacts(node, nullptr, mark); }

void NetworkBook::SetFacts(Id node, const NodeFacts* facts, Mark mark) {
  const auto found = nodes_.find(node);
  const NodeFacts before = found == nodes_.end() ? NodeFacts{} : found->second;
  const bool same =
      facts == nullptr ? found == nodes_.end() : found != nodes_.end() && found->second == *facts;
  if (same) return;
  absl::btree_set<Id> listened;
  for (const auto& [id, entry] : networks_) {
    if (Listens(node, entry)) listened.insert(id);
  }
  if (facts == nullptr) {
    nodes_.erase(node);
  } else {
    nodes_[node] = *facts;
  }
  const NodeFacts now = facts == nullptr ? NodeFacts{} : *facts;
  // Not for all who listen to the ingress network to hear of: labels, which only the node itself
  // needs, and the new key of one that was rebooted.
  NodeFacts alike = now;
  alike.wireguard_key = before.wireguard_key;
  alike.labels = before.labels;
  const bool same_for_all = alike == before;
  const bool new_key = now.wireguard_key != before.wireguard_key;
  for (const auto& [id, entry] : networks_) {
    const bool listens = Listens(node, entry);
    if (!listens && !listened.contains(id)) continue;
    if (listens != listened.contains(id)) {
      MarkListening(node, id, !listens, mark);
    } else {
      if (!same_for_all || (new_key && IsEncrypted(entry.record->spec()))) {
        MarkPeer(node, entry, mark);
      }
      const bool ingress = entry.record->spec().ingress() && now.ingress != before.ingress;
      const bool parent =
          IsMacvlan(entry.record->spec()) && ParentOf(entry.record->spec(), now.labels) !=
                                                 ParentOf(entry.record->spec(), before.labels);
      if (ingress || parent) mark(node, {Kind::kNetwork, id, {}});
    }
    if (now.down == before.down || !entry.nodes.contains(node)) continue;
    for (const auto& [task_id, task] : entry.members) {
      if (task->node_id == node && IsServing(*task)) MarkMember(*task, entry, mark);
    }
  }
}

// ---------------------------------------------------------------------------------------- services

NetworkBook::ServiceEntry NetworkBook::EntryOf(const Ref<Service>& service) const {
  ServiceEntry entry;
  entry.record = service;
  for (const v1::NetworkAttachmentConfig& config : service->spec().task().networks()) {
    const Id id = Id::ParseOrZero(config.target());
    const auto named = networks_by_name_.find(config.target());
    if (Find(id) != nullptr) {
      entry.networks.insert(id);
    } else if (named != networks_by_name_.end()) {
      entry.networks.insert(named->second);
    }
  }
  if (!ingress_.IsZero() && HasIngressPorts(service->spec().endpoint())) {
    entry.networks.insert(ingress_);
  }
  // Of networks that the spec has left and tasks have not.
  for (const v1::Endpoint::VirtualIp& ip : service->endpoint().virtual_ips()) {
    const Id id = Id::ParseOrZero(ip.network_id());
    if (Find(id) != nullptr) entry.networks.insert(id);
  }
  for (const v1::PortConfig& port : service->endpoint().ports()) {
    if (!IsHostPort(port)) {
      entry.ports[PublishedOf(port)] = {port.target_port(), Id::ParseOrZero(service->id())};
    }
  }
  return entry;
}

void NetworkBook::PutService(const Ref<Service>& service, Mark mark) {
  const Id id = Id::ParseOrZero(service->id());
  const bool has_none = service->spec().task().networks_size() == 0 &&
                        service->spec().endpoint().ports_size() == 0 && !service->has_endpoint();
  if (has_none && !services_.contains(id)) return;
  SetService(id, EntryOf(service), mark);
}

void NetworkBook::RemoveService(Id service, Mark mark) {
  if (services_.contains(service)) SetService(service, {}, mark);
}

// Names mean something else when networks come and go.
void NetworkBook::ResolveServices(Mark mark) {
  std::vector<Ref<Service>> services;
  for (const auto& [id, entry] : services_) services.push_back(entry.record);
  for (const Ref<Service>& service : services) {
    SetService(Id::ParseOrZero(service->id()), EntryOf(service), mark);
  }
}

void NetworkBook::SetService(Id id, ServiceEntry entry, Mark mark) {
  const ServiceEntry before = std::exchange(services_[id], entry);
  absl::btree_set<Id> networks = before.networks;
  networks.insert(entry.networks.begin(), entry.networks.end());
  for (const Id network : networks) {
    const auto found = networks_.find(network);
    if (found == networks_.end() || found->second.record == nullptr) continue;
    NetworkEntry& there = found->second;
    const bool was = before.networks.contains(network);
    const bool is = entry.networks.contains(network);
    if (is) {
      there.endpoints.insert(id);
    } else {
      there.endpoints.erase(id);
    }
    const bool same = was && is &&
                      MessageDifferencer::Equals(EndpointIn(*before.record, *there.record),
                                                 EndpointIn(*entry.record, *there.record));
    if (!same) MarkEndpoint(id, there, mark);
  }
  for (const auto& [port, target] : before.ports) {
    const auto held = ports_.find(port);
    if (entry.ports.contains(port) || held == ports_.end() || held->second.service != id) continue;
    ports_.erase(held);
    MarkPort(port, mark);
  }
  for (const auto& [port, target] : entry.ports) {
    if (std::exchange(ports_[port], target) != target) MarkPort(port, mark);
  }
  if (entry.record == nullptr) services_.erase(id);
}

// ------------------------------------------------------------------------------------------- tasks

void NetworkBook::PutTask(const Ref<Task>& task, Mark mark) {
  if (task->node_id.IsZero() || !HoldsAddresses(*task)) return RemoveTask(task->id, mark);
  const auto found = tasks_.find(task->id);
  if (found == tasks_.end()) {
    tasks_[task->id] = task;
    for (const TaskAddress& address : task->addresses()) Enter(task, address.network, mark);
    return;
  }
  // Node and addresses of a task never change.
  const bool served = IsServed(*found->second);
  found->second = task;
  for (const TaskAddress& address : task->addresses()) {
    NetworkEntry& entry = networks_[address.network];
    entry.members[task->id] = task;
    if (served != IsServed(*task)) MarkMember(*task, entry, mark);
  }
}

void NetworkBook::RemoveTask(Id id, Mark mark) {
  auto found = tasks_.extract(id);
  if (found.empty()) return;
  const Task& task = *found.mapped();
  for (const TaskAddress& address : task.addresses()) Leave(task, address.network, mark);
}

void NetworkBook::Enter(const Ref<Task>& task, Id network, Mark mark) {
  NetworkEntry& entry = networks_[network];
  const bool listened = Listens(task->node_id, entry);
  entry.members[task->id] = task;
  ++entry.nodes[task->node_id];
  MarkListening(task->node_id, network, listened, mark);
  MarkMember(*task, entry, mark);
}

void NetworkBook::Leave(const Task& task, Id network, Mark mark) {
  const auto found = networks_.find(network);
  if (found == networks_.end()) return;
  NetworkEntry& entry = found->second;
  const bool listened = Listens(task.node_id, entry);
  entry.members.erase(task.id);
  const auto count = entry.nodes.find(task.node_id);
  if (count != entry.nodes.end() && --count->second == 0) entry.nodes.erase(count);
  MarkMember(task, entry, mark);
  MarkListening(task.node_id, network, listened, mark);
  if (entry.record == nullptr && entry.members.empty()) networks_.erase(found);
}

}  // namespace swarm::manager
