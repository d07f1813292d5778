// The session's stream on gRPC: SessionConnector over mutual TLS.
#ifndef SWARM_AGENT_SESSION_REACTOR_H_
#define SWARM_AGENT_SESSION_REACTOR_H_

#include <memory>

#include "agent/session.h"
#include "common/event_loop.h"
#include "common/grpc/credentials.h"

namespace swarm::agent {

// A channel of its own per stream, with the certificate that `tls` holds at that time. The loop
// outlives every stream.
std::unique_ptr<SessionConnector> MakeGrpcSessionConnector(EventLoop& loop,
                                                           std::shared_ptr<edge::TlsSource> tls);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_SESSION_REACTOR_H_
