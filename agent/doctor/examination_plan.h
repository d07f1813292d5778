// What a node should look at, worked out from what the manager said of its networks. Pure.
//
//   const ExaminationPlan plan = PlanExamination(place, names);
//   … RunEchoes, AskNames and TryConnections with the probes of it …
//   findings = JudgeEchoes(place.state, plan.echoes, results) …                       (verdict.h)
//
// Asked is from inside of containers that serve, for those that serve. Of each network and other
// node up to kPairsPerNode pairs of tasks, each time others as far as there are; of the node itself
// as many, unless its tasks cannot reach each other (macvlan but for mode bridge). One full-size
// packet per network and node, and per peer. A task asks for each service's name and virtual
// address, in turn. Networks that carry published ports alone are looked at through their ports:
// their tasks do not reach each other.
#ifndef SWARM_AGENT_DOCTOR_EXAMINATION_PLAN_H_
#define SWARM_AGENT_DOCTOR_EXAMINATION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/doctor/connection_probe.h"
#include "agent/doctor/echo.h"
#include "agent/doctor/finding.h"
#include "agent/doctor/name_query.h"
#include "agent/network/network_state.h"
#include "common/random.h"

namespace swarm::agent {

struct ExaminationPlace {
  NetworkState state;
  std::set<std::string> network_ids;  // that are asked for; empty: all
  IpAddress underlay;                 // of this node; empty: none is known
  uint16_t vxlan_port = 4789;
  bool has_wireguard = false;  // else nothing of encrypted networks is looked at
  std::string netns_dir;       // has a container's namespace by its task's id
};

struct PlannedEcho {
  Finding::Check check = Finding::Check::kPeer;  // or kOverlay, kVirtualAddress
  std::string network_id;                        // none: kPeer
  std::string peer_node_id;                      // none: kVirtualAddress
  std::string service_id;                        // kVirtualAddress
  std::string from_task;                         // none: kPeer
  std::string to_task;                           // kOverlay
  EchoProbe probe;
};

struct PlannedQuestion {
  std::string network_id, service_id, from_task;
  NameProbe probe;
  std::set<IpAddress> wanted;  // by what the manager said
  bool some = false;           // the answer has a choice of them only
};

struct PlannedConnection {
  std::string service_id;  // of an ingress port
  std::string task_id;     // of a port in host mode
  uint16_t target = 0;     // in the container
  int serving = 0;         // tasks behind it
  ConnectionProbe probe;
};

struct ExaminationPlan {
  std::vector<PlannedEcho> echoes;
  std::vector<PlannedQuestion> questions;
  std::vector<PlannedConnection> connections;
  // What the bounds below cut off.
  size_t left_out = 0;

  static constexpr size_t kPairsPerNode = 3;
  static constexpr size_t kMostAskers = 64;  // containers that are entered, each two descriptors
  static constexpr size_t kMostEchoes = 4'000;
  static constexpr size_t kMostQuestions = 500;
  static constexpr size_t kMostPorts = 64;
  static constexpr int kMostConnectionsPerPort = 8;
};

// `random` chooses nothing that is seen.
ExaminationPlan PlanExamination(const ExaminationPlace& place, Random& random);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_EXAMINATION_PLAN_H_
