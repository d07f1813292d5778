// What the store holds. Objects are immutable once in the store: shared_ptr<const T>, replaced
// whole.
//
// Clusters, nodes, services and revisions are few and are their storage records as they are. Tasks
// are many (1,000,000), so they are a compact struct that points at its revision.
#ifndef SWARM_MANAGER_STORE_OBJECTS_H_
#define SWARM_MANAGER_STORE_OBJECTS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/ids.h"
#include "swarm/storage/v1/records.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

using Cluster = storage::v1::ClusterRecord;
using Node = storage::v1::NodeRecord;
using Service = storage::v1::ServiceRecord;
using Revision = storage::v1::RevisionRecord;
using RestartHistory = storage::v1::RestartRecord;
using Request = storage::v1::RequestRecord;

// The numbers of SEMANTICS, on disk and on the wire.
enum class TaskState : uint16_t {
  kNew = 0,
  kPending = 64,
  kAssigned = 192,
  kAccepted = 256,
  kPreparing = 320,
  kReady = 384,
  kStarting = 448,
  kRunning = 512,
  kComplete = 576,
  kShutdown = 640,
  kFailed = 704,
  kRejected = 768,
  kRemove = 800,
  kOrphaned = 832,
};
inline bool IsTerminal(TaskState state) { return state > TaskState::kRunning; }
std::string_view TaskStateName(TaskState state);  // "RUNNING"
inline v1::TaskStatus::State ToProto(TaskState s) { return static_cast<v1::TaskStatus::State>(s); }
// Unknown numbers are kNew.
TaskState TaskStateFromProto(v1::TaskStatus::State state);

// Words about a task, only there when there is something to say.
struct TaskDetail {
  std::string message;
  std::string error;
  int64_t pid = 0;
  int32_t exit_code = 0;
  bool oom_killed = false;
};

struct Task {
  Id id;
  Id service_id;
  Id node_id;  // zero until ASSIGNED
  std::shared_ptr<const Revision> revision;
  uint64_t version = 0;
  int64_t created_unix_ms = 0;
  int64_t status_unix_ms = 0;  // when `state` was reported: for people
  uint32_t slot = 0;
  TaskState state = TaskState::kNew;
  TaskState desired = TaskState::kRunning;
  // The agent said that nothing of it is left on the node, or it never got to one.
  bool gone = false;
  std::shared_ptr<const TaskDetail> detail;  // may be null

  const std::string& error() const;  // "" when there is no detail
};

// Wanted to run and not finished: what counts against replicas and node resources.
inline bool IsRunnable(const Task& t) {
  return t.desired <= TaskState::kRunning && !IsTerminal(t.state);
}

storage::v1::TaskRecord ToRecord(const Task& task);
v1::Task ToApi(const Task& task);
v1::TaskStatus StatusToApi(const Task& task);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_STORE_OBJECTS_H_
