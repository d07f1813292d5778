// grpc.reflection.v1 and v1alpha as callback services over the generated descriptors.
//
//   auto reflection = MakeReflectionService({"swarm.v1.Control", "grpc.health.v1.Health"});
//   reflection->RegisterOn(builder);
//
// Shows the named services, itself, and the files that they need; nothing else that happens to be
// linked in. Any thread. Outlives the servers that it is registered on.
#ifndef SWARM_COMMON_GRPC_REFLECTION_H_
#define SWARM_COMMON_GRPC_REFLECTION_H_

#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <vector>

#include "common/grpc/peer.h"

namespace swarm::edge {

class ReflectionService {
 public:
  virtual ~ReflectionService() = default;
  virtual void RegisterOn(::grpc::ServerBuilder& builder) = 0;
};

// CHECKs that each name is a service in the generated descriptor pool. `authorizer` is asked at the
// door of each stream; empty: every connection is let in.
std::unique_ptr<ReflectionService> MakeReflectionService(std::vector<std::string> services,
                                                         Authorizer authorizer = nullptr);

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_REFLECTION_H_
