// absl::Status and grpc::Status: same codes, same words.
#ifndef SWARM_COMMON_GRPC_STATUS_H_
#define SWARM_COMMON_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace swarm::edge {

// The message is cut at 4 KiB, because it travels in a header; payloads are dropped.
::grpc::Status ToGrpc(const absl::Status& status);
// A code that Abseil does not know is kUnknown.
absl::Status FromGrpc(const ::grpc::Status& status);

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_STATUS_H_
