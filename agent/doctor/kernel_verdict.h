// What the kernel holds against what it should, and what other programs do in the host, in words.
// Pure.
#ifndef SWARM_AGENT_DOCTOR_KERNEL_VERDICT_H_
#define SWARM_AGENT_DOCTOR_KERNEL_VERDICT_H_

#include <string>
#include <vector>

#include "agent/doctor/finding.h"
#include "agent/network/network_state.h"
#include "agent/network/router.h"

namespace swarm::agent {

// One finding: OK, or all that differs. What is missing is BROKEN, what is there and should not be
// a warning.
Finding JudgeKernel(const NetworkState& state, const RouterComparison& comparison);

// What other programs in the host do to what it forwards for containers, as Router::Obstacles says
// it: a warning each.
std::vector<Finding> JudgeObstacles(const std::vector<std::string>& obstacles);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_KERNEL_VERDICT_H_
