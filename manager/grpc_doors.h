// Doors: the manager's three gRPC servers and their listeners.
//
// Opened in two steps, because the ports must be known before a cluster can be made, and the
// cluster before anything can be served: Bind takes the ports, Serve puts the services behind them.
// Not on the loop.
#ifndef SWARM_MANAGER_GRPC_DOORS_H_
#define SWARM_MANAGER_GRPC_DOORS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/grpc/credentials.h"
#include "common/grpc/health.h"
#include "manager/manager.h"
#include "manager/rooms.h"

namespace swarm::manager {

class Doors {
 public:
  // AlreadyExists when an address is in use.
  static absl::StatusOr<std::unique_ptr<Doors>> Bind(const ManagerOptions& options);

  virtual ~Doors() = default;
  virtual const Manager::Addresses& addresses() const = 0;
  // Health knows names from the start; it is served only behind the doors.
  virtual edge::HealthService& health() = 0;
  // `rooms` outlive Close.
  virtual absl::Status Serve(const Env& env, Rooms& rooms,
                             std::shared_ptr<edge::TlsSource> tls) = 0;
  // No connection and no call is left when it returns; calls get 1 s to end. Destroys the services
  // on the loop, which must still run. Harmless when nothing is served.
  virtual void Close() = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_GRPC_DOORS_H_
