#include "manager/grpc_doors.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <utility>
#include <vector>

#include "common/grpc/endpoints.h"
#include "common/grpc/listener.h"
#include "common/grpc/reflection.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/containers_service.h"
#include "manager/api/control_service.h"
#include "manager/api/grpc_outbox.h"
#include "manager/api/logs_service.h"
#include "manager/api/node_roll.h"
#include "manager/api/unlock_keys_service.h"
#include "manager/ca/ca_service.h"
#include "manager/dispatcher/dispatcher_reactor.h"
#include "manager/on_loop.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(1);

struct Served {
  std::string name;
  ::grpc::Service* service;
};

struct Door {
  std::unique_ptr<edge::Listener> listener;
  std::unique_ptr<edge::ReflectionService> reflection;  // null: none here
  std::unique_ptr<::grpc::Server> server;
};

class GrpcDoors final : public Doors {
 public:
  GrpcDoors() : health_(edge::MakeHealthService(Admit())) {}
  ~GrpcDoors() override { Close(); }

  absl::Status Listen(const ManagerOptions& options) {
    ASSIGN_OR_RETURN(control_.listener, edge::ListenTcp(options.listen_addr, {}));
    ASSIGN_OR_RETURN(join_.listener,
                     edge::ListenTcp(options.join_listen_addr, edge::JoinPortLimits()));
    edge::UnixSocketOptions local{.path = StrCat(options.run_dir, "/manager.sock"),
                                  .group = options.socket_group};
    ASSIGN_OR_RETURN(local_.listener, edge::ListenUnix(std::move(local), {}));
    addresses_ = {control_.listener->address(), join_.listener->address(),
                  local_.listener->address()};
    return absl::OkStatus();
  }

  const Manager::Addresses& addresses() const override { return addresses_; }
  edge::HealthService& health() override { return *health_; }

  absl::Status Serve(const Env& env, Rooms& rooms, std::shared_ptr<edge::TlsSource> tls) override {
    loop_ = &env.loop;
    roll_ = rooms.roll.get();
    const auto budget = std::make_shared<ByteBudget>(kOutboxBudgetBytes);
    auto add = [this](std::unique_ptr<::grpc::Service> service) {
      return services_.emplace_back(std::move(service)).get();
    };
    const Served ca = {"swarm.v1.CertificateAuthority",
                       add(MakeCertificateAuthorityService(env, *rooms.ca, Admit()))};
    std::vector<Served> all = {
        {"swarm.v1.Control",
         add(MakeControlService(env,
                                {*rooms.store, *rooms.clusters, *rooms.nodes, *rooms.services,
                                 *rooms.history, *rooms.networks, *rooms.secrets, *rooms.configs,
                                 *rooms.volumes, *rooms.tasks, *rooms.diagnoses},
                                Admit(), budget))},
        {"swarm.v1.UnlockKeys", add(MakeUnlockKeysService(env, *rooms.clusters, Admit()))},
        {"swarm.v1.Dispatcher", add(MakeDispatcherService(env.loop, *rooms.dispatcher, Admit()))},
        {"swarm.v1.Logs", add(MakeLogsService(env, *rooms.logs, Admit(), budget))},
        {"swarm.v1.LogPublisher", add(MakeLogPublisherService(env, *rooms.logs, Admit()))},
        {"swarm.v1.Containers",
         add(MakeContainersService(env, *rooms.calls, *rooms.stats, Admit()))},
        {"swarm.v1.ContainerStreams",
         add(MakeContainerStreamsService(env, *rooms.streams, Admit()))},
        {"swarm.v1.CertificateRenewal",
         add(MakeCertificateRenewalService(env, *rooms.ca, Admit()))},
        {"grpc.health.v1.Health", &health_->service()},
    };
    RETURN_IF_ERROR(Build(control_, edge::ServerKind::kControl,
                          edge::MutualTlsServerCredentials(tls), all, /*reflection=*/true));
    RETURN_IF_ERROR(Build(join_, edge::ServerKind::kJoin, edge::ServerTlsCredentials(tls), {ca},
                          /*reflection=*/false));
    all.push_back(ca);
    return Build(local_, edge::ServerKind::kLocal, edge::LocalServerCredentials(), all,
                 /*reflection=*/true);
  }

  void Close() override {
    for (Door* door : {&join_, &control_, &local_}) {
      if (door->listener != nullptr) door->listener->Stop();
    }
    health_->SetAllNotServing();
    for (Door* door : {&join_, &control_, &local_}) {
      if (door->server != nullptr) edge::ShutdownServer(*door->server, kGrace);
      door->server.reset();
      door->listener.reset();
    }
    if (loop_ == nullptr) return;
    RunOnLoop(*std::exchange(loop_, nullptr), [this] {
      services_.clear();
      return true;
    });
  }

 private:
  // The roll is there before anything is served.
  edge::Authorizer Admit() {
    return [this](std::string_view method, const edge::PeerIdentity& peer) {
      return roll_->Admit(method, peer);
    };
  }

  // Reflection shows everything that the door serves: a test walks it.
  absl::Status Build(Door& door, edge::ServerKind kind,
                     std::shared_ptr<::grpc::ServerCredentials> credentials,
                     const std::vector<Served>& services, bool reflection) {
    ::grpc::ServerBuilder builder;
    edge::ConfigureServer(builder, kind);
    std::vector<std::string> names;
    for (const Served& served : services) {
      builder.RegisterService(served.service);
      names.push_back(served.name);
    }
    if (reflection) {
      door.reflection = edge::MakeReflectionService(names, Admit());
      door.reflection->RegisterOn(builder);
    }
    door.listener->AttachTo(builder, std::move(credentials));
    door.server = builder.BuildAndStart();
    if (door.server == nullptr) {
      return absl::InternalError(StrCat("gRPC does not start at ", door.listener->address()));
    }
    door.listener->Start();
    return absl::OkStatus();
  }

  const std::unique_ptr<edge::HealthService> health_;
  Manager::Addresses addresses_;
  EventLoop* loop_ = nullptr;  // set while services exist
  const NodeRoll* roll_ = nullptr;
  std::vector<std::unique_ptr<::grpc::Service>> services_;
  Door control_;
  Door join_;
  Door local_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Doors>> Doors::Bind(const ManagerOptions& options) {
  auto doors = std::make_unique<GrpcDoors>();
  RETURN_IF_ERROR(doors->Listen(options));
  return doors;
}

}  // namespace swarm::manager
