// The planner's books of what points at what.
#include <type_traits>

#include "agent/network/router_plan.h"

namespace swarm::agent {
namespace {

template <typename K, typename V>
void Alter(std::map<K, std::set<V>>* index, const std::type_identity_t<K>& key,
           const std::type_identity_t<V>& value, bool add) {
  if (add) {
    (*index)[key].insert(value);
    return;
  }
  const auto found = index->find(key);
  if (found == index->end()) return;
  found->second.erase(value);
  if (found->second.empty()) index->erase(found);
}

// Of all records whose key begins with `network_id`.
template <typename Records, typename Visit>
void ForNetwork(const Records& records, const std::string& network_id, Visit visit) {
  for (auto it = records.lower_bound({network_id, ""});
       it != records.end() && std::get<0>(it->first) == network_id; ++it) {
    visit(it->second);
  }
}

// Of the records that `update` puts (as they are now, and as they will be) or takes away.
template <typename Records, typename Keys, typename Visit>
void ForChanged(const Records& now, const Records& put, const Keys& gone, Visit visit) {
  for (const auto& [key, record] : put) {
    const auto found = now.find(key);
    if (found != now.end()) visit(found->second);
    visit(record);
  }
  for (const auto& key : gone) {
    const auto found = now.find(key);
    if (found != now.end()) visit(found->second);
  }
}

}  // namespace

void RouterPlanner::TouchTask(const NetworkTask& task, std::set<Part>* touched) const {
  touched->insert({Kind::kTask, task.network_id, task.task_id});
  touched->insert({Kind::kService, task.network_id, task.service_id});
  const auto touch_all = [&](const auto& index, const std::string& id) {
    const auto ports = index.find(id);
    if (ports == index.end()) return;
    for (const PortKey& key : ports->second) touched->insert(OfPortKey(key));
  };
  if (ingress_networks_.contains(task.network_id)) touch_all(ports_of_service_, task.service_id);
  touch_all(ports_of_task_, task.task_id);
}

void RouterPlanner::TouchPeer(const NetworkPeer& peer, std::set<Part>* touched) const {
  touched->insert({Kind::kPeer, peer.network_id, peer.node_id});
  touched->insert({Kind::kTunnelNode, peer.node_id, ""});
  if (const auto nodes = nodes_at_.find({peer.network_id, peer.underlay});
      nodes != nodes_at_.end()) {
    for (const std::string& id : nodes->second) touched->insert({Kind::kPeer, peer.network_id, id});
  }
  const auto tasks = tasks_on_node_.find({peer.network_id, peer.node_id});
  if (tasks == tasks_on_node_.end()) return;
  for (const std::string& id : tasks->second) {
    touched->insert({Kind::kTask, peer.network_id, id});
  }
}

void RouterPlanner::TouchNetwork(const std::string& id, std::set<Part>* touched) const {
  touched->insert({Kind::kNetwork, id, ""});
  touched->insert({Kind::kTunnel, "", ""});
  ForNetwork(state_.peers, id, [&](const NetworkPeer& peer) { TouchPeer(peer, touched); });
  ForNetwork(state_.tasks, id, [&](const NetworkTask& task) { TouchTask(task, touched); });
  ForNetwork(state_.services, id, [&](const NetworkService& service) {
    touched->insert({Kind::kService, id, service.service_id});
  });
  for (const auto& [key, port] : state_.ingress_ports) touched->insert(OfPortKey(key));
  for (const auto& [key, port] : state_.host_ports) touched->insert(OfPortKey(key));
}

std::set<RouterPlanner::Part> RouterPlanner::Touched(const NetworkUpdate& update) const {
  std::set<Part> touched;
  for (const auto& [id, network] : update.put.networks) TouchNetwork(id, &touched);
  for (const std::string& id : update.gone_networks) TouchNetwork(id, &touched);
  ForChanged(state_.peers, update.put.peers, update.gone_peers,
             [&](const NetworkPeer& peer) { TouchPeer(peer, &touched); });
  ForChanged(state_.tasks, update.put.tasks, update.gone_tasks,
             [&](const NetworkTask& task) { TouchTask(task, &touched); });
  ForChanged(state_.services, update.put.services, update.gone_services,
             [&](const NetworkService& service) {
               touched.insert({Kind::kService, service.network_id, service.service_id});
             });
  const auto touch_port = [&](const auto& port) { touched.insert(OfPortKey(port.key())); };
  ForChanged(state_.ingress_ports, update.put.ingress_ports, update.gone_ingress_ports, touch_port);
  ForChanged(state_.host_ports, update.put.host_ports, update.gone_host_ports, touch_port);
  return touched;
}

void RouterPlanner::Index(const NetworkPeer& peer, bool add) {
  Alter(&networks_of_node_, peer.node_id, peer.network_id, add);
  Alter(&nodes_at_, {peer.network_id, peer.underlay}, peer.node_id, add);
}

void RouterPlanner::Index(const NetworkTask& task, bool add) {
  Alter(&tasks_of_service_, {task.network_id, task.service_id}, task.task_id, add);
  Alter(&tasks_on_node_, {task.network_id, task.node_id}, task.task_id, add);
  Alter(&networks_of_task_, task.task_id, task.network_id, add);
}

void RouterPlanner::Index(const IngressPort& port, bool add) {
  Alter(&ports_of_service_, port.service_id, port.key(), add);
}

void RouterPlanner::Index(const HostPort& port, bool add) {
  Alter(&ports_of_task_, port.task_id, port.key(), add);
}

void RouterPlanner::Enter(const NetworkUpdate& update) {
  const auto forget = [&](const auto& now, const auto& put, const auto& gone) {
    const auto forget_one = [&](const auto& key) {
      const auto found = now.find(key);
      if (found != now.end()) Index(found->second, false);
    };
    for (const auto& [key, record] : put) forget_one(key);
    for (const auto& key : gone) {
      if (!put.contains(key)) forget_one(key);
    }
  };
  forget(state_.peers, update.put.peers, update.gone_peers);
  forget(state_.tasks, update.put.tasks, update.gone_tasks);
  forget(state_.ingress_ports, update.put.ingress_ports, update.gone_ingress_ports);
  forget(state_.host_ports, update.put.host_ports, update.gone_host_ports);
  ApplyUpdate(update, &state_);
  for (const auto& [key, peer] : update.put.peers) Index(peer, true);
  for (const auto& [key, task] : update.put.tasks) Index(task, true);
  for (const auto& [key, port] : update.put.ingress_ports) Index(port, true);
  for (const auto& [key, port] : update.put.host_ports) Index(port, true);
  const auto sort = [](const std::string& id, bool in, std::set<std::string>* set) {
    in ? void(set->insert(id)) : void(set->erase(id));
  };
  for (const std::string& id : update.gone_networks) {
    sort(id, false, &ingress_networks_);
    sort(id, false, &encrypted_networks_);
  }
  for (const auto& [id, network] : update.put.networks) {
    sort(id, network.ingress, &ingress_networks_);
    sort(id, IsEncrypted(network), &encrypted_networks_);
  }
}

}  // namespace swarm::agent
