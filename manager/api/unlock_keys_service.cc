#include "manager/api/unlock_keys_service.h"

#include <utility>

#include "manager/api/grpc_unary.h"
#include "swarm/v1/unlock.grpc.pb.h"

namespace swarm::manager {
namespace {

class UnlockKeysService final : public v1::UnlockKeys::CallbackService {
 public:
  UnlockKeysService(const Env& env, Clusters& clusters, edge::Authorizer authorizer)
      : edge_{env.loop, std::move(authorizer)}, clusters_(clusters) {}

  ::grpc::ServerUnaryReactor* ConfirmUnlockKey(::grpc::CallbackServerContext* context,
                                               const v1::ConfirmUnlockKeyRequest* request,
                                               v1::ConfirmUnlockKeyResponse* response) override {
    return edge_.Unary("/swarm.v1.UnlockKeys/ConfirmUnlockKey", context, request, response,
                       [&clusters = clusters_](const auto& confirmed, auto reply) {
                         clusters.ConfirmUnlockKey(confirmed, std::move(reply));
                       });
  }

 private:
  const ApiEdge edge_;
  Clusters& clusters_;
};

}  // namespace

std::unique_ptr<::grpc::Service> MakeUnlockKeysService(const Env& env, Clusters& clusters,
                                                       edge::Authorizer authorizer) {
  return std::make_unique<UnlockKeysService>(env, clusters, std::move(authorizer));
}

}  // namespace swarm::manager
