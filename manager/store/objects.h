// What the store holds. Objects are immutable once in the store: shared_ptr<const T>, replaced
// whole.
//
// Clusters, nodes, services, revisions, networks, secrets, configs and volumes are few and are
// their storage records as they are; what a secret holds is sealed (secret_vault.h). Tasks are many
// (1,000,000), so they are a compact struct that points at its revision.
#ifndef SWARM_MANAGER_STORE_OBJECTS_H_
#define SWARM_MANAGER_STORE_OBJECTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ids.h"
#include "common/ip_address.h"
#include "swarm/storage/v1/records.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

using Cluster = storage::v1::ClusterRecord;
using Node = storage::v1::NodeRecord;
using Service = storage::v1::ServiceRecord;
using Revision = storage::v1::RevisionRecord;
using RestartHistory = storage::v1::RestartRecord;
using Request = storage::v1::RequestRecord;
using Network = storage::v1::NetworkRecord;
using Secret = storage::v1::SecretRecord;
using Config = storage::v1::ConfigRecord;
using Volume = storage::v1::VolumeRecord;

// Since when the service asks what it asks: its spec and revision are those of this version.
inline uint64_t SpecVersion(const Service& service) {
  return service.spec_version() != 0 ? service.spec_version() : service.meta().version();
}

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

// A place in a service that one task after the other fills: its number, from 1 on, in the low half,
// and the run of a job in the high half (0: not a job). Global services number their nodes.
using Slot = uint64_t;
constexpr Slot MakeSlot(uint32_t run, uint32_t number) { return Slot{run} << 32 | number; }
constexpr uint32_t RunOf(Slot slot) { return static_cast<uint32_t>(slot >> 32); }
constexpr uint32_t NumberOf(Slot slot) { return static_cast<uint32_t>(slot); }

// Words about a task, only there when there is something to say.
struct TaskDetail {
  std::string message;
  std::string error;
  int64_t pid = 0;
  int32_t exit_code = 0;
  bool oom_killed = false;
  std::shared_ptr<const v1::Health> health;  // null without a health check; soft
};

// A task's place in one network.
struct TaskAddress {
  Id network;
  IpAddress v4;  // either may be none
  IpAddress v6;
  friend bool operator==(const TaskAddress&, const TaskAddress&) = default;
};

// What few tasks have.
struct TaskExtras {
  std::vector<v1::GenericResource> generic;  // given by the scheduler; durable
  // Given by the allocator, durable from ASSIGNED on: in the order of the spec's networks, the
  // ingress network last.
  std::vector<TaskAddress> addresses;
};

struct Task {
  Id id;
  Id service_id;
  Id node_id;      // zero until ASSIGNED
  Id wanted_node;  // the only one that it may go to; zero: any
  std::shared_ptr<const Revision> revision;
  uint64_t version = 0;
  int64_t created_unix_ms = 0;
  int64_t status_unix_ms = 0;  // when `state` was reported: for people
  Slot slot = 0;
  TaskState state = TaskState::kNew;
  TaskState desired = TaskState::kRunning;
  // The agent said that nothing of it is left on the node, or it never got to one.
  bool gone = false;
  std::shared_ptr<const TaskDetail> detail;  // may be null
  std::shared_ptr<const TaskExtras> extras;  // may be null

  const std::string& error() const;                   // "" when there is no detail
  const std::vector<TaskAddress>& addresses() const;  // empty when there are no extras
};

// Desired READY, RUNNING or, of jobs, COMPLETE.
inline bool IsWantedToRun(const Task& t) { return t.desired <= TaskState::kComplete; }
// Wanted to run and not finished: what counts against replicas and node resources.
inline bool IsRunnable(const Task& t) { return IsWantedToRun(t) && !IsTerminal(t.state); }

// As people and agents know it: the number in its run, 0 for a task of a global service.
inline uint64_t PublicSlot(const Task& t) { return t.wanted_node.IsZero() ? NumberOf(t.slot) : 0; }

storage::v1::TaskRecord ToRecord(const Task& task);
v1::Task ToApi(const Task& task);
v1::TaskNetwork ToApi(const TaskAddress& address);
v1::TaskStatus StatusToApi(const Task& task);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_STORE_OBJECTS_H_
