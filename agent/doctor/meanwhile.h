// What changed of a node's networks while they were looked at. Pure.
//
//   const Meanwhile meanwhile(before, now);
//   std::erase_if(findings, [&](const Finding& finding) { return meanwhile.Touches(finding); });
//
// Made once, as long as the states are; asked for each finding.
#ifndef SWARM_AGENT_DOCTOR_MEANWHILE_H_
#define SWARM_AGENT_DOCTOR_MEANWHILE_H_

#include <set>
#include <string>
#include <utility>

#include "agent/doctor/finding.h"
#include "agent/network/network_state.h"

namespace swarm::agent {

class Meanwhile {
 public:
  Meanwhile(const NetworkState& before, const NetworkState& now);

  // What the finding is about is not as it was, so that what it says may only be that. Never of one
  // that is OK.
  bool Touches(const Finding& finding) const;

 private:
  std::set<std::string> networks_, services_, tasks_;     // that changed, by id
  std::set<std::pair<std::string, std::string>> places_;  // networks on nodes
  std::set<std::string> moved_;  // nodes that are not where they were over the underlay
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_MEANWHILE_H_
