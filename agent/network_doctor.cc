#include "agent/network_doctor.h"

#include <algorithm>
#include <utility>

#include "agent/doctor/examination.h"
#include "agent/doctor/meanwhile.h"
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
  if (cancelled) return {};
  const auto random = MakeSystemRandom();
  const RouterHandle::Shared open = condition.router->IfOpen();
  Router* router = open == nullptr ? nullptr : open->router.get();
  return Shortened(Examine(place, router, condition.trouble, {clock, *random, cancelled}),
                   NetworkDoctor::kMostFindings);
}

}  // namespace

NetworkDoctor::NetworkDoctor(const Env& env, NodeNetworks& networks, Send send,
                             std::unique_ptr<WorkerPool> pool)
    : env_(env),
      networks_(networks),
      send_(std::move(send)),
      pool_(pool != nullptr ? std::move(pool) : MakeThreadPool("agent-doctor", 1, 1)) {}

NetworkDoctor::~NetworkDoctor() {
  *cancelled_ = true;
  pool_.reset();  // waits
}

void NetworkDoctor::Diagnose(const v1::DiagnoseNetworks& request) {
  DCHECK(env_.loop.InLoop());
  std::set<std::string> networks(request.network_ids().begin(), request.network_ids().end());
  for (Asked& asked : waiting_) {
    if (asked.networks != networks || asked.ids.size() >= kMostPerLook) continue;
    asked.ids.push_back(request.diagnosis_id());
    return;
  }
  if (waiting_.size() >= kMostWaiting) {
    return Answer({request.diagnosis_id()},
                  {OfNode("it is looking already for several others: try again")});
  }
  waiting_.push_back({std::move(networks), {request.diagnosis_id()}});
  MaybeLook();
}

void NetworkDoctor::Cancel() {
  DCHECK(env_.loop.InLoop());
  *cancelled_ = true;
  cancelled_ = std::make_shared<std::atomic<bool>>(false);
  waiting_.clear();
  looking_ = false;
}

void NetworkDoctor::MaybeLook() {
  if (looking_ || waiting_.empty()) return;
  Asked asked = std::move(waiting_.front());
  waiting_.pop_front();
  const NetworksCondition condition = networks_.Condition();
  if (!condition.told) {
    Answer(asked.ids, {OfNode("the manager has not said yet what networks there are")});
    return MaybeLook();
  }
  looking_ = true;
  auto place = std::make_shared<const ExaminationPlace>(
      ExaminationPlace{.state = networks_.state(),
                       .network_ids = std::move(asked.networks),
                       .underlay = condition.needs.underlay,
                       .vxlan_port = condition.vxlan_port,
                       .has_wireguard = condition.has_wireguard,
                       .netns_dir = condition.netns_dir});
  OnPool<absl::StatusOr<Findings>>(
      env_.loop, *pool_,
      [place, condition, &clock = env_.clock, cancelled = cancelled_]()
          -> absl::StatusOr<Findings> { return Look(*place, condition, clock, *cancelled); },
      [this, cancelled = cancelled_, ids = std::move(asked.ids), place,
       changes = condition.changes](absl::StatusOr<Findings> findings) {
        if (*cancelled) return;  // and this may be gone
        looking_ = false;
        if (!findings.ok()) findings = Findings{OfNode(std::string(findings.status().message()))};
        if (networks_.Condition().changes != changes) {
          const Meanwhile meanwhile(place->state, networks_.state());
          std::erase_if(*findings,
                        [&](const Finding& finding) { return meanwhile.Touches(finding); });
        }
        Answer(ids, *findings);
        MaybeLook();
      });
}

void NetworkDoctor::Answer(const std::vector<std::string>& ids, const Findings& findings) {
  for (const std::string& id : ids) {
    v1::NetworkDiagnosis piece;
    piece.set_diagnosis_id(id);
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
