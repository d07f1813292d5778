// grpc.health.v1.Health/Check as a client, without gRPC: one unary call over HTTP/2 by libcurl,
// which is loaded at the first such probe.
#ifndef SWARM_AGENT_HEALTH_GRPC_HEALTH_CHECK_H_
#define SWARM_AGENT_HEALTH_GRPC_HEALTH_CHECK_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/health/connection.h"
#include "agent/health/health_check.h"
#include "agent/runtime/runtime.h"

namespace swarm::agent {

// "SERVING", "NOT_SERVING", "UNKNOWN", "SERVICE_UNKNOWN", as the server says for `service` (empty:
// the server as a whole). An error when it does not answer so; blocking, for a pool's thread.
absl::StatusOr<std::string> GrpcHealthCheck(Runtime& runtime, const std::string& id,
                                            const ProbeTarget& target, absl::string_view service,
                                            const ProbeLimits& limits);

// Pure: the bytes of a HealthCheckRequest in gRPC's framing, and what a framed HealthCheckResponse
// says. InvalidArgument.
std::string EncodeHealthCheckRequest(absl::string_view service);
absl::StatusOr<std::string> DecodeHealthCheckResponse(absl::string_view framed);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HEALTH_GRPC_HEALTH_CHECK_H_
