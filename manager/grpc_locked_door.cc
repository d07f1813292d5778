#include "manager/grpc_locked_door.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/grpc/health.h"
#include "common/grpc/listener.h"
#include "common/grpc/unary_call.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/role_table.h"
#include "swarm/v1/unlock.grpc.pb.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(1);
constexpr char kLocked[] = "this manager is locked; unlock it with: swarmctl swarm unlock";

// Everything that is not served here.
class LockedCalls final : public ::grpc::CallbackGenericService {
 public:
  ::grpc::ServerGenericBidiReactor* CreateReactor(
      ::grpc::GenericCallbackServerContext* /*context*/) override {
    class Refusal final : public ::grpc::ServerGenericBidiReactor {
     public:
      Refusal() { Finish({::grpc::StatusCode::UNAVAILABLE, kLocked}); }
      void OnDone() override { delete this; }
    };
    return new Refusal;
  }
};

class UnlockService final : public v1::Unlock::CallbackService {
 public:
  explicit UnlockService(LockedDoor::TryKey try_key) : try_key_(std::move(try_key)) {}

  ::grpc::ServerUnaryReactor* UnlockManager(::grpc::CallbackServerContext* context,
                                            const v1::UnlockManagerRequest* request,
                                            v1::UnlockManagerResponse* response) override {
    auto call = edge::UnaryCall<v1::UnlockManagerResponse>::Make(response);
    absl::Status status = Authorize("/swarm.v1.Unlock/UnlockManager", edge::PeerOf(*context));
    if (status.ok()) {
      MutexLock lock(mu_);
      status = try_key_(request->key());
    }
    if (status.ok()) {
      call->Answer(v1::UnlockManagerResponse());
    } else {
      call->Answer(std::move(status));
    }
    return call.get();
  }

 private:
  Mutex mu_;
  LockedDoor::TryKey try_key_ ABSL_GUARDED_BY(mu_);
};

class GrpcLockedDoor final : public LockedDoor {
 public:
  explicit GrpcLockedDoor(TryKey try_key)
      : health_(edge::MakeHealthService()), unlock_(std::move(try_key)) {}
  ~GrpcLockedDoor() override {
    if (listener_ != nullptr) listener_->Stop();
    if (server_ != nullptr) edge::ShutdownServer(*server_, kGrace);
  }

  absl::Status Listen(const ManagerOptions& options) {
    edge::UnixSocketOptions local{.path = StrCat(options.run_dir, "/manager.sock"),
                                  .group = options.socket_group};
    ASSIGN_OR_RETURN(listener_, edge::ListenUnix(std::move(local), {}));
    health_->Set("", false);
    ::grpc::ServerBuilder builder;
    edge::ConfigureServer(builder, edge::ServerKind::kLocal);
    builder.RegisterService(&unlock_);
    builder.RegisterService(&health_->service());
    builder.RegisterCallbackGenericService(&everything_else_);
    listener_->AttachTo(builder, edge::LocalServerCredentials());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::InternalError(StrCat("gRPC does not start at ", listener_->address()));
    }
    listener_->Start();
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<edge::HealthService> health_;
  UnlockService unlock_;
  LockedCalls everything_else_;
  std::unique_ptr<edge::Listener> listener_;
  std::unique_ptr<::grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LockedDoor>> LockedDoor::Open(const ManagerOptions& options,
                                                             TryKey try_key) {
  auto door = std::make_unique<GrpcLockedDoor>(std::move(try_key));
  RETURN_IF_ERROR(door->Listen(options));
  return door;
}

}  // namespace swarm::manager
