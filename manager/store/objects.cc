#include "manager/store/objects.h"

#include "absl/time/time.h"
#include "common/proto_time.h"

namespace swarm::manager {
namespace {

void SetUnixMillis(int64_t millis, google::protobuf::Timestamp* out) {
  *out = swarm::ToProto(absl::FromUnixMillis(millis));
}

}  // namespace

static_assert(sizeof(Task) <= 160, "a manager holds a million of them");

std::string_view TaskStateName(TaskState state) {
  switch (state) {
    case TaskState::kNew:
      return "NEW";
    case TaskState::kPending:
      return "PENDING";
    case TaskState::kAssigned:
      return "ASSIGNED";
    case TaskState::kAccepted:
      return "ACCEPTED";
    case TaskState::kPreparing:
      return "PREPARING";
    case TaskState::kReady:
      return "READY";
    case TaskState::kStarting:
      return "STARTING";
    case TaskState::kRunning:
      return "RUNNING";
    case TaskState::kComplete:
      return "COMPLETE";
    case TaskState::kShutdown:
      return "SHUTDOWN";
    case TaskState::kFailed:
      return "FAILED";
    case TaskState::kRejected:
      return "REJECTED";
    case TaskState::kRemove:
      return "REMOVE";
    case TaskState::kOrphaned:
      return "ORPHANED";
  }
  return "NEW";
}

TaskState TaskStateFromProto(v1::TaskStatus::State state) {
  // Every number of the API is one of ours; protobuf keeps numbers that it does not know.
  return v1::TaskStatus::State_IsValid(state) ? static_cast<TaskState>(state) : TaskState::kNew;
}

const std::string& Task::error() const {
  static const auto* const kNone = new std::string;
  return detail == nullptr ? *kNone : detail->error;
}

const std::vector<TaskAddress>& Task::addresses() const {
  static const auto* const kNone = new std::vector<TaskAddress>;
  return extras == nullptr ? *kNone : extras->addresses;
}

storage::v1::TaskRecord ToRecord(const Task& task) {
  storage::v1::TaskRecord record;
  record.set_id(task.id.ToBytes());
  record.set_service_id(task.service_id.ToBytes());
  if (task.revision != nullptr) {
    record.set_revision_id(Id::ParseOrZero(task.revision->revision().id()).ToBytes());
  }
  if (!task.node_id.IsZero()) record.set_node_id(task.node_id.ToBytes());
  if (!task.wanted_node.IsZero()) record.set_wanted_node_id(task.wanted_node.ToBytes());
  record.set_slot(NumberOf(task.slot));
  record.set_run(RunOf(task.slot));
  record.set_desired_state(static_cast<uint32_t>(task.desired));
  record.set_state(static_cast<uint32_t>(task.state));
  record.set_created_unix_ms(task.created_unix_ms);
  record.set_status_unix_ms(task.status_unix_ms);
  record.set_version(task.version);
  record.set_acknowledged_gone(task.gone);
  if (task.detail != nullptr) {
    record.set_message(task.detail->message);
    record.set_error(task.detail->error);
    record.set_pid(task.detail->pid);
    record.set_exit_code(task.detail->exit_code);
    record.set_oom_killed(task.detail->oom_killed);
  }
  if (task.extras != nullptr) {
    record.mutable_generic_resources()->Assign(task.extras->generic.begin(),
                                               task.extras->generic.end());
    for (const TaskAddress& address : task.extras->addresses) {
      storage::v1::TaskAddressRecord& out = *record.add_addresses();
      out.set_network_id(address.network.ToBytes());
      out.set_v4(address.v4.ToBytes());
      out.set_v6(address.v6.ToBytes());
    }
  }
  return record;
}

v1::TaskStatus StatusToApi(const Task& task) {
  v1::TaskStatus status;
  status.set_state(ToProto(task.state));
  if (task.status_unix_ms != 0) SetUnixMillis(task.status_unix_ms, status.mutable_timestamp());
  if (task.detail == nullptr) return status;
  status.set_message(task.detail->message);
  status.set_error(task.detail->error);
  status.set_oom_killed(task.detail->oom_killed);
  if (task.detail->health != nullptr) *status.mutable_health() = *task.detail->health;
  if (task.detail->pid != 0 || task.detail->exit_code != 0) {
    // A container bears the name of its task: there is one for each.
    status.mutable_container()->set_container_id(task.id.ToString());
    status.mutable_container()->set_pid(task.detail->pid);
    status.mutable_container()->set_exit_code(task.detail->exit_code);
  }
  return status;
}

v1::TaskNetwork ToApi(const TaskAddress& address) {
  v1::TaskNetwork out;
  out.set_network_id(address.network.ToString());
  out.set_v4(address.v4.ToString());
  out.set_v6(address.v6.ToString());
  return out;
}

v1::Task ToApi(const Task& task) {
  v1::Task api;
  api.set_id(task.id.ToString());
  api.mutable_meta()->set_version(task.version);
  SetUnixMillis(task.created_unix_ms, api.mutable_meta()->mutable_created_at());
  if (task.status_unix_ms != 0) {
    SetUnixMillis(task.status_unix_ms, api.mutable_meta()->mutable_updated_at());
  }
  api.set_service_id(task.service_id.ToString());
  if (task.revision != nullptr) {
    const v1::Revision& revision = task.revision->revision();
    api.set_service_name(revision.service_name());
    api.set_revision_id(revision.id());
    api.set_image(revision.task().container().image());
  }
  api.set_slot(PublicSlot(task));
  api.set_run(RunOf(task.slot));
  if (!task.wanted_node.IsZero()) api.set_wanted_node_id(task.wanted_node.ToString());
  if (task.extras != nullptr) {
    api.mutable_generic_resources()->Assign(task.extras->generic.begin(),
                                            task.extras->generic.end());
  }
  for (const TaskAddress& address : task.addresses()) *api.add_networks() = ToApi(address);
  api.set_node_id(task.node_id.ToString());
  api.set_desired_state(ToProto(task.desired));
  *api.mutable_status() = StatusToApi(task);
  return api;
}

}  // namespace swarm::manager
