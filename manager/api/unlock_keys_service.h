// swarm.v1.UnlockKeys on gRPC, in front of Clusters. No decisions.
#ifndef SWARM_MANAGER_API_UNLOCK_KEYS_SERVICE_H_
#define SWARM_MANAGER_API_UNLOCK_KEYS_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "common/grpc/peer.h"
#include "manager/api/clusters.h"
#include "manager/env.h"

namespace swarm::manager {

// May be registered on several servers. Destroyed on the loop, after its servers are shut down.
// `clusters` outlives it.
std::unique_ptr<::grpc::Service> MakeUnlockKeysService(const Env& env, Clusters& clusters,
                                                       edge::Authorizer authorizer);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_UNLOCK_KEYS_SERVICE_H_
