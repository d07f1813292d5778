#include "cli/grpc_connector.h"

#include <grpcpp/channel.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "cli/grpc_call.h"
#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "swarm/v1/containers.grpc.pb.h"
#include "swarm/v1/control.grpc.pb.h"
#include "swarm/v1/logs.grpc.pb.h"
#include "swarm/v1/node_local.grpc.pb.h"
#include "swarm/v1/unlock.grpc.pb.h"

namespace swarm::cli {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr absl::Duration kLongPatience = absl::Minutes(2);
constexpr std::string_view kUnix = "unix:";

// Is anybody behind this socket? gRPC's own answer comes late and in words of its own.
absl::Status CheckSocket(const std::string& path, const Callee& callee) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(StrCat("the socket's path is too long: ", path));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    return absl::OkStatus();
  }
  if (errno == EACCES || errno == EPERM) {
    return absl::PermissionDeniedError(StrCat("cannot reach ", callee.who,
                                              ": permission denied; be root, or for the manager a ",
                                              "member of the group swarm"));
  }
  if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) {
    return absl::UnavailableError(StrCat("cannot reach ", callee.who, ": ", callee.hint));
  }
  return absl::UnavailableError(
      StrCat("cannot reach ", callee.who, ": ", std::strerror(errno), "; ", callee.hint));
}

// As CheckSocket, until somebody listens or `patience` has passed.
absl::Status AwaitSocket(const std::string& path, const Callee& callee, absl::Duration patience,
                         const Interrupt& interrupt) {
  constexpr absl::Duration kBetween = absl::Milliseconds(50);
  absl::Status status = CheckSocket(path, callee);
  for (; absl::IsUnavailable(status) && patience > absl::ZeroDuration(); patience -= kBetween) {
    absl::SleepFor(kBetween);
    if (interrupt.triggered()) return InterruptedError();
    status = CheckSocket(path, callee);
  }
  return status;
}

class GrpcDialogue : public Dialogue {
 public:
  GrpcDialogue(std::shared_ptr<v1::Containers::Stub> stub, const v1::ContainerInput& start,
               Callee callee, Interrupt& interrupt)
      : stub_(std::move(stub)),
        callee_(std::move(callee)),
        interrupt_(interrupt),
        stream_(start.has_attach() ? stub_->Attach(&context_) : stub_->Exec(&context_)) {
    stream_->Write(start);
  }
  // Whoever sends has come back by now.
  ~GrpcDialogue() override {
    if (finished_) return;
    context_.TryCancel();
    (void)stream_->Finish();
  }

  bool Send(const v1::ContainerInput& input) override { return stream_->Write(input); }
  absl::StatusOr<v1::ContainerOutput> Next() override {
    v1::ContainerOutput output;
    if (stream_->Read(&output)) return output;
    const ::grpc::Status status = stream_->Finish();
    finished_ = true;
    if (status.ok()) return absl::OutOfRangeError("the stream has ended");
    return FromCall(status, callee_, interrupt_);
  }
  void Cancel() override { context_.TryCancel(); }

 private:
  const std::shared_ptr<v1::Containers::Stub> stub_;
  const Callee callee_;
  Interrupt& interrupt_;
  ::grpc::ClientContext context_;
  const std::unique_ptr<::grpc::ClientReaderWriter<v1::ContainerInput, v1::ContainerOutput>>
      stream_;
  bool finished_ = false;
};

class GrpcManager : public ManagerClient {
 public:
  GrpcManager(std::shared_ptr<::grpc::Channel> channel, Callee callee, Interrupt& interrupt)
      : control_(v1::Control::NewStub(channel)),
        logs_(v1::Logs::NewStub(channel)),
        containers_(v1::Containers::NewStub(channel)),
        unlock_(v1::Unlock::NewStub(channel)),
        unlock_keys_(v1::UnlockKeys::NewStub(channel)),
        callee_(std::move(callee)),
        interrupt_(interrupt) {}

  absl::StatusOr<v1::Cluster> GetCluster(const v1::GetClusterRequest& r) override {
    return Call<v1::Cluster>(&v1::Control::Stub::GetCluster, r);
  }
  absl::StatusOr<v1::Cluster> UpdateCluster(const v1::UpdateClusterRequest& r) override {
    return Call<v1::Cluster>(&v1::Control::Stub::UpdateCluster, r);
  }
  absl::StatusOr<v1::JoinTokens> GetJoinTokens(const v1::GetJoinTokensRequest& r) override {
    return Call<v1::JoinTokens>(&v1::Control::Stub::GetJoinTokens, r);
  }
  absl::StatusOr<v1::JoinTokens> RotateJoinToken(const v1::RotateJoinTokenRequest& r) override {
    return Call<v1::JoinTokens>(&v1::Control::Stub::RotateJoinToken, r);
  }
  absl::StatusOr<v1::ClientCertificate> CreateClientCertificate(
      const v1::CreateClientCertificateRequest& r) override {
    return Call<v1::ClientCertificate>(&v1::Control::Stub::CreateClientCertificate, r);
  }
  absl::StatusOr<v1::UnlockKey> GetUnlockKey(const v1::GetUnlockKeyRequest& r) override {
    return Call<v1::UnlockKey>(&v1::Control::Stub::GetUnlockKey, r);
  }
  absl::StatusOr<v1::UnlockKey> RotateUnlockKey(const v1::RotateUnlockKeyRequest& r) override {
    return Call<v1::UnlockKey>(&v1::Control::Stub::RotateUnlockKey, r);
  }
  absl::StatusOr<v1::ConfirmUnlockKeyResponse> ConfirmUnlockKey(
      const v1::ConfirmUnlockKeyRequest& r) override {
    return CallUnary<v1::ConfirmUnlockKeyResponse>(
        *unlock_keys_, &v1::UnlockKeys::Stub::ConfirmUnlockKey, r, kPatience, callee_, interrupt_);
  }
  absl::StatusOr<v1::UnlockManagerResponse> UnlockManager(
      const v1::UnlockManagerRequest& r) override {
    return CallUnary<v1::UnlockManagerResponse>(*unlock_, &v1::Unlock::Stub::UnlockManager, r,
                                                kPatience, callee_, interrupt_);
  }
  absl::StatusOr<v1::Node> GetNode(const v1::GetNodeRequest& r) override {
    return Call<v1::Node>(&v1::Control::Stub::GetNode, r);
  }
  absl::StatusOr<v1::ListNodesResponse> ListNodes(const v1::ListNodesRequest& r) override {
    return Call<v1::ListNodesResponse>(&v1::Control::Stub::ListNodes, r);
  }
  absl::StatusOr<v1::Node> UpdateNode(const v1::UpdateNodeRequest& r) override {
    return Call<v1::Node>(&v1::Control::Stub::UpdateNode, r);
  }
  absl::StatusOr<v1::DeleteNodeResponse> DeleteNode(const v1::DeleteNodeRequest& r) override {
    return Call<v1::DeleteNodeResponse>(&v1::Control::Stub::DeleteNode, r);
  }
  absl::StatusOr<v1::CreateServiceResponse> CreateService(
      const v1::CreateServiceRequest& r) override {
    return Call<v1::CreateServiceResponse>(&v1::Control::Stub::CreateService, r, kLongPatience);
  }
  std::vector<absl::StatusOr<v1::CreateServiceResponse>> CreateServices(
      const std::vector<v1::CreateServiceRequest>& requests, const Begin& begin) override {
    return CallMany<v1::CreateServiceResponse>(*control_,
                                               &v1::Control::Stub::PrepareAsyncCreateService,
                                               requests, begin, kLongPatience, callee_, interrupt_);
  }
  std::vector<absl::StatusOr<v1::UpdateServiceResponse>> UpdateServices(
      const std::vector<v1::UpdateServiceRequest>& requests, const Begin& begin) override {
    return CallMany<v1::UpdateServiceResponse>(*control_,
                                               &v1::Control::Stub::PrepareAsyncUpdateService,
                                               requests, begin, kLongPatience, callee_, interrupt_);
  }
  absl::StatusOr<v1::Service> GetService(const v1::GetServiceRequest& r) override {
    return Call<v1::Service>(&v1::Control::Stub::GetService, r);
  }
  absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest& r) override {
    return Call<v1::ListServicesResponse>(&v1::Control::Stub::ListServices, r);
  }
  absl::StatusOr<v1::UpdateServiceResponse> UpdateService(
      const v1::UpdateServiceRequest& r) override {
    return Call<v1::UpdateServiceResponse>(&v1::Control::Stub::UpdateService, r);
  }
  absl::StatusOr<v1::DeleteServiceResponse> DeleteService(
      const v1::DeleteServiceRequest& r) override {
    return Call<v1::DeleteServiceResponse>(&v1::Control::Stub::DeleteService, r);
  }
  absl::StatusOr<v1::UpdateServiceResponse> RollbackService(
      const v1::RollbackServiceRequest& r) override {
    return Call<v1::UpdateServiceResponse>(&v1::Control::Stub::RollbackService, r);
  }
  absl::StatusOr<v1::ListRevisionsResponse> ListRevisions(
      const v1::ListRevisionsRequest& r) override {
    return Call<v1::ListRevisionsResponse>(&v1::Control::Stub::ListRevisions, r);
  }
  absl::StatusOr<v1::RebalanceServiceResponse> RebalanceService(
      const v1::RebalanceServiceRequest& r) override {
    return Call<v1::RebalanceServiceResponse>(&v1::Control::Stub::RebalanceService, r);
  }
  absl::StatusOr<v1::Network> CreateNetwork(const v1::CreateNetworkRequest& r) override {
    return Call<v1::Network>(&v1::Control::Stub::CreateNetwork, r);
  }
  absl::StatusOr<v1::Network> GetNetwork(const v1::GetNetworkRequest& r) override {
    return Call<v1::Network>(&v1::Control::Stub::GetNetwork, r);
  }
  absl::StatusOr<v1::ListNetworksResponse> ListNetworks(const v1::ListNetworksRequest& r) override {
    return Call<v1::ListNetworksResponse>(&v1::Control::Stub::ListNetworks, r);
  }
  absl::StatusOr<v1::DeleteNetworkResponse> DeleteNetwork(
      const v1::DeleteNetworkRequest& r) override {
    return Call<v1::DeleteNetworkResponse>(&v1::Control::Stub::DeleteNetwork, r);
  }
  std::unique_ptr<Stream<v1::NetworkFinding>> DiagnoseNetworks(
      const v1::DiagnoseNetworksRequest& r) override {
    return std::make_unique<GrpcStream<v1::NetworkFinding>>(
        control_, &v1::Control::Stub::PrepareAsyncDiagnoseNetworks, r, callee_, interrupt_);
  }
  absl::StatusOr<v1::Secret> CreateSecret(const v1::CreateSecretRequest& r) override {
    return Call<v1::Secret>(&v1::Control::Stub::CreateSecret, r);
  }
  absl::StatusOr<v1::Secret> GetSecret(const v1::GetSecretRequest& r) override {
    return Call<v1::Secret>(&v1::Control::Stub::GetSecret, r);
  }
  absl::StatusOr<v1::ListSecretsResponse> ListSecrets(const v1::ListSecretsRequest& r) override {
    return Call<v1::ListSecretsResponse>(&v1::Control::Stub::ListSecrets, r);
  }
  absl::StatusOr<v1::Secret> UpdateSecret(const v1::UpdateSecretRequest& r) override {
    return Call<v1::Secret>(&v1::Control::Stub::UpdateSecret, r);
  }
  absl::StatusOr<v1::DeleteSecretResponse> DeleteSecret(const v1::DeleteSecretRequest& r) override {
    return Call<v1::DeleteSecretResponse>(&v1::Control::Stub::DeleteSecret, r);
  }
  absl::StatusOr<v1::Config> CreateConfig(const v1::CreateConfigRequest& r) override {
    return Call<v1::Config>(&v1::Control::Stub::CreateConfig, r);
  }
  absl::StatusOr<v1::Config> GetConfig(const v1::GetConfigRequest& r) override {
    return Call<v1::Config>(&v1::Control::Stub::GetConfig, r);
  }
  absl::StatusOr<v1::ListConfigsResponse> ListConfigs(const v1::ListConfigsRequest& r) override {
    return Call<v1::ListConfigsResponse>(&v1::Control::Stub::ListConfigs, r);
  }
  absl::StatusOr<v1::Config> UpdateConfig(const v1::UpdateConfigRequest& r) override {
    return Call<v1::Config>(&v1::Control::Stub::UpdateConfig, r);
  }
  absl::StatusOr<v1::DeleteConfigResponse> DeleteConfig(const v1::DeleteConfigRequest& r) override {
    return Call<v1::DeleteConfigResponse>(&v1::Control::Stub::DeleteConfig, r);
  }
  absl::StatusOr<v1::Volume> CreateVolume(const v1::CreateVolumeRequest& r) override {
    return Call<v1::Volume>(&v1::Control::Stub::CreateVolume, r);
  }
  absl::StatusOr<v1::Volume> GetVolume(const v1::GetVolumeRequest& r) override {
    return Call<v1::Volume>(&v1::Control::Stub::GetVolume, r);
  }
  absl::StatusOr<v1::ListVolumesResponse> ListVolumes(const v1::ListVolumesRequest& r) override {
    return Call<v1::ListVolumesResponse>(&v1::Control::Stub::ListVolumes, r);
  }
  absl::StatusOr<v1::DeleteVolumeResponse> DeleteVolume(const v1::DeleteVolumeRequest& r) override {
    return Call<v1::DeleteVolumeResponse>(&v1::Control::Stub::DeleteVolume, r);
  }
  absl::StatusOr<v1::Task> GetTask(const v1::GetTaskRequest& r) override {
    return Call<v1::Task>(&v1::Control::Stub::GetTask, r);
  }
  absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& r) override {
    return Call<v1::ListTasksResponse>(&v1::Control::Stub::ListTasks, r);
  }
  absl::StatusOr<v1::VersionInfo> GetVersion(const v1::GetVersionRequest& r) override {
    return Call<v1::VersionInfo>(&v1::Control::Stub::GetVersion, r);
  }
  std::unique_ptr<Stream<v1::WatchEvent>> Watch(const v1::WatchRequest& r, bool patient) override {
    return std::make_unique<GrpcStream<v1::WatchEvent>>(
        control_, &v1::Control::Stub::PrepareAsyncWatch, r, callee_, interrupt_, patient);
  }
  std::unique_ptr<Stream<v1::LogMessage>> SubscribeLogs(
      const v1::SubscribeLogsRequest& r) override {
    return std::make_unique<GrpcStream<v1::LogMessage>>(
        logs_, &v1::Logs::Stub::PrepareAsyncSubscribe, r, callee_, interrupt_);
  }
  std::unique_ptr<Dialogue> OpenDialogue(const v1::ContainerInput& start) override {
    return std::make_unique<GrpcDialogue>(containers_, start, callee_, interrupt_);
  }
  absl::Status CopyTo(const v1::CopyToStart& start,
                      const std::function<absl::StatusOr<std::string>()>& read) override {
    v1::CopyToRequest request;
    *request.mutable_start() = start;
    return SendPieces<v1::CopyToResponse>(
               *containers_, &v1::Containers::Stub::CopyTo, std::move(request), read,
               [](v1::CopyToRequest& next) { next.clear_start(); }, /*alone=*/true, callee_,
               interrupt_)
        .status();
  }
  std::unique_ptr<Stream<v1::CopyFromResponse>> CopyFrom(const v1::CopyFromStart& start) override {
    v1::CopyFromRequest request;
    *request.mutable_start() = start;
    return std::make_unique<GrpcStream<v1::CopyFromResponse>>(
        containers_, &v1::Containers::Stub::PrepareAsyncCopyFrom, request, callee_, interrupt_);
  }
  std::unique_ptr<Stream<v1::StatsResponse>> Stats(const v1::StatsRequest& r) override {
    return std::make_unique<GrpcStream<v1::StatsResponse>>(
        containers_, &v1::Containers::Stub::PrepareAsyncStats, r, callee_, interrupt_);
  }
  absl::StatusOr<v1::TopResponse> Top(const v1::TopRequest& r) override {
    return CallUnary<v1::TopResponse>(*containers_, &v1::Containers::Stub::Top, r, kPatience,
                                      callee_, interrupt_);
  }

 private:
  template <typename Response, typename Method, typename Request>
  absl::StatusOr<Response> Call(Method method, const Request& request,
                                absl::Duration timeout = kPatience) {
    return CallUnary<Response>(*control_, method, request, timeout, callee_, interrupt_);
  }

  std::shared_ptr<v1::Control::Stub> control_;
  std::shared_ptr<v1::Logs::Stub> logs_;
  std::shared_ptr<v1::Containers::Stub> containers_;
  std::unique_ptr<v1::Unlock::Stub> unlock_;
  std::unique_ptr<v1::UnlockKeys::Stub> unlock_keys_;
  const Callee callee_;
  Interrupt& interrupt_;
};

class GrpcNode : public NodeClient {
 public:
  GrpcNode(std::shared_ptr<::grpc::Channel> channel, Callee callee, Interrupt& interrupt)
      : stub_(v1::NodeLocal::NewStub(channel)), callee_(std::move(callee)), interrupt_(interrupt) {}

  absl::StatusOr<v1::InitClusterResponse> Init(const v1::InitClusterRequest& r) override {
    return Call<v1::InitClusterResponse>(&v1::NodeLocal::Stub::InitCluster, r, kLongPatience);
  }
  absl::StatusOr<v1::JoinClusterResponse> Join(const v1::JoinClusterRequest& r) override {
    return Call<v1::JoinClusterResponse>(&v1::NodeLocal::Stub::JoinCluster, r, kLongPatience);
  }
  absl::StatusOr<v1::LeaveClusterResponse> Leave(const v1::LeaveClusterRequest& r) override {
    return Call<v1::LeaveClusterResponse>(&v1::NodeLocal::Stub::LeaveCluster, r, kLongPatience);
  }
  absl::StatusOr<v1::NodeInfo> GetNodeInfo(const v1::GetNodeInfoRequest& r) override {
    return Call<v1::NodeInfo>(&v1::NodeLocal::Stub::GetNodeInfo, r, kPatience);
  }
  absl::StatusOr<v1::ListImagesResponse> ListImages(const v1::ListImagesRequest& r) override {
    return Call<v1::ListImagesResponse>(&v1::NodeLocal::Stub::ListImages, r, kPatience);
  }
  absl::StatusOr<v1::RemoveImageResponse> RemoveImage(const v1::RemoveImageRequest& r) override {
    return Call<v1::RemoveImageResponse>(&v1::NodeLocal::Stub::RemoveImage, r, kPatience);
  }
  std::unique_ptr<Stream<v1::PullImageProgress>> PullImage(const v1::PullImageRequest& r) override {
    return std::make_unique<GrpcStream<v1::PullImageProgress>>(
        stub_, &v1::NodeLocal::Stub::PrepareAsyncPullImage, r, callee_, interrupt_);
  }

  absl::StatusOr<v1::LoadImageResponse> LoadImage(const std::string& reference,
                                                  const Reader& read) override {
    v1::LoadImageRequest request;
    request.set_reference(reference);
    return SendPieces<v1::LoadImageResponse>(
        *stub_, &v1::NodeLocal::Stub::LoadImage, std::move(request), read,
        [](v1::LoadImageRequest& next) { next.clear_reference(); }, /*alone=*/false, callee_,
        interrupt_);
  }

 private:
  template <typename Response, typename Method, typename Request>
  absl::StatusOr<Response> Call(Method method, const Request& request, absl::Duration timeout) {
    return CallUnary<Response>(*stub_, method, request, timeout, callee_, interrupt_);
  }

  std::shared_ptr<v1::NodeLocal::Stub> stub_;
  const Callee callee_;
  Interrupt& interrupt_;
};

class GrpcConnector : public Connector {
 public:
  explicit GrpcConnector(Interrupt& interrupt) : interrupt_(interrupt) {}

  absl::StatusOr<std::unique_ptr<ManagerClient>> Manager(const ManagerTarget& target,
                                                         absl::Duration patience) override {
    const bool local = target.address.starts_with(kUnix);
    const std::string path = local ? target.address.substr(kUnix.size()) : "";
    const Callee callee = {StrCat("the manager at ", local ? path : target.address),
                           local ? "does this node run a manager? as root, swarmctl info tells; or "
                                   "name one with --host or "
                                   "--context"
                                 : "is the address right and the manager running?"};
    if (local) RETURN_IF_ERROR(AwaitSocket(path, callee, patience, interrupt_));
    auto credentials =
        local ? edge::LocalCredentials()
              : edge::MutualTlsCredentials({target.ca_pem, target.certificate_pem, target.key_pem});
    return std::make_unique<GrpcManager>(edge::MakeChannel(target.address, credentials), callee,
                                         interrupt_);
  }

  absl::StatusOr<std::unique_ptr<NodeClient>> Node(const std::string& socket) override {
    const Callee callee = {StrCat("the node daemon at ", socket),
                           "is swarm-agent running? try: systemctl start swarm-agent"};
    RETURN_IF_ERROR(CheckSocket(socket, callee));
    return std::make_unique<GrpcNode>(
        edge::MakeChannel(StrCat(kUnix, socket), edge::LocalCredentials()), callee, interrupt_);
  }

 private:
  Interrupt& interrupt_;
};

}  // namespace

std::unique_ptr<Connector> MakeGrpcConnector(Interrupt& interrupt) {
  return std::make_unique<GrpcConnector>(interrupt);
}

}  // namespace swarm::cli
