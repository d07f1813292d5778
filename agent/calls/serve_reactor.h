// Streams of calls on gRPC: CallConnector over mutual TLS.
#ifndef SWARM_AGENT_CALLS_SERVE_REACTOR_H_
#define SWARM_AGENT_CALLS_SERVE_REACTOR_H_

#include <functional>
#include <memory>
#include <string>

#include "agent/calls/call_stream.h"
#include "common/event_loop.h"
#include "common/grpc/credentials.h"

namespace swarm::agent {

// Dials the manager that `manager` names at that time (the session's), called on the loop. The
// connection is kept for a minute after the last use: a handshake costs more than most calls.
std::unique_ptr<CallConnector> MakeGrpcCallConnector(EventLoop& loop,
                                                     std::shared_ptr<edge::TlsSource> tls,
                                                     std::function<std::string()> manager);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CALLS_SERVE_REACTOR_H_
