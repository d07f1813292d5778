// The Dispatcher on gRPC: one callback stream per agent, hopping to the loop. No decisions here.
#ifndef SWARM_MANAGER_DISPATCHER_DISPATCHER_REACTOR_H_
#define SWARM_MANAGER_DISPATCHER_DISPATCHER_REACTOR_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "common/event_loop.h"
#include "common/grpc/peer.h"
#include "manager/dispatcher/dispatcher.h"

namespace swarm::manager {

// swarm.v1.Dispatcher. The peer must be a node by its certificate, besides what `authorizer` says.
// The dispatcher and the loop outlive the server that this is registered on.
std::unique_ptr<::grpc::Service> MakeDispatcherService(EventLoop& loop, Dispatcher& dispatcher,
                                                       edge::Authorizer authorizer);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_DISPATCHER_REACTOR_H_
