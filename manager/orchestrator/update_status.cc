#include "manager/orchestrator/update_status.h"

#include "common/strings.h"

namespace swarm::manager {
namespace {

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

}  // namespace

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
      (state == v1::UpdateStatus::STATE_UPDATING && status.has_completed_at())) {
    status.Clear();
    SetTime(now, *status.mutable_started_at());
    changed.set_update_of_revision_id(service.revision_id());
  }
  status.set_state(state);
  status.set_message(std::string(message));
  if (state == v1::UpdateStatus::STATE_COMPLETED) SetTime(now, *status.mutable_completed_at());
  return changed;
}

std::string WhyPaused(const Task& task) {
  std::string why =
      StrCat("update paused due to failure or early termination of task ", task.id.ToString());
  if (!task.error().empty()) {
    StrAppend(&why, ": ", task.error());
  } else if (task.detail != nullptr && task.detail->exit_code != 0) {
    StrAppend(&why, ": exit code ", task.detail->exit_code);
  }
  return why;
}

}  // namespace swarm::manager
