// For the tests of this room: a small cluster as one node, "here", knows it.
#ifndef SWARM_AGENT_DOCTOR_DOCTOR_TEST_WORLD_H_
#define SWARM_AGENT_DOCTOR_DOCTOR_TEST_WORLD_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "agent/doctor/examination_plan.h"

namespace swarm::agent {

inline IpAddress Ip(const char* text) { return IpAddress::Parse(text).value(); }

// Networks "front" and the ingress; service web with a task here and two on node "there".
struct DoctorTestWorld {
  DoctorTestWorld() {
    place.underlay = Ip("192.168.1.1");
    place.netns_dir = "/run/netns";
    state.node_id = "here";
    AddNetwork("front", "10.0.1.0/24", "10.0.1.1", 4097);
    AddNetwork("ingress", "10.0.0.0/24", "10.0.0.1", 4096).ingress = true;
    AddPeer("front", "there", "192.168.1.3");
    AddTask("front", "web.1", "web", "here", "10.0.1.5");
    AddTask("front", "web.2", "web", "there", "10.0.1.6");
    AddTask("front", "web.3", "web", "there", "10.0.1.7");
    AddService("front", "web", "10.0.1.2");
  }

  Network& AddNetwork(const std::string& name, const char* subnet, const char* gateway,
                      uint32_t vni) {
    Network& network = state.networks[name + "-id"];
    network.id = name + "-id";
    network.name = name;
    network.vni = vni;
    network.subnets.push_back({IpPrefix::Parse(subnet).value(), Ip(gateway)});
    return network;
  }
  void AddPeer(const std::string& network, const std::string& node, const char* underlay) {
    NetworkPeer peer{.network_id = network + "-id", .node_id = node, .underlay = Ip(underlay)};
    state.peers[peer.key()] = peer;
  }
  // "web.1" is the task "web.1-id".
  NetworkTask& AddTask(const std::string& network, const std::string& name,
                       const std::string& service, const std::string& node, const char* v4) {
    NetworkTask task;
    task.network_id = network + "-id";
    task.task_id = name + "-id";
    task.service_id = service + "-id";
    task.node_id = node;
    task.name = absl::StrCat(name, ".", task.task_id);
    task.v4 = Ip(v4);
    task.serving = true;
    return state.tasks[task.key()] = task;
  }
  NetworkService& AddService(const std::string& network, const std::string& name, const char* vip) {
    NetworkService service;
    service.network_id = network + "-id";
    service.service_id = name + "-id";
    service.name = name;
    if (vip != nullptr) service.vip4 = Ip(vip);
    return state.services[service.key()] = service;
  }

  ExaminationPlace place;
  NetworkState& state = place.state;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_DOCTOR_TEST_WORLD_H_
