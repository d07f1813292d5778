// Examination: looks at a node's networks from itself and from inside of its containers, and says
// in words what is wrong.
//
//   std::vector<Finding> findings = Examine(place, router, trouble, env);
//
// Blocking, for a worker thread: 0.3 s when all is well, at most some 5 s. What it does to the
// world: pings (ICMP echoes, three to each), questions to 127.0.0.11, TCP connections to published
// ports, which are closed at once. Nothing is changed or left behind.
//
// What is well is folded (folding.h): a node of a thousand others says so in one line a network.
//
// What it cannot see: UDP and SCTP ports, rules of iptables-legacy, tasks that do not serve, and
// networks in which no task of this node serves.
#ifndef SWARM_AGENT_DOCTOR_EXAMINATION_H_
#define SWARM_AGENT_DOCTOR_EXAMINATION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/doctor/examination_plan.h"
#include "agent/doctor/finding.h"
#include "agent/doctor/probe_env.h"
#include "agent/network/router.h"

namespace swarm::agent {

// `router` is null when this node has none: because it is in no network, or `trouble` says why not.
// OK `trouble`: the router follows what the manager says.
std::vector<Finding> Examine(const ExaminationPlace& place, Router* router,
                             const absl::Status& trouble, const ProbeEnv& env);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_EXAMINATION_H_
