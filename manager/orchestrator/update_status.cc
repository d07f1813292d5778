#include "manager/orchestrator/update_status.h"

#include "common/proto_time.h"
#include "common/strings.h"

namespace swarm::manager {

UpdateState CurrentUpdate(const Service& service) {
  if (service.update_of_revision_id() != service.revision_id()) {
    return v1::UpdateStatus::STATE_UNSPECIFIED;
  }
  return service.update_status().state();
}

Service WithUpdate(const Service& service, UpdateState state, std::string_view message,
                   absl::Time now) {
  Service changed = service;
  v1::UpdateStatus& status = *changed.mutable_update_status();
  if (CurrentUpdate(service) == v1::UpdateStatus::STATE_UNSPECIFIED ||
      (IsUnderWay(state) && status.has_completed_at())) {
    status.Clear();
    *status.mutable_started_at() = swarm::ToProto(now);
    changed.set_update_of_revision_id(service.revision_id());
  }
  status.set_state(state);
  status.set_message(std::string(message));
  if (IsCompleted(state)) *status.mutable_completed_at() = swarm::ToProto(now);
  return changed;
}

bool IsPaused(UpdateState state) {
  return state == v1::UpdateStatus::STATE_PAUSED ||
         state == v1::UpdateStatus::STATE_ROLLBACK_PAUSED;
}

bool IsUnderWay(UpdateState state) {
  return state == v1::UpdateStatus::STATE_UPDATING ||
         state == v1::UpdateStatus::STATE_ROLLBACK_STARTED;
}

bool IsCompleted(UpdateState state) {
  return state == v1::UpdateStatus::STATE_COMPLETED ||
         state == v1::UpdateStatus::STATE_ROLLBACK_COMPLETED;
}

std::string WhyFailed(const Task& task) {
  std::string why = StrCat("failure or early termination of task ", task.id.ToString());
  if (!task.error().empty()) {
    StrAppend(&why, ": ", task.error());
  } else if (task.detail != nullptr && task.detail->exit_code != 0) {
    StrAppend(&why, ": exit code ", task.detail->exit_code);
  }
  return why;
}

}  // namespace swarm::manager
