// LockedDoor: what a manager serves while it is locked: on its local socket the Unlock service and
// health (NOT_SERVING), and to every other call the words that would help. Its ports are closed, so
// agents and other managers try again by themselves.
//
// Not on the loop. Closed when destroyed, which waits 1 s at most for calls.
#ifndef SWARM_MANAGER_GRPC_LOCKED_DOOR_H_
#define SWARM_MANAGER_GRPC_LOCKED_DOOR_H_

#include <memory>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/manager.h"

namespace swarm::manager {

class LockedDoor {
 public:
  // Tries a key; on any thread, one at a time. OK: the manager is about to serve.
  using TryKey = absl::AnyInvocable<absl::Status(std::string_view key)>;

  static absl::StatusOr<std::unique_ptr<LockedDoor>> Open(const ManagerOptions& options,
                                                          TryKey try_key);
  virtual ~LockedDoor() = default;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_GRPC_LOCKED_DOOR_H_
