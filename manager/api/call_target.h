// Which container a call is for.
#ifndef SWARM_MANAGER_API_CALL_TARGET_H_
#define SWARM_MANAGER_API_CALL_TARGET_H_

#include <string>

#include "absl/status/statusor.h"
#include "manager/store/store.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::manager {

// Loop thread. A service by that ref, or else a task. NotFound; FailedPrecondition: "task web.1 is
// not running: it is PENDING". One that is STARTING has a container too: who wants to know why it
// does not get healthy looks there.
absl::StatusOr<Ref<Task>> FindRunningTask(const View& view, const v1::TaskSelector& selector);
bool MayHaveContainer(const Task& task);

// "web.1"; of a global service "web.<task id>".
std::string TaskNameOf(const Task& task);
std::string HostnameOf(const View& view, Id node);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CALL_TARGET_H_
