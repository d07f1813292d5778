#include "agent/network_doctor.h"

#include <algorithm>
#include <utility>

#include "agent/doctor/examination.h"
#include "agent/doctor/verdict.h"
#include "agent/on_pool.h"
#include "common/check.h"
#include "common/proto_time.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

using Findings = std::vector<Finding>;

v1::NetworkFinding::Check CheckOf(Finding::Check check) {
  switch (check) {
    case Finding::Check::kNode:
      return v1::NetworkFinding::CHECK_NODE;
    case Finding::Check::kKernelState:
      return v1::NetworkFinding::CHECK_KERNEL_STATE;
    case Finding::Check::kPeer:
      return v1::NetworkFinding::CHECK_PEER;
    case Finding::Check::kOverlay:
      return v1::NetworkFinding::CHECK_OVERLAY;
    case Finding::Check::kResolver:
      return v1::NetworkFinding::CHECK_RESOLVER;
    case Finding::Check::kVirtualAddress:
      return v1::NetworkFinding::CHECK_VIRTUAL_ADDRESS;
    case Finding::Check::kPublishedPort:
      return v1::NetworkFinding::CHECK_PUBLISHED_PORT;
  }
  return v1::NetworkFinding::CHECK_UNSPECIFIED;
}

v1::NetworkFinding::Severity SeverityOf(Finding::Severity severity) {
  switch (severity) {
    case Finding::Severity::kOk:
      return v1::NetworkFinding::SEVERITY_OK;
    case Finding::Severity::kWarning:
      return v1::NetworkFinding::SEVERITY_WARNING;
    case Finding::Severity::kBroken:
      return v1::NetworkFinding::SEVERITY_BROKEN;
  }
  return v1::NetworkFinding::SEVERITY_UNSPECIFIED;
}

Finding OfNode(std::string message) {
  return {.severity = Finding::Severity::kWarning, .message = std::move(message)};
}

// On the doctor's own thread.
Findings Look(const ExaminationPlace& place, const NetworksCondition& condition, const Clock& clock,
              const std::atomic<bool>& cancelled) {
  const auto random = MakeSystemRandom();
  const auto open = condition.router->GetIfThere(condition.needs);
  const absl::Status trouble = open.ok() ? condition.trouble : open.status();
  Router* router = open.ok() && *open != nullptr ? (*open)->router.get() : nullptr;
  return Examine(place, router, trouble, {clock, *random, cancelled});
}

}  // namespace

NetworkDoctor::NetworkDoctor(const Env& env, NodeNetworks& networks, Send send)
    : env_(env),
      networks_(networks),
      send_(std::move(send)),
      pool_(MakeThreadPool("agent-doctor", 1, kMostWaiting)) {}

NetworkDoctor::~NetworkDoctor() {
  *alive_ = false;
  *cancelled_ = true;
  pool_.reset();  // waits
}

void NetworkDoctor::Diagnose(const v1::DiagnoseNetworks& request) {
  DCHECK(env_.loop.InLoop());
  const NetworksCondition condition = networks_.Condition();
  if (!condition.told) {
    return Answer(request.diagnosis_id(),
                  {OfNode("the manager has not said yet what networks there are")});
  }
  auto place = std::make_shared<const ExaminationPlace>(
      ExaminationPlace{.state = networks_.state(),
                       .network_ids = {request.network_ids().begin(), request.network_ids().end()},
                       .underlay = condition.needs.underlay,
                       .vxlan_port = condition.vxlan_port,
                       .has_wireguard = condition.has_wireguard,
                       .netns_dir = condition.netns_dir});
  OnPool<absl::StatusOr<Findings>>(
      env_.loop, *pool_,
      [place, condition, &clock = env_.clock, cancelled = cancelled_]()
          -> absl::StatusOr<Findings> { return Look(*place, condition, clock, *cancelled); },
      [this, alive = alive_, id = request.diagnosis_id(), place,
       changes = condition.changes](absl::StatusOr<Findings> findings) {
        if (!*alive) return;
        if (!findings.ok()) {
          return Answer(id, {OfNode("it is looking already for several others: try again")});
        }
        if (networks_.Condition().changes != changes) {
          std::erase_if(*findings, [&](const Finding& finding) {
            return !StillHolds(finding, place->state, networks_.state());
          });
        }
        Answer(id, *std::move(findings));
      });
}

void NetworkDoctor::Answer(const std::string& diagnosis_id, Findings findings) {
  findings = Shortened(std::move(findings), kMostFindings);
  v1::NetworkDiagnosis piece;
  piece.set_diagnosis_id(diagnosis_id);
  for (const Finding& finding : findings) {
    if (piece.findings_size() == kPieceSize) {
      send_(piece);
      piece.clear_findings();
    }
    *piece.add_findings() = FindingToProto(finding);
  }
  piece.set_last(true);
  send_(std::move(piece));
}

std::vector<Finding> Shortened(std::vector<Finding> findings, size_t most) {
  if (findings.size() <= most) return findings;
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  const Finding::Severity worst_left = findings[most - 1].severity;
  const size_t missing = findings.size() - (most - 1);
  findings.resize(most - 1);
  findings.push_back({.severity = worst_left,
                      .message = StrCat(missing, " more findings of this node are not shown")});
  return findings;
}

v1::NetworkFinding FindingToProto(const Finding& finding) {
  v1::NetworkFinding proto;
  proto.set_check(CheckOf(finding.check));
  proto.set_severity(SeverityOf(finding.severity));
  proto.set_network_id(finding.network_id);
  proto.set_peer_node_id(finding.peer_node_id);
  proto.set_service_id(finding.service_id);
  proto.set_task_id(finding.task_id);
  proto.set_message(finding.message);
  if (finding.round_trip > absl::ZeroDuration()) {
    *proto.mutable_round_trip() = ToProto(finding.round_trip);
  }
  return proto;
}

}  // namespace swarm::agent
