// TaskDatabase: what the node was told and how far it came, on disk, so that the next agent goes on
// where this one ended.
//
// A write that was called back survives the death of the agent; it may be missing after a power
// loss, which does no harm, because then the boot id differs and nothing of it is believed to run.
#ifndef SWARM_AGENT_TASK_DATABASE_H_
#define SWARM_AGENT_TASK_DATABASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/task_machine.h"
#include "common/event_loop.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

struct TaskRecord {
  std::string task_id;
  std::string revision_id;  // empty: not known (see TaskSpecOnNode)
  uint64_t slot = 0;
  TaskState desired = v1::TaskStatus::STATE_READY;
  bool unassigned = false;  // the manager does not want it any more: forgotten once it is removed
  v1::TaskStatus status;
  std::vector<v1::GenericResource> generic_resources;
  std::vector<v1::TaskNetwork> networks;
};

struct TaskDatabaseContents {
  std::string boot_id;  // of the boot that wrote it; empty when new
  std::vector<v1::Revision> revisions;
  std::vector<TaskRecord> tasks;  // by task id
  // The file was damaged, has been moved aside, and this is a new one.
  bool rebuilt = false;
  std::string damage;  // why
};

struct TaskDatabaseBatch {
  std::string boot_id;  // empty: as it is
  std::vector<TaskRecord> put_tasks;
  std::vector<std::string> delete_tasks;
  std::vector<std::shared_ptr<const v1::Revision>> put_revisions;
  std::vector<std::string> delete_revisions;

  bool empty() const {
    return boot_id.empty() && put_tasks.empty() && delete_tasks.empty() && put_revisions.empty() &&
           delete_revisions.empty();
  }
};

class TaskDatabase {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  virtual ~TaskDatabase() = default;
  // Once, first; blocking.
  virtual absl::StatusOr<TaskDatabaseContents> Load() = 0;
  // All of the batch or nothing. Loop thread; `done` on the loop, in the order of the calls. The
  // caller keeps at most one in flight and gathers meanwhile, so there is no queue to bound.
  virtual void Write(TaskDatabaseBatch batch, Done done) = 0;
};

// SQLite at `path` (WAL, synchronous=NORMAL) with one thread of its own. Destroy it on the loop's
// thread; what was given to Write is on disk then.
std::unique_ptr<TaskDatabase> MakeSqliteTaskDatabase(EventLoop& loop, std::string path);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_TASK_DATABASE_H_
