#include "manager/api/role_table.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

struct Rule {
  std::string_view method;
  uint8_t callers;
};

constexpr uint8_t kWriters = kLocalAdmin | kAdmin;
constexpr uint8_t kReaders = kWriters | kViewer;
constexpr uint8_t kNodes = kManagerNode | kWorkerNode;
constexpr uint8_t kKnown = kReaders | kNodes;

constexpr Rule kRules[] = {
    {"/swarm.v1.Control/GetCluster", kReaders},
    {"/swarm.v1.Control/UpdateCluster", kWriters},
    {"/swarm.v1.Control/GetJoinTokens", kWriters},
    {"/swarm.v1.Control/RotateJoinToken", kWriters},
    {"/swarm.v1.Control/CreateClientCertificate", kWriters},
    {"/swarm.v1.Control/GetUnlockKey", kWriters},
    {"/swarm.v1.Control/RotateUnlockKey", kWriters},
    {"/swarm.v1.UnlockKeys/ConfirmUnlockKey", kWriters},
    {"/swarm.v1.Control/GetNode", kReaders},
    {"/swarm.v1.Control/ListNodes", kReaders},
    {"/swarm.v1.Control/UpdateNode", kWriters},
    {"/swarm.v1.Control/DeleteNode", kWriters},
    {"/swarm.v1.Control/CreateService", kWriters},
    {"/swarm.v1.Control/GetService", kReaders},
    {"/swarm.v1.Control/ListServices", kReaders},
    {"/swarm.v1.Control/UpdateService", kWriters},
    {"/swarm.v1.Control/DeleteService", kWriters},
    {"/swarm.v1.Control/RollbackService", kWriters},
    {"/swarm.v1.Control/ListRevisions", kReaders},
    {"/swarm.v1.Control/RebalanceService", kWriters},
    {"/swarm.v1.Control/CreateNetwork", kWriters},
    {"/swarm.v1.Control/GetNetwork", kReaders},
    {"/swarm.v1.Control/ListNetworks", kReaders},
    {"/swarm.v1.Control/DeleteNetwork", kWriters},
    // Reads, but has every node of the cluster send packets and open connections.
    {"/swarm.v1.Control/DiagnoseNetworks", kWriters},
    {"/swarm.v1.Control/CreateSecret", kWriters},
    {"/swarm.v1.Control/GetSecret", kReaders},
    {"/swarm.v1.Control/ListSecrets", kReaders},
    {"/swarm.v1.Control/UpdateSecret", kWriters},
    {"/swarm.v1.Control/DeleteSecret", kWriters},
    {"/swarm.v1.Control/CreateConfig", kWriters},
    {"/swarm.v1.Control/GetConfig", kReaders},
    {"/swarm.v1.Control/ListConfigs", kReaders},
    {"/swarm.v1.Control/UpdateConfig", kWriters},
    {"/swarm.v1.Control/DeleteConfig", kWriters},
    {"/swarm.v1.Control/CreateVolume", kWriters},
    {"/swarm.v1.Control/GetVolume", kReaders},
    {"/swarm.v1.Control/ListVolumes", kReaders},
    {"/swarm.v1.Control/DeleteVolume", kWriters},
    {"/swarm.v1.Control/GetTask", kReaders},
    {"/swarm.v1.Control/ListTasks", kReaders},
    {"/swarm.v1.Control/Watch", kReaders},
    {"/swarm.v1.Control/GetVersion", kKnown},

    {"/swarm.v1.Logs/Subscribe", kReaders},
    {"/swarm.v1.LogPublisher/Publish", kNodes},
    {"/swarm.v1.Dispatcher/Session", kNodes},

    {"/swarm.v1.Containers/Exec", kWriters},
    {"/swarm.v1.Containers/Attach", kWriters},
    {"/swarm.v1.Containers/CopyTo", kWriters},
    {"/swarm.v1.Containers/CopyFrom", kWriters},
    {"/swarm.v1.Containers/Stats", kReaders},
    {"/swarm.v1.Containers/Top", kReaders},
    {"/swarm.v1.ContainerStreams/Serve", kNodes},

    {"/swarm.v1.CertificateAuthority/GetRootCertificate", kAnyone | kLocalAdmin},
    {"/swarm.v1.CertificateAuthority/IssueNodeCertificate", kAnyone | kLocalAdmin},
    {"/swarm.v1.CertificateRenewal/RenewNodeCertificate", kNodes},

    // The agent's own socket; no manager serves it.
    {"/swarm.v1.NodeLocal/InitCluster", kNobody},
    {"/swarm.v1.NodeLocal/JoinCluster", kNobody},
    {"/swarm.v1.NodeLocal/LeaveCluster", kNobody},
    {"/swarm.v1.NodeLocal/GetNodeInfo", kNobody},
    {"/swarm.v1.NodeLocal/LoadImage", kNobody},
    {"/swarm.v1.NodeLocal/PullImage", kNobody},
    {"/swarm.v1.NodeLocal/ListImages", kNobody},
    {"/swarm.v1.NodeLocal/RemoveImage", kNobody},

    // A locked manager's socket, where nobody but root and the group get to.
    {"/swarm.v1.Unlock/UnlockManager", kLocalAdmin},

    // Served by common/grpc, to any certificate of the cluster.
    {"/grpc.health.v1.Health/Check", kKnown},
    {"/grpc.health.v1.Health/Watch", kKnown},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", kKnown},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kKnown},
};

}  // namespace

std::optional<uint8_t> RuleOf(std::string_view method) {
  const auto* rule = std::find_if(std::begin(kRules), std::end(kRules),
                                  [&](const Rule& r) { return r.method == method; });
  if (rule == std::end(kRules)) return std::nullopt;
  return rule->callers;
}

Caller CallerOf(const edge::PeerIdentity& peer) {
  switch (peer.kind) {
    case edge::PeerIdentity::Kind::kUnknown:
      return kNobody;
    case edge::PeerIdentity::Kind::kAnonymous:
      return kAnyone;
    case edge::PeerIdentity::Kind::kLocal:
      return kLocalAdmin;
    case edge::PeerIdentity::Kind::kCertificate:
      break;
  }
  switch (peer.certificate.role) {
    case tls::Role::kNone:
      return kNobody;
    case tls::Role::kWorker:
      return kWorkerNode;
    case tls::Role::kManager:
      return kManagerNode;
    case tls::Role::kClientViewer:
      return kViewer;
    case tls::Role::kClientAdmin:
      return kAdmin;
  }
  return kNobody;
}

absl::Status Authorize(std::string_view method, const edge::PeerIdentity& peer) {
  const Caller caller = CallerOf(peer);
  if (caller == kNobody) {
    return absl::UnauthenticatedError(StrCat(peer.ToString(), " proved no identity"));
  }
  if ((RuleOf(method).value_or(kNobody) & caller) != 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      StrCat(peer.ToString(), " may not call ", method.substr(method.empty() ? 0 : 1)));
}

}  // namespace swarm::manager
