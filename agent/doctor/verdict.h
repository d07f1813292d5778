// From what probes met to findings in words. Pure.
//
// Findings are grouped: one for each network and node, for each virtual address, for each port, and
// of names one for each that is wrong, for each container that gets no answer, and one for a
// network whose names are right.
#ifndef SWARM_AGENT_DOCTOR_VERDICT_H_
#define SWARM_AGENT_DOCTOR_VERDICT_H_

#include <string>
#include <vector>

#include "agent/doctor/examination_plan.h"
#include "agent/doctor/finding.h"

namespace swarm::agent {

// `results` has one for each of `echoes`.
std::vector<Finding> JudgeEchoes(const ExaminationPlace& place,
                                 const std::vector<PlannedEcho>& echoes,
                                 const std::vector<EchoResult>& results);
std::vector<Finding> JudgeNames(const ExaminationPlace& place,
                                const std::vector<PlannedQuestion>& questions,
                                const std::vector<NameResult>& results);
std::vector<Finding> JudgeConnections(const ExaminationPlace& place,
                                      const std::vector<PlannedConnection>& connections,
                                      const std::vector<ConnectionResult>& results);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_VERDICT_H_
