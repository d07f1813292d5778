#include "agent/doctor/examination.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/doctor/folding.h"
#include "agent/doctor/kernel_verdict.h"
#include "agent/doctor/verdict.h"
#include "agent/doctor/words.h"
#include "agent/network/container_plan.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Severity = Finding::Severity;

void Append(std::vector<Finding> more, std::vector<Finding>* findings) {
  std::move(more.begin(), more.end(), std::back_inserter(*findings));
}

Finding OfNode(Severity severity, std::string message, std::string network_id = "") {
  return {.check = Check::kNode,
          .severity = severity,
          .network_id = std::move(network_id),
          .message = std::move(message)};
}

std::vector<Finding> JudgeNode(const ExaminationPlace& place, const Router* router,
                               const absl::Status& trouble) {
  std::vector<Finding> findings;
  for (const auto& [id, network] : place.state.networks) {
    if (!place.network_ids.empty() && !place.network_ids.contains(id)) continue;
    const absl::Status carried = CheckNetwork(network, place.has_wireguard);
    if (!carried.ok()) {
      findings.push_back(OfNode(Severity::kBroken, std::string(carried.message()), id));
    }
  }
  if (!trouble.ok()) {
    findings.push_back(OfNode(
        Severity::kBroken, absl::StrCat("this node cannot bring its networks to what is wanted: ",
                                        trouble.message(), "; it tries again all the time")));
  } else if (router == nullptr && !place.state.networks.empty()) {
    findings.push_back(OfNode(Severity::kWarning, "it does not have its networks yet: try again"));
  } else if (findings.empty()) {
    findings.push_back(
        OfNode(Severity::kOk, router == nullptr
                                  ? "it is in no network"
                                  : absl::StrCat("it is in ", Count(place.state.networks.size(),
                                                                    "network", "networks"))));
  }
  return findings;
}

// Only who carries something through the host cares for what the host forwards.
bool UsesHost(const NetworkState& state) {
  return !state.host_ports.empty() || !state.ingress_ports.empty() ||
         std::any_of(state.networks.begin(), state.networks.end(),
                     [](const auto& network) { return !network.second.internal; });
}

std::vector<Finding> LookAtKernel(const NetworkState& state, Router* router) {
  std::vector<Finding> findings;
  const auto comparison = router->Compare();
  if (comparison.ok()) {
    findings.push_back(JudgeKernel(state, *comparison));
  } else {
    findings.push_back({.check = Check::kKernelState,
                        .severity = Severity::kWarning,
                        .message = absl::StrCat("cannot compare the kernel with what is wanted: ",
                                                comparison.status().message())});
  }
  if (UsesHost(state)) Append(JudgeObstacles(router->Obstacles()), &findings);
  return findings;
}

}  // namespace

std::vector<Finding> Examine(const ExaminationPlace& place, Router* router,
                             const absl::Status& trouble, const ProbeEnv& env) {
  std::vector<Finding> findings = JudgeNode(place, router, trouble);
  if (router == nullptr) return findings;
  Append(LookAtKernel(place.state, router), &findings);
  const ExaminationPlan plan = PlanExamination(place, env.random);
  std::vector<EchoProbe> echoes;
  for (const PlannedEcho& echo : plan.echoes) echoes.push_back(echo.probe);
  Append(JudgeEchoes(place, plan.echoes, RunEchoes(echoes, {}, env)), &findings);
  std::vector<NameProbe> names;
  for (const PlannedQuestion& question : plan.questions) names.push_back(question.probe);
  Append(JudgeNames(place, plan.questions, AskNames(names, {}, env)), &findings);
  std::vector<ConnectionProbe> ports;
  for (const PlannedConnection& port : plan.connections) ports.push_back(port.probe);
  Append(JudgeConnections(place, plan.connections, TryConnections(ports, {}, env)), &findings);
  if (plan.left_out > 0) {
    findings.push_back(OfNode(
        Severity::kWarning,
        absl::StrCat(Count(plan.left_out, "check was", "checks were"),
                     " left out: there are more than one look may make; ask for fewer networks")));
  }
  return Folded(std::move(findings), place.state);
}

}  // namespace swarm::agent
