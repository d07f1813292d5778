#include "agent/doctor/examination_plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/dns/names.h"
#include "agent/network/container_plan.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Family = IpAddress::Family;

constexpr Family kFamilies[] = {Family::kV4, Family::kV6};

const IpAddress& AddressOf(const NetworkTask& task, Family family) {
  return family == Family::kV4 ? task.v4 : task.v6;
}

const IpAddress& VipOf(const NetworkService& service, Family family) {
  return family == Family::kV4 ? service.vip4 : service.vip6;
}

// Tasks of one node do. On a macvlan link of another mode they need the switch that it leads to.
bool ReachEachOther(const Network& network) {
  return network.driver != NetworkDriver::kMacvlan || network.macvlan_mode == MacvlanMode::kBridge;
}

class Planner {
 public:
  Planner(const ExaminationPlace& place, Random& random)
      : place_(place), state_(place.state), names_(random) {
    names_.Replace(state_);
  }

  ExaminationPlan Plan() {
    for (const auto& [id, network] : state_.networks) {
      if (!place_.network_ids.empty() && !place_.network_ids.contains(id)) continue;
      if (!CheckNetwork(network, place_.has_wireguard).ok()) continue;
      AddPeers(network);
      if (network.ingress) {
        AddIngressPorts(network);
      } else {
        AddNetwork(network);
      }
    }
    AddHostPorts();
    return std::move(plan_);
  }

 private:
  using Tasks = std::vector<const NetworkTask*>;
  using Serving = std::set<std::pair<std::string, Family>>;  // services

  // Serving tasks of a network, by node.
  std::map<std::string, Tasks> ServingIn(const Network& network) const {
    std::map<std::string, Tasks> by_node;
    for (auto it = state_.tasks.lower_bound({network.id, ""});
         it != state_.tasks.end() && it->second.network_id == network.id; ++it) {
      if (it->second.serving) by_node[it->second.node_id].push_back(&it->second);
    }
    return by_node;
  }

  std::string SpaceOf(const NetworkTask& task) const {
    return absl::StrCat(place_.netns_dir, "/", task.task_id);
  }

  // Of a network's tasks here those that may ask.
  Tasks Askers(const Tasks& local) {
    Tasks askers;
    for (const NetworkTask* task : local) {
      const bool room = askers_.size() < ExaminationPlan::kMostAskers;
      if (room) askers_.insert(task->task_id);
      if (askers_.contains(task->task_id)) askers.push_back(task);
    }
    if (askers.empty() && !local.empty()) ++plan_.left_out;
    return askers;
  }

  void Add(PlannedEcho echo) {
    if (plan_.echoes.size() >= ExaminationPlan::kMostEchoes) {
      ++plan_.left_out;
    } else {
      plan_.echoes.push_back(std::move(echo));
    }
  }

  void AddPeers(const Network& network) {
    if (network.driver != NetworkDriver::kOverlay || place_.underlay.empty()) return;
    for (auto it = state_.peers.lower_bound({network.id, ""});
         it != state_.peers.end() && it->second.network_id == network.id; ++it) {
      const NetworkPeer& peer = it->second;
      if (peer.underlay.family != place_.underlay.family) continue;
      if (!peers_.insert(peer.node_id).second) continue;
      PlannedEcho echo{.check = Check::kPeer, .peer_node_id = peer.node_id};
      echo.probe = {.from = place_.underlay, .to = peer.underlay};
      Add(echo);
      echo.probe.full_size = true;
      Add(echo);
    }
  }

  void AddNetwork(const Network& network) {
    const auto by_node = ServingIn(network);
    const auto here = by_node.find(state_.node_id);
    if (here == by_node.end()) return;  // nobody to ask from
    const Tasks askers = Askers(here->second);
    if (askers.empty()) return;
    for (const auto& [node_id, tasks] : by_node) {
      const bool own = node_id == state_.node_id;
      const bool carried =
          network.driver == NetworkDriver::kOverlay && state_.peers.contains({network.id, node_id});
      if (own || carried) AddPairs(network, node_id, askers, tasks);
    }
    Serving serving;
    for (const auto& [node_id, tasks] : by_node) {
      for (const NetworkTask* task : tasks) {
        if (!task->v4.empty()) serving.emplace(task->service_id, Family::kV4);
        if (!task->v6.empty()) serving.emplace(task->service_id, Family::kV6);
      }
    }
    AddServices(network, askers, serving);
  }

  void AddPairs(const Network& network, const std::string& node_id, const Tasks& from,
                const Tasks& to) {
    const bool own = node_id == state_.node_id;
    if (own && (to.size() < 2 || !ReachEachOther(network))) return;
    const size_t pairs = std::min(ExaminationPlan::kPairsPerNode, std::max(from.size(), to.size()));
    for (size_t k = 0; k < pairs; ++k) {
      // Of the node itself each with the one behind it: askers come first in `to`.
      const NetworkTask& asker = *from[k % from.size()];
      const NetworkTask& asked = *to[(own ? k + 1 : k) % to.size()];
      if (&asker != &asked) AddPair(network, node_id, asker, asked, /*full_size=*/k == 0 && !own);
    }
  }

  void AddPair(const Network& network, const std::string& node_id, const NetworkTask& asker,
               const NetworkTask& asked, bool full_size) {
    PlannedEcho echo{.check = Check::kOverlay,
                     .network_id = network.id,
                     .peer_node_id = node_id,
                     .from_task = asker.task_id,
                     .to_task = asked.task_id};
    for (const Family family : kFamilies) {
      const IpAddress &from = AddressOf(asker, family), &to = AddressOf(asked, family);
      if (from.empty() || to.empty()) continue;
      echo.probe = {.space = SpaceOf(asker), .from = from, .to = to};
      Add(echo);
      if (!std::exchange(full_size, false)) continue;
      echo.probe.full_size = true;
      Add(echo);
    }
  }

  void AddServices(const Network& network, const Tasks& askers, const Serving& serving) {
    size_t turn = 0;
    std::vector<const NetworkService*> services;
    for (auto it = state_.services.lower_bound({network.id, ""});
         it != state_.services.end() && it->second.network_id == network.id; ++it) {
      services.push_back(&it->second);
    }
    for (const NetworkService* service : services) {
      const NetworkTask& asker = *askers[turn++ % askers.size()];
      AddVirtualAddress(*service, asker, serving);
      AddQuestion(network, *service, asker, "");
      AddQuestion(network, *service, asker, "tasks.");
    }
    // Who had no turn yet asks too: each container's way to its resolver is one of its own.
    for (; !services.empty() && turn < askers.size(); ++turn) {
      AddQuestion(network, *services[turn % services.size()], *askers[turn], "");
    }
  }

  void AddVirtualAddress(const NetworkService& service, const NetworkTask& asker,
                         const Serving& serving) {
    for (const Family family : kFamilies) {
      const IpAddress &vip = VipOf(service, family), &from = AddressOf(asker, family);
      // One that no task serves is refused, and should be.
      if (vip.empty() || from.empty() || !serving.contains({service.service_id, family})) continue;
      PlannedEcho echo{.check = Check::kVirtualAddress,
                       .network_id = service.network_id,
                       .service_id = service.service_id,
                       .from_task = asker.task_id};
      echo.probe = {.space = SpaceOf(asker), .from = from, .to = vip};
      Add(std::move(echo));
    }
  }

  void AddQuestion(const Network& network, const NetworkService& service, const NetworkTask& asker,
                   const char* prefix) {
    if (plan_.questions.size() >= ExaminationPlan::kMostQuestions) {
      ++plan_.left_out;
      return;
    }
    const bool v4 = !asker.v4.empty();
    PlannedQuestion question{
        .network_id = network.id, .service_id = service.service_id, .from_task = asker.task_id};
    question.probe.space = SpaceOf(asker);
    question.probe.question = QuestionFor(absl::StrCat(prefix, service.name, ".", network.name),
                                          v4 ? dns_type::kA : dns_type::kAaaa);
    if (IsShadowed(question.probe.question, asker)) return;
    const std::string networks[] = {network.id};
    const NameAnswer answer = names_.Resolve(question.probe.question, networks);
    question.wanted.insert(answer.addresses.begin(), answer.addresses.end());
    question.some = answer.addresses.size() >= NameIndex::kMaxAddresses;
    plan_.questions.push_back(std::move(question));
  }

  // Another network of the task has an alias that reads the same: which comes first is not known
  // here.
  bool IsShadowed(const DnsQuestion& question, const NetworkTask& asker) {
    for (const auto& [id, network] : state_.networks) {
      if (id == asker.network_id || !state_.tasks.contains({id, asker.task_id})) continue;
      const std::string networks[] = {id};
      if (names_.Resolve(question, networks).kind == NameAnswer::Kind::kFound) return true;
    }
    return false;
  }

  void AddConnection(PlannedConnection connection, uint16_t published) {
    if (plan_.connections.size() >= ExaminationPlan::kMostPorts) {
      ++plan_.left_out;
      return;
    }
    connection.probe.to = IpAddress::FromBytes({"\x7f\x00\x00\x01", 4});
    connection.probe.port = published;
    // Each goes to the next of the tasks.
    connection.probe.attempts =
        std::clamp(connection.serving, 1, ExaminationPlan::kMostConnectionsPerPort);
    plan_.connections.push_back(std::move(connection));
  }

  void AddIngressPorts(const Network& network) {
    const auto by_node = ServingIn(network);
    for (const auto& [key, port] : state_.ingress_ports) {
      if (port.protocol != PortProtocol::kTcp) continue;
      int all = 0, local = 0;
      for (const auto& [node_id, tasks] : by_node) {
        for (const NetworkTask* task : tasks) {
          if (task->service_id != port.service_id || task->v4.empty()) continue;
          ++all;
          if (node_id == state_.node_id) ++local;
        }
      }
      if (all == 0) continue;
      AddConnection({.service_id = port.service_id,
                     .target = port.target,
                     .serving = port.local_first && local > 0 ? local : all},
                    port.published);
    }
  }

  void AddHostPorts() {
    for (const auto& [key, port] : state_.host_ports) {
      if (port.protocol != PortProtocol::kTcp) continue;
      for (const auto& [id, network] : state_.networks) {
        if (!place_.network_ids.empty() && !place_.network_ids.contains(id)) continue;
        const auto task = state_.tasks.find({id, port.task_id});
        if (network.internal || task == state_.tasks.end() || !task->second.serving ||
            task->second.v4.empty()) {
          continue;
        }
        AddConnection({.service_id = task->second.service_id,
                       .task_id = port.task_id,
                       .target = port.target,
                       .serving = 1},
                      port.published);
        break;
      }
    }
  }

  const ExaminationPlace& place_;
  const NetworkState& state_;
  NameIndex names_;
  std::set<std::string> askers_;
  std::set<std::string> peers_;
  ExaminationPlan plan_;
};

}  // namespace

ExaminationPlan PlanExamination(const ExaminationPlace& place, Random& random) {
  return Planner(place, random).Plan();
}

}  // namespace swarm::agent
