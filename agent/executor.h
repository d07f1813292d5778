// Executor: what runs a task, behind a few verbs, so that the worker can be tested and simulated
// without containers. ContainerExecutor is the real one; FakeExecutor lives in tests/support.
//
// Loop thread only. Every verb returns at once and calls `done` on the loop exactly once, later.
// Every verb is harmless to do twice. At most one verb runs per task at a time, but Kill may come
// while Pull, Prepare or Start runs: then that verb ends early with Cancelled.
#ifndef SWARM_AGENT_EXECUTOR_H_
#define SWARM_AGENT_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "swarm/v1/dispatcher.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// A task as the node knows it. The revision is shared by all tasks that use it.
struct TaskSpecOnNode {
  std::string task_id;
  uint64_t slot = 0;
  // Null for a container that was found after the agent's database was lost, until the manager says
  // what it is; such a task is only waited for, stopped and removed.
  std::shared_ptr<const v1::Revision> revision;
  // What the manager gave it of the node's.
  std::vector<v1::GenericResource> generic_resources;
  // Its places in the cluster's networks, in the order of its spec. Empty: the host's network, or a
  // loopback alone.
  std::vector<v1::TaskNetwork> networks;
};

// Identifies a process for longer than its pid lives.
struct ProcessIdentity {
  int64_t pid = 0;
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
};

struct RunningContainer {
  ProcessIdentity shim;
  ProcessIdentity init;
  // As its spec and image said when it was prepared; null: none.
  std::shared_ptr<const v1::HealthCheck> health_check;
};

struct ContainerExit {
  int32_t exit_code = 0;  // 128 + signal when killed by one
  bool oom_killed = false;
  // Set when there is no exit code to tell: "supervisor lost".
  std::string error;
};

// A container that is really there (or has exited and was not removed).
struct FoundContainer {
  std::string task_id;
  bool running = false;
  bool created = false;      // prepared and never started; then not running
  RunningContainer process;  // when running
  ContainerExit exit;        // when neither
  std::string image_digest;  // that it was prepared from; empty when nobody knows
};

class Executor {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  virtual ~Executor() = default;

  // The image, unpacked, on this node, and the address of a log daemon that has a name. Before
  // Prepare. NotFound: no such image; Unavailable: try again.
  virtual void Pull(const TaskSpecOnNode& task, Done done) = 0;
  // Everything but the process: root file system, cgroup, shim, plan.
  virtual void Prepare(const TaskSpecOnNode& task, Done done) = 0;
  // Runs the process. OK only after its exec succeeded; the error is in words that the user reads.
  virtual void Start(const std::string& task_id,
                     absl::AnyInvocable<void(absl::StatusOr<RunningContainer>)> done) = 0;
  // Calls `exited` when the container ends; for started and adopted ones. Once per task. From then
  // on, soon, it holds nothing but its logs and how it ended, until Remove.
  virtual void Wait(const std::string& task_id, absl::AnyInvocable<void(ContainerExit)> exited) = 0;
  // A container of an earlier agent goes on under this one; before Wait.
  virtual void Adopt(const TaskSpecOnNode& /*task*/) {}
  // The stop signal of the task's spec to its init (SIGTERM when the revision is not known). Done
  // when sent, not when it ended.
  virtual void Stop(const TaskSpecOnNode& task, Done done) = 0;
  // SIGKILL to everything in the container.
  virtual void Kill(const std::string& task_id, Done done) = 0;
  // No process, mount, cgroup or directory of it is left after OK. Kills first if it must.
  virtual void Remove(const std::string& task_id, Done done) = 0;
  // All containers of this agent that are really there. Called once, before the first task.
  virtual void Inventory(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<FoundContainer>>)> done) = 0;
  // The ids only, at any time, touching nothing.
  virtual void ListIds(absl::AnyInvocable<void(absl::StatusOr<std::vector<std::string>>)> done) = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_EXECUTOR_H_
