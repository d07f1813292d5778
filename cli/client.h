// The daemons as the commands see them: plain calls with proto messages, no gRPC. One thread.
//
// Every call waits for its answer, at most half a minute unless it says otherwise. Ctrl-C ends it
// with InterruptedError (errors.h). Errors are the daemon's own Status; one that does not answer is
// Unavailable with words on what to do.
#ifndef SWARM_CLI_CLIENT_H_
#define SWARM_CLI_CLIENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "swarm/v1/containers.pb.h"
#include "swarm/v1/control.pb.h"
#include "swarm/v1/logs.pb.h"
#include "swarm/v1/node_local.pb.h"
#include "swarm/v1/unlock.pb.h"

namespace swarm::cli {

template <typename T>
class Stream {
 public:
  virtual ~Stream() = default;
  // The next message; nothing when `timeout` passed without one (the stream goes on). OutOfRange at
  // the stream's end, InterruptedError at Ctrl-C, else the daemon's error.
  virtual absl::StatusOr<std::optional<T>> Next(absl::Duration timeout) = 0;
};

// An exec or attach. Send from one thread, Next from another; the rest from either.
class Dialogue {
 public:
  virtual ~Dialogue() = default;
  // Waits while the other side does not take it. False when the dialogue is over.
  virtual bool Send(const v1::ContainerInput& input) = 0;
  // OutOfRange at the end, else the manager's error.
  virtual absl::StatusOr<v1::ContainerOutput> Next() = 0;
  // Ends it now; a Send or Next that waits comes back.
  virtual void Cancel() = 0;
};

class ManagerClient {
 public:
  virtual ~ManagerClient() = default;
  virtual absl::StatusOr<v1::Cluster> GetCluster(const v1::GetClusterRequest&) = 0;
  virtual absl::StatusOr<v1::Cluster> UpdateCluster(const v1::UpdateClusterRequest&) = 0;
  virtual absl::StatusOr<v1::JoinTokens> GetJoinTokens(const v1::GetJoinTokensRequest&) = 0;
  virtual absl::StatusOr<v1::JoinTokens> RotateJoinToken(const v1::RotateJoinTokenRequest&) = 0;
  virtual absl::StatusOr<v1::ClientCertificate> CreateClientCertificate(
      const v1::CreateClientCertificateRequest&) = 0;
  virtual absl::StatusOr<v1::UnlockKey> GetUnlockKey(const v1::GetUnlockKeyRequest&) = 0;
  virtual absl::StatusOr<v1::UnlockKey> RotateUnlockKey(const v1::RotateUnlockKeyRequest&) = 0;
  virtual absl::StatusOr<v1::ConfirmUnlockKeyResponse> ConfirmUnlockKey(
      const v1::ConfirmUnlockKeyRequest&) = 0;
  // Of a manager that is locked.
  virtual absl::StatusOr<v1::UnlockManagerResponse> UnlockManager(
      const v1::UnlockManagerRequest&) = 0;
  virtual absl::StatusOr<v1::Node> GetNode(const v1::GetNodeRequest&) = 0;
  virtual absl::StatusOr<v1::ListNodesResponse> ListNodes(const v1::ListNodesRequest&) = 0;
  virtual absl::StatusOr<v1::Node> UpdateNode(const v1::UpdateNodeRequest&) = 0;
  virtual absl::StatusOr<v1::DeleteNodeResponse> DeleteNode(const v1::DeleteNodeRequest&) = 0;
  // Up to two minutes: a service of the same name may still be on its way out.
  virtual absl::StatusOr<v1::CreateServiceResponse> CreateService(
      const v1::CreateServiceRequest&) = 0;
  // Each as alone, several under way at once and begun in order after begin(its place). Once one
  // has failed no more are begun, and those that were not are Cancelled.
  using Begin = std::function<void(size_t)>;
  virtual std::vector<absl::StatusOr<v1::CreateServiceResponse>> CreateServices(
      const std::vector<v1::CreateServiceRequest>& requests, const Begin& begin) = 0;
  virtual std::vector<absl::StatusOr<v1::UpdateServiceResponse>> UpdateServices(
      const std::vector<v1::UpdateServiceRequest>& requests, const Begin& begin) = 0;
  virtual absl::StatusOr<v1::Service> GetService(const v1::GetServiceRequest&) = 0;
  virtual absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest&) = 0;
  virtual absl::StatusOr<v1::UpdateServiceResponse> UpdateService(
      const v1::UpdateServiceRequest&) = 0;
  virtual absl::StatusOr<v1::DeleteServiceResponse> DeleteService(
      const v1::DeleteServiceRequest&) = 0;
  virtual absl::StatusOr<v1::UpdateServiceResponse> RollbackService(
      const v1::RollbackServiceRequest&) = 0;
  virtual absl::StatusOr<v1::ListRevisionsResponse> ListRevisions(
      const v1::ListRevisionsRequest&) = 0;
  virtual absl::StatusOr<v1::RebalanceServiceResponse> RebalanceService(
      const v1::RebalanceServiceRequest&) = 0;
  virtual absl::StatusOr<v1::Network> CreateNetwork(const v1::CreateNetworkRequest&) = 0;
  virtual absl::StatusOr<v1::Network> GetNetwork(const v1::GetNetworkRequest&) = 0;
  virtual absl::StatusOr<v1::ListNetworksResponse> ListNetworks(const v1::ListNetworksRequest&) = 0;
  // FailedPrecondition: something uses it.
  virtual absl::StatusOr<v1::DeleteNetworkResponse> DeleteNetwork(
      const v1::DeleteNetworkRequest&) = 0;
  virtual std::unique_ptr<Stream<v1::NetworkFinding>> DiagnoseNetworks(
      const v1::DiagnoseNetworksRequest&) = 0;
  virtual absl::StatusOr<v1::Secret> CreateSecret(const v1::CreateSecretRequest&) = 0;
  virtual absl::StatusOr<v1::Secret> GetSecret(const v1::GetSecretRequest&) = 0;
  virtual absl::StatusOr<v1::ListSecretsResponse> ListSecrets(const v1::ListSecretsRequest&) = 0;
  virtual absl::StatusOr<v1::Secret> UpdateSecret(const v1::UpdateSecretRequest&) = 0;
  // FailedPrecondition: something uses it.
  virtual absl::StatusOr<v1::DeleteSecretResponse> DeleteSecret(const v1::DeleteSecretRequest&) = 0;
  virtual absl::StatusOr<v1::Config> CreateConfig(const v1::CreateConfigRequest&) = 0;
  virtual absl::StatusOr<v1::Config> GetConfig(const v1::GetConfigRequest&) = 0;
  virtual absl::StatusOr<v1::ListConfigsResponse> ListConfigs(const v1::ListConfigsRequest&) = 0;
  virtual absl::StatusOr<v1::Config> UpdateConfig(const v1::UpdateConfigRequest&) = 0;
  // FailedPrecondition: something uses it.
  virtual absl::StatusOr<v1::DeleteConfigResponse> DeleteConfig(const v1::DeleteConfigRequest&) = 0;
  virtual absl::StatusOr<v1::Volume> CreateVolume(const v1::CreateVolumeRequest&) = 0;
  virtual absl::StatusOr<v1::Volume> GetVolume(const v1::GetVolumeRequest&) = 0;
  virtual absl::StatusOr<v1::ListVolumesResponse> ListVolumes(const v1::ListVolumesRequest&) = 0;
  // Waits for the nodes that hold it. FailedPrecondition: something uses it.
  virtual absl::StatusOr<v1::DeleteVolumeResponse> DeleteVolume(const v1::DeleteVolumeRequest&) = 0;
  virtual absl::StatusOr<v1::Task> GetTask(const v1::GetTaskRequest&) = 0;
  virtual absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest&) = 0;
  virtual absl::StatusOr<v1::VersionInfo> GetVersion(const v1::GetVersionRequest&) = 0;
  // `patient`: a manager that is not there is waited for, so that a restart is no error.
  virtual std::unique_ptr<Stream<v1::WatchEvent>> Watch(const v1::WatchRequest&, bool patient) = 0;
  virtual std::unique_ptr<Stream<v1::LogMessage>> SubscribeLogs(
      const v1::SubscribeLogsRequest&) = 0;
  // `start` is an exec or an attach. Ctrl-C is the caller's to handle.
  virtual std::unique_ptr<Dialogue> OpenDialogue(const v1::ContainerInput& start) = 0;
  // Sends all that `read` gives, until it gives an empty piece; no limit in time.
  virtual absl::Status CopyTo(const v1::CopyToStart&,
                              const std::function<absl::StatusOr<std::string>()>& read) = 0;
  virtual std::unique_ptr<Stream<v1::CopyFromResponse>> CopyFrom(const v1::CopyFromStart&) = 0;
  virtual std::unique_ptr<Stream<v1::StatsResponse>> Stats(const v1::StatsRequest&) = 0;
  virtual absl::StatusOr<v1::TopResponse> Top(const v1::TopRequest&) = 0;
};

class NodeClient {
 public:
  virtual ~NodeClient() = default;
  // Init, Join and Leave: up to two minutes.
  virtual absl::StatusOr<v1::InitClusterResponse> Init(const v1::InitClusterRequest&) = 0;
  virtual absl::StatusOr<v1::JoinClusterResponse> Join(const v1::JoinClusterRequest&) = 0;
  virtual absl::StatusOr<v1::LeaveClusterResponse> Leave(const v1::LeaveClusterRequest&) = 0;
  virtual absl::StatusOr<v1::NodeInfo> GetNodeInfo(const v1::GetNodeInfoRequest&) = 0;
  // Sends all that `read` gives, until it gives an empty piece; no limit in time.
  using Reader = std::function<absl::StatusOr<std::string>()>;
  virtual absl::StatusOr<v1::LoadImageResponse> LoadImage(const std::string& reference,
                                                          const Reader& read) = 0;
  virtual std::unique_ptr<Stream<v1::PullImageProgress>> PullImage(const v1::PullImageRequest&) = 0;
  virtual absl::StatusOr<v1::ListImagesResponse> ListImages(const v1::ListImagesRequest&) = 0;
  virtual absl::StatusOr<v1::RemoveImageResponse> RemoveImage(const v1::RemoveImageRequest&) = 0;
};

// Where a manager is. The PEMs are empty for a unix socket, which needs none.
struct ManagerTarget {
  std::string address;  // "unix:/run/swarm/manager/manager.sock" or "10.0.0.1:2377"
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;
};

// Makes clients. Whether anybody is there shows at once for sockets (Unavailable or
// PermissionDenied, with what would help), for addresses at the first call.
class Connector {
 public:
  virtual ~Connector() = default;
  // Unavailable when nobody listens at a socket, also not within `patience`.
  virtual absl::StatusOr<std::unique_ptr<ManagerClient>> Manager(const ManagerTarget& target,
                                                                 absl::Duration patience) = 0;
  virtual absl::StatusOr<std::unique_ptr<NodeClient>> Node(const std::string& socket) = 0;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_CLIENT_H_
