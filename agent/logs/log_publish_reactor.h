// Log streams on gRPC: LogConnector over mutual TLS.
#ifndef SWARM_AGENT_LOGS_LOG_PUBLISH_REACTOR_H_
#define SWARM_AGENT_LOGS_LOG_PUBLISH_REACTOR_H_

#include <functional>
#include <memory>
#include <string>

#include "agent/logs/log_publisher.h"
#include "common/event_loop.h"
#include "common/grpc/credentials.h"

namespace swarm::agent {

// Dials the manager that `manager` names at that time (the session's), called on the loop.
std::unique_ptr<LogConnector> MakeGrpcLogConnector(EventLoop& loop,
                                                   std::shared_ptr<edge::TlsSource> tls,
                                                   std::function<std::string()> manager);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_LOGS_LOG_PUBLISH_REACTOR_H_
