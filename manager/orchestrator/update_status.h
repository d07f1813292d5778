// Writing a service's update_status. Pure.
#ifndef SWARM_MANAGER_ORCHESTRATOR_UPDATE_STATUS_H_
#define SWARM_MANAGER_ORCHESTRATOR_UPDATE_STATUS_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "manager/store/objects.h"

namespace swarm::manager {

using UpdateState = v1::UpdateStatus::State;

// The state of the update to the revision that the service has now; UNSPECIFIED when its status is
// about an earlier one.
UpdateState CurrentUpdate(const Service& service);

// `service` with its update in `state`: an update that is new starts at `now`, one that is over
// gets its time of completion.
Service WithUpdate(const Service& service, UpdateState state, std::string_view message,
                   absl::Time now);

bool IsPaused(UpdateState state);     // PAUSED, ROLLBACK_PAUSED
bool IsUnderWay(UpdateState state);   // UPDATING, ROLLBACK_STARTED
bool IsCompleted(UpdateState state);  // COMPLETED, ROLLBACK_COMPLETED

// "failure or early termination of task …: <its error>"
std::string WhyFailed(const Task& task);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_UPDATE_STATUS_H_
