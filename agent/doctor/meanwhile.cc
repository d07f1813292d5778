#include "agent/doctor/meanwhile.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;

// Each record that is in one of the two alone, or not the same in both.
template <typename Records, typename Take>
void EachChanged(const Records& before, const Records& now, Take take) {
  const auto each = [&](const Records& records, const Records& others) {
    for (const auto& [key, record] : records) {
      const auto other = others.find(key);
      if (other == others.end() || other->second != record) take(record);
    }
  };
  each(before, now);
  each(now, before);
}

}  // namespace

Meanwhile::Meanwhile(const NetworkState& before, const NetworkState& now) {
  EachChanged(before.networks, now.networks,
              [&](const Network& network) { networks_.insert(network.id); });
  EachChanged(before.services, now.services,
              [&](const NetworkService& service) { services_.insert(service.service_id); });
  EachChanged(before.tasks, now.tasks, [&](const NetworkTask& task) {
    tasks_.insert(task.task_id);
    services_.insert(task.service_id);
    places_.emplace(task.network_id, task.node_id);
  });
  EachChanged(before.peers, now.peers,
              [&](const NetworkPeer& peer) { places_.emplace(peer.network_id, peer.node_id); });
  // A node that has come to one more network, or left one of several, is where it was.
  std::set<std::pair<std::string, IpAddress>> there;
  for (const auto& [key, peer] : now.peers) there.emplace(peer.node_id, peer.underlay);
  for (const auto& [key, peer] : before.peers) {
    if (!there.contains({peer.node_id, peer.underlay})) moved_.insert(peer.node_id);
  }
}

bool Meanwhile::Touches(const Finding& finding) const {
  if (finding.severity == Finding::Severity::kOk) return false;
  return networks_.contains(finding.network_id) || services_.contains(finding.service_id) ||
         tasks_.contains(finding.task_id) ||
         (finding.check == Check::kPeer && moved_.contains(finding.peer_node_id)) ||
         (finding.check == Check::kOverlay &&
          places_.contains({finding.network_id, finding.peer_node_id}));
}

}  // namespace swarm::agent
