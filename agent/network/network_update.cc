#include "agent/network/network_update.h"

#include <map>
#include <utility>

namespace swarm::agent {
namespace {

template <typename K, typename V>
void Between(const std::map<K, V>& from, const std::map<K, V>& to, std::map<K, V>* put,
             std::set<K>* gone) {
  for (const auto& [key, value] : to) {
    const auto old = from.find(key);
    if (old == from.end() || old->second != value) put->emplace(key, value);
  }
  for (const auto& [key, value] : from) {
    if (!to.contains(key)) gone->insert(key);
  }
}

template <typename K, typename V>
void ApplyTo(const std::map<K, V>& put, const std::set<K>& gone, std::map<K, V>* to) {
  for (const K& key : gone) to->erase(key);
  for (const auto& [key, value] : put) (*to)[key] = value;
}

// What came and went is gone all the same: it may have been there before.
template <typename K, typename V>
void AppendTo(std::map<K, V>& put, std::set<K>& gone, std::map<K, V>* put_into,
              std::set<K>* gone_into) {
  for (const K& key : gone) put_into->erase(key);
  gone_into->merge(gone);
  for (auto& [key, value] : put) {
    gone_into->erase(key);
    (*put_into)[key] = std::move(value);
  }
}

}  // namespace

void AppendUpdate(NetworkUpdate next, NetworkUpdate* into) {
  AppendTo(next.put.networks, next.gone_networks, &into->put.networks, &into->gone_networks);
  AppendTo(next.put.peers, next.gone_peers, &into->put.peers, &into->gone_peers);
  AppendTo(next.put.tasks, next.gone_tasks, &into->put.tasks, &into->gone_tasks);
  AppendTo(next.put.services, next.gone_services, &into->put.services, &into->gone_services);
  AppendTo(next.put.ingress_ports, next.gone_ingress_ports, &into->put.ingress_ports,
           &into->gone_ingress_ports);
  AppendTo(next.put.host_ports, next.gone_host_ports, &into->put.host_ports,
           &into->gone_host_ports);
}

NetworkUpdate UpdateBetween(const NetworkState& from, const NetworkState& to) {
  NetworkUpdate update;
  Between(from.networks, to.networks, &update.put.networks, &update.gone_networks);
  Between(from.peers, to.peers, &update.put.peers, &update.gone_peers);
  Between(from.tasks, to.tasks, &update.put.tasks, &update.gone_tasks);
  Between(from.services, to.services, &update.put.services, &update.gone_services);
  Between(from.ingress_ports, to.ingress_ports, &update.put.ingress_ports,
          &update.gone_ingress_ports);
  Between(from.host_ports, to.host_ports, &update.put.host_ports, &update.gone_host_ports);
  return update;
}

void ApplyUpdate(const NetworkUpdate& update, NetworkState* state) {
  ApplyTo(update.put.networks, update.gone_networks, &state->networks);
  ApplyTo(update.put.peers, update.gone_peers, &state->peers);
  ApplyTo(update.put.tasks, update.gone_tasks, &state->tasks);
  ApplyTo(update.put.services, update.gone_services, &state->services);
  ApplyTo(update.put.ingress_ports, update.gone_ingress_ports, &state->ingress_ports);
  ApplyTo(update.put.host_ports, update.gone_host_ports, &state->host_ports);
}

}  // namespace swarm::agent
