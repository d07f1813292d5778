#include "manager/api/control_service.h"

#include <map>
#include <string>
#include <utility>

#include "common/strings.h"
#include "common/version.h"
#include "manager/api/change_feed.h"
#include "manager/api/grpc_outbox.h"
#include "manager/api/grpc_unary.h"
#include "swarm/v1/control.grpc.pb.h"

namespace swarm::manager {
namespace {

using Context = ::grpc::CallbackServerContext;
using Unary = ::grpc::ServerUnaryReactor;

// Runs `room.method(request, reply)` on the loop.
template <typename Room, typename Method>
auto Call(Room& room, Method method) {
  return [&room, method](auto request, auto reply) {
    (room.*method)(std::move(request), std::move(reply));
  };
}

class ControlService final : public v1::Control::CallbackService {
 public:
  ControlService(const Env& env, ControlRooms rooms, edge::Authorizer authorizer,
                 std::shared_ptr<ByteBudget> budget)
      : env_(env),
        rooms_(rooms),
        edge_{env.loop, std::move(authorizer)},
        budget_(std::move(budget)) {}

  Unary* GetCluster(Context* c, const v1::GetClusterRequest* q, v1::Cluster* a) override {
    return edge_.Unary("/swarm.v1.Control/GetCluster", c, q, a,
                       Call(rooms_.clusters, &Clusters::Get));
  }
  Unary* UpdateCluster(Context* c, const v1::UpdateClusterRequest* q, v1::Cluster* a) override {
    return edge_.Unary("/swarm.v1.Control/UpdateCluster", c, q, a,
                       Call(rooms_.clusters, &Clusters::Update));
  }
  Unary* GetJoinTokens(Context* c, const v1::GetJoinTokensRequest* q, v1::JoinTokens* a) override {
    return edge_.Unary("/swarm.v1.Control/GetJoinTokens", c, q, a,
                       Call(rooms_.clusters, &Clusters::GetJoinTokens));
  }
  Unary* RotateJoinToken(Context* c, const v1::RotateJoinTokenRequest* q,
                         v1::JoinTokens* a) override {
    return edge_.Unary("/swarm.v1.Control/RotateJoinToken", c, q, a,
                       Call(rooms_.clusters, &Clusters::RotateJoinToken));
  }
  Unary* CreateClientCertificate(Context* c, const v1::CreateClientCertificateRequest* q,
                                 v1::ClientCertificate* a) override {
    return edge_.Unary("/swarm.v1.Control/CreateClientCertificate", c, q, a,
                       Call(rooms_.clusters, &Clusters::CreateClientCertificate));
  }
  Unary* GetUnlockKey(Context* c, const v1::GetUnlockKeyRequest* q, v1::UnlockKey* a) override {
    return edge_.Unary("/swarm.v1.Control/GetUnlockKey", c, q, a,
                       Call(rooms_.clusters, &Clusters::GetUnlockKey));
  }
  Unary* RotateUnlockKey(Context* c, const v1::RotateUnlockKeyRequest* q,
                         v1::UnlockKey* a) override {
    return edge_.Unary("/swarm.v1.Control/RotateUnlockKey", c, q, a,
                       Call(rooms_.clusters, &Clusters::RotateUnlockKey));
  }
  Unary* GetNode(Context* c, const v1::GetNodeRequest* q, v1::Node* a) override {
    return edge_.Unary("/swarm.v1.Control/GetNode", c, q, a, Call(rooms_.nodes, &Nodes::Get));
  }
  Unary* ListNodes(Context* c, const v1::ListNodesRequest* q, v1::ListNodesResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListNodes", c, q, a, Call(rooms_.nodes, &Nodes::List));
  }
  Unary* UpdateNode(Context* c, const v1::UpdateNodeRequest* q, v1::Node* a) override {
    return edge_.Unary("/swarm.v1.Control/UpdateNode", c, q, a, Call(rooms_.nodes, &Nodes::Update));
  }
  Unary* DeleteNode(Context* c, const v1::DeleteNodeRequest* q,
                    v1::DeleteNodeResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/DeleteNode", c, q, a, Call(rooms_.nodes, &Nodes::Delete));
  }
  Unary* CreateService(Context* c, const v1::CreateServiceRequest* q,
                       v1::CreateServiceResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/CreateService", c, q, a,
                       Call(rooms_.services, &Services::Create));
  }
  Unary* GetService(Context* c, const v1::GetServiceRequest* q, v1::Service* a) override {
    return edge_.Unary("/swarm.v1.Control/GetService", c, q, a,
                       Call(rooms_.services, &Services::Get));
  }
  Unary* ListServices(Context* c, const v1::ListServicesRequest* q,
                      v1::ListServicesResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListServices", c, q, a,
                       Call(rooms_.services, &Services::List));
  }
  Unary* UpdateService(Context* c, const v1::UpdateServiceRequest* q,
                       v1::UpdateServiceResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/UpdateService", c, q, a,
                       Call(rooms_.services, &Services::Update));
  }
  Unary* DeleteService(Context* c, const v1::DeleteServiceRequest* q,
                       v1::DeleteServiceResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/DeleteService", c, q, a,
                       Call(rooms_.services, &Services::Delete));
  }
  Unary* RollbackService(Context* c, const v1::RollbackServiceRequest* q,
                         v1::UpdateServiceResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/RollbackService", c, q, a,
                       Call(rooms_.history, &ServiceHistory::RollBack));
  }
  Unary* ListRevisions(Context* c, const v1::ListRevisionsRequest* q,
                       v1::ListRevisionsResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListRevisions", c, q, a,
                       Call(rooms_.history, &ServiceHistory::List));
  }
  Unary* RebalanceService(Context* c, const v1::RebalanceServiceRequest* q,
                          v1::RebalanceServiceResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/RebalanceService", c, q, a,
                       Call(rooms_.history, &ServiceHistory::Rebalance));
  }
  Unary* CreateNetwork(Context* c, const v1::CreateNetworkRequest* q, v1::Network* a) override {
    return edge_.Unary("/swarm.v1.Control/CreateNetwork", c, q, a,
                       Call(rooms_.networks, &Networks::Create));
  }
  Unary* GetNetwork(Context* c, const v1::GetNetworkRequest* q, v1::Network* a) override {
    return edge_.Unary("/swarm.v1.Control/GetNetwork", c, q, a,
                       Call(rooms_.networks, &Networks::Get));
  }
  Unary* ListNetworks(Context* c, const v1::ListNetworksRequest* q,
                      v1::ListNetworksResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListNetworks", c, q, a,
                       Call(rooms_.networks, &Networks::List));
  }
  Unary* DeleteNetwork(Context* c, const v1::DeleteNetworkRequest* q,
                       v1::DeleteNetworkResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/DeleteNetwork", c, q, a,
                       Call(rooms_.networks, &Networks::Delete));
  }
  Unary* CreateSecret(Context* c, const v1::CreateSecretRequest* q, v1::Secret* a) override {
    return edge_.Unary("/swarm.v1.Control/CreateSecret", c, q, a,
                       Call(rooms_.secrets, &Secrets::Create));
  }
  Unary* GetSecret(Context* c, const v1::GetSecretRequest* q, v1::Secret* a) override {
    return edge_.Unary("/swarm.v1.Control/GetSecret", c, q, a, Call(rooms_.secrets, &Secrets::Get));
  }
  Unary* UpdateSecret(Context* c, const v1::UpdateSecretRequest* q, v1::Secret* a) override {
    return edge_.Unary("/swarm.v1.Control/UpdateSecret", c, q, a,
                       Call(rooms_.secrets, &Secrets::Update));
  }
  Unary* ListSecrets(Context* c, const v1::ListSecretsRequest* q,
                     v1::ListSecretsResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListSecrets", c, q, a,
                       Call(rooms_.secrets, &Secrets::List));
  }
  Unary* DeleteSecret(Context* c, const v1::DeleteSecretRequest* q,
                      v1::DeleteSecretResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/DeleteSecret", c, q, a,
                       Call(rooms_.secrets, &Secrets::Delete));
  }
  Unary* CreateConfig(Context* c, const v1::CreateConfigRequest* q, v1::Config* a) override {
    return edge_.Unary("/swarm.v1.Control/CreateConfig", c, q, a,
                       Call(rooms_.configs, &Configs::Create));
  }
  Unary* GetConfig(Context* c, const v1::GetConfigRequest* q, v1::Config* a) override {
    return edge_.Unary("/swarm.v1.Control/GetConfig", c, q, a, Call(rooms_.configs, &Configs::Get));
  }
  Unary* UpdateConfig(Context* c, const v1::UpdateConfigRequest* q, v1::Config* a) override {
    return edge_.Unary("/swarm.v1.Control/UpdateConfig", c, q, a,
                       Call(rooms_.configs, &Configs::Update));
  }
  Unary* ListConfigs(Context* c, const v1::ListConfigsRequest* q,
                     v1::ListConfigsResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListConfigs", c, q, a,
                       Call(rooms_.configs, &Configs::List));
  }
  Unary* DeleteConfig(Context* c, const v1::DeleteConfigRequest* q,
                      v1::DeleteConfigResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/DeleteConfig", c, q, a,
                       Call(rooms_.configs, &Configs::Delete));
  }
  Unary* CreateVolume(Context* c, const v1::CreateVolumeRequest* q, v1::Volume* a) override {
    return edge_.Unary("/swarm.v1.Control/CreateVolume", c, q, a,
                       Call(rooms_.volumes, &Volumes::Create));
  }
  Unary* GetVolume(Context* c, const v1::GetVolumeRequest* q, v1::Volume* a) override {
    return edge_.Unary("/swarm.v1.Control/GetVolume", c, q, a, Call(rooms_.volumes, &Volumes::Get));
  }
  Unary* ListVolumes(Context* c, const v1::ListVolumesRequest* q,
                     v1::ListVolumesResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListVolumes", c, q, a,
                       Call(rooms_.volumes, &Volumes::List));
  }
  Unary* DeleteVolume(Context* c, const v1::DeleteVolumeRequest* q,
                      v1::DeleteVolumeResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/DeleteVolume", c, q, a,
                       Call(rooms_.volumes, &Volumes::Delete));
  }
  Unary* GetTask(Context* c, const v1::GetTaskRequest* q, v1::Task* a) override {
    return edge_.Unary("/swarm.v1.Control/GetTask", c, q, a, Call(rooms_.tasks, &Tasks::Get));
  }
  Unary* ListTasks(Context* c, const v1::ListTasksRequest* q, v1::ListTasksResponse* a) override {
    return edge_.Unary("/swarm.v1.Control/ListTasks", c, q, a, Call(rooms_.tasks, &Tasks::List));
  }
  // Needs nothing of the loop, so it tells a busy manager from a dead one.
  Unary* GetVersion(Context* c, const v1::GetVersionRequest*, v1::VersionInfo* a) override {
    auto call = edge::UnaryCall<v1::VersionInfo>::Make(a);
    absl::Status allowed = edge_.authorizer("/swarm.v1.Control/GetVersion", edge::PeerOf(*c));
    if (!allowed.ok()) {
      call->Answer(std::move(allowed));
      return call.get();
    }
    v1::VersionInfo version;
    version.set_version(kVersion);
    version.set_session_protocol(kSessionProtocol);
    version.set_build(StrCat("C++ ", __VERSION__));
    call->Answer(std::move(version));
    return call.get();
  }

  ::grpc::ServerWriteReactor<v1::WatchEvent>* Watch(Context* c,
                                                    const v1::WatchRequest* q) override {
    auto stream = OutboxReactor<v1::WatchEvent>::Make({env_.loop, *c, budget_});
    absl::Status allowed = edge_.authorizer("/swarm.v1.Control/Watch", edge::PeerOf(*c));
    if (!allowed.ok()) {
      stream->Close(std::move(allowed));
      return stream.get();
    }
    stream->SetHooks(
        [] {}, [this, raw = stream.get()] { env_.loop.Post([this, raw] { feeds_.erase(raw); }); });
    env_.loop.Post([this, stream, request = *q] { OpenFeed(stream, request); });
    return stream.get();
  }

  ::grpc::ServerWriteReactor<v1::NetworkFinding>* DiagnoseNetworks(
      Context* c, const v1::DiagnoseNetworksRequest* q) override {
    auto stream = OutboxReactor<v1::NetworkFinding>::Make({env_.loop, *c, budget_});
    absl::Status allowed = edge_.authorizer("/swarm.v1.Control/DiagnoseNetworks", edge::PeerOf(*c));
    if (!allowed.ok()) {
      stream->Close(std::move(allowed));
      return stream.get();
    }
    // Set on the loop by the first post, read there by the later ones.
    auto id = std::make_shared<DiagnosisBroker::DiagnosisId>(0);
    stream->SetHooks(
        [this, id] { env_.loop.Post([this, id] { rooms_.diagnoses.OnDrained(*id); }); },
        [this, id, keep = std::weak_ptr(stream)] {
          // The broker may push until it is told, so the stream lives until then.
          env_.loop.Post([this, id, stream = keep.lock()] { rooms_.diagnoses.Cancel(*id); });
        });
    env_.loop.Post([this, id, stream, request = *q] {
      auto begun = rooms_.diagnoses.Diagnose(request, *stream);
      if (!begun.ok()) return stream->Close(begun.status());
      *id = *begun;
    });
    return stream.get();
  }

 private:
  static constexpr size_t kMaxFeeds = 1'000;
  struct Feed {
    std::shared_ptr<OutboxReactor<v1::WatchEvent>> stream;  // outlives the feed
    std::unique_ptr<ChangeFeed> feed;
  };

  // On the loop. The stream's end is posted later than this, so it finds what it must erase.
  void OpenFeed(const std::shared_ptr<OutboxReactor<v1::WatchEvent>>& stream,
                const v1::WatchRequest& request) {
    if (feeds_.size() >= kMaxFeeds) {
      return stream->Close(absl::ResourceExhaustedError("too many watchers"));
    }
    auto feed = ChangeFeed::Open(env_, rooms_.store, request, *stream);
    if (!feed.ok()) return stream->Close(feed.status());
    feeds_.emplace(stream.get(), Feed{stream, *std::move(feed)});
  }

  const Env env_;
  const ControlRooms rooms_;
  const ApiEdge edge_;
  const std::shared_ptr<ByteBudget> budget_;
  std::map<void*, Feed> feeds_;  // on the loop
};

}  // namespace

std::unique_ptr<::grpc::Service> MakeControlService(const Env& env, ControlRooms rooms,
                                                    edge::Authorizer authorizer,
                                                    std::shared_ptr<ByteBudget> budget) {
  return std::make_unique<ControlService>(env, rooms, std::move(authorizer), std::move(budget));
}

}  // namespace swarm::manager
