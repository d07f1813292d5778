// swarm.v1.Logs (for readers) and swarm.v1.LogPublisher (for nodes) on gRPC. No decisions: see
// log_broker.h.
#ifndef SWARM_MANAGER_API_LOGS_SERVICE_H_
#define SWARM_MANAGER_API_LOGS_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "common/grpc/peer.h"
#include "manager/api/byte_budget.h"
#include "manager/api/log_broker.h"
#include "manager/env.h"

namespace swarm::manager {

// The broker outlives the servers. Destroyed after them.
std::unique_ptr<::grpc::Service> MakeLogsService(const Env& env, LogBroker& broker,
                                                 edge::Authorizer authorizer,
                                                 std::shared_ptr<ByteBudget> budget);
std::unique_ptr<::grpc::Service> MakeLogPublisherService(const Env& env, LogBroker& broker,
                                                         edge::Authorizer authorizer);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_LOGS_SERVICE_H_
