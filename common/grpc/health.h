// grpc.health.v1 (Check and Watch) as a callback service that can forget a name.
//
//   auto health = MakeHealthService();
//   builder.RegisterService(&health->service());
//   health->Set("", true);  health->Set("service/web", false);  health->Forget("service/web");
//
// Any thread. Outlives the servers that it is registered on.
#ifndef SWARM_COMMON_GRPC_HEALTH_H_
#define SWARM_COMMON_GRPC_HEALTH_H_

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/grpc/peer.h"

namespace swarm::edge {

class HealthService {
 public:
  // Above this a further Watch is refused, ResourceExhausted.
  static constexpr size_t kMaxWatchers = 1'000;

  virtual ~HealthService() = default;
  virtual ::grpc::Service& service() = 0;
  // Watchers of the name are told when it changes; a slow one skips to the newest.
  virtual void Set(std::string_view name, bool serving) = 0;
  // Check says NotFound, watchers are told SERVICE_UNKNOWN and stay.
  virtual void Forget(std::string_view name) = 0;
  // Everything NOT_SERVING from now on, whatever is set; before a server shuts down.
  virtual void SetAllNotServing() = 0;
};

// `authorizer` is asked at the door of each call; empty: every connection is let in.
std::unique_ptr<HealthService> MakeHealthService(Authorizer authorizer = nullptr);

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_HEALTH_H_
