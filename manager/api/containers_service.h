// swarm.v1.Containers (for callers) and swarm.v1.ContainerStreams (for nodes) on gRPC. No
// decisions: see call_broker.h, stats_broker.h and node_streams.h.
#ifndef SWARM_MANAGER_API_CONTAINERS_SERVICE_H_
#define SWARM_MANAGER_API_CONTAINERS_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "common/grpc/peer.h"
#include "manager/api/call_broker.h"
#include "manager/api/node_streams.h"
#include "manager/api/stats_broker.h"
#include "manager/env.h"

namespace swarm::manager {

// The brokers outlive the servers. Destroyed after them.
std::unique_ptr<::grpc::Service> MakeContainersService(const Env& env, CallBroker& calls,
                                                       StatsBroker& stats,
                                                       edge::Authorizer authorizer);
std::unique_ptr<::grpc::Service> MakeContainerStreamsService(const Env& env, NodeStreams& streams,
                                                             edge::Authorizer authorizer);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CONTAINERS_SERVICE_H_
