// TaskNetworks: what the executor asks of the node's networks. NodeNetworks is the real one.
#ifndef SWARM_AGENT_TASK_NETWORKS_H_
#define SWARM_AGENT_TASK_NETWORKS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/dns/resolver_sockets.h"
#include "agent/executor.h"

namespace swarm::agent {

// Where a container is on its networks.
struct JoinedNetworks {
  std::string path;                    // of its network namespace
  std::vector<std::string> addresses;  // its own, in the order of its networks
  std::string resolv_conf;
  // Its shim keeps them, so that questions wait while there is no agent.
  ResolverSockets sockets;
};

class TaskNetworks {
 public:
  using Join = absl::AnyInvocable<absl::StatusOr<JoinedNetworks>()>;

  virtual ~TaskNetworks() = default;

  // Loop. What makes the task's namespace: blocking, for a pool's thread, harmless to do twice.
  // FailedPrecondition when a network of it is not known here.
  virtual absl::StatusOr<Join> PlanJoin(const TaskSpecOnNode& task) = 0;
  // Loop. The resolver of a container that is prepared, or was found running, begins to answer.
  virtual void Serve(const TaskSpecOnNode& task, ResolverSockets sockets) = 0;
  // Loop. What makes sure that a container's questions come to the sockets that its shim kept:
  // blocking, for a pool's thread, also after this object's end.
  using Resume = std::function<absl::Status(const ResolverSockets& sockets)>;
  virtual Resume PlanResume(const std::string& task_id) = 0;
  // Loop. Its process has ended, or will never be: nothing leads to it from now on, whatever the
  // manager knows, until it is served again. Of a task that has no networks is fine.
  virtual void StopServing(const std::string& task_id) = 0;
  // Loop. What takes a task's namespace away and all that leads to it: blocking, for a pool's
  // thread, also after this object's end. Of a task that has none is fine.
  using Leave = std::function<absl::Status(const std::string& task_id)>;
  virtual Leave PlanLeave() = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_TASK_NETWORKS_H_
