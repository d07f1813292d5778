// How findings name things. Pure.
#ifndef SWARM_AGENT_DOCTOR_WORDS_H_
#define SWARM_AGENT_DOCTOR_WORDS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/network/network_state.h"

namespace swarm::agent {

// "a, b, c and 4 more".
std::string Some(const std::vector<std::string>& all);
// "1 task", "2 tasks".
std::string Count(size_t n, const char* one, const char* many);

// "web.2": a task's name as people say it; its id when nothing is known of it.
std::string ShortName(const NetworkState& state, const std::string& task_id);
// A service's or network's name, or its id.
std::string ServiceName(const NetworkState& state, const std::string& service_id);
std::string NetworkName(const NetworkState& state, const std::string& network_id);
// Where a node's VXLAN listens; "" when it is no peer.
std::string UnderlayAddress(const NetworkState& state, const std::string& node_id);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_WORDS_H_
