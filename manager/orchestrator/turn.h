// Turn: one turn of the orchestrator: a transaction, the time, and how much may still be written.
// Everything that the orchestrator writes goes through here, so that the rules about single tasks
// stand in one place. Lives inside one Store::Update.
#ifndef SWARM_MANAGER_ORCHESTRATOR_TURN_H_
#define SWARM_MANAGER_ORCHESTRATOR_TURN_H_

#include <string_view>

#include "absl/time/time.h"
#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

class Turn {
 public:
  Turn(const Env& env, WriteTx& tx, size_t budget);

  // Sees what this turn wrote.
  const View& view() const { return tx_.view(); }
  WriteTx& tx() { return tx_; }
  const Env& env() const { return env_; }
  absl::Duration now() const { return now_; }
  absl::Time wall_now() const { return wall_now_; }
  int64_t now_unix_ms() const { return now_unix_ms_; }
  // Begun work is finished, new work waits for the next turn.
  bool Exhausted() const { return writes_ >= budget_; }
  size_t writes() const { return writes_; }

  struct NewTask {
    Id service;
    Slot slot = 0;
    Ref<Revision> revision;
    TaskState desired = TaskState::kRunning;  // COMPLETE is written for jobs
    Id wanted_node;                           // zero: any
    int64_t after_unix_ms = 0;  // the newest of its slot; it is created later, whatever the clock
  };
  // A NEW task.
  Id Create(NewTask task);
  // SHUTDOWN or REMOVE. What never got to a node is over at once (SHUTDOWN, gone), and a task that
  // is gone and not wanted any more loses its record. `reason` (may be empty) goes into its error.
  void Stop(const Task& task, TaskState desired, std::string_view reason);
  // READY → RUNNING, of jobs COMPLETE.
  void Promote(const Task& task);
  // Nobody will ever report about it again.
  void Orphan(const Task& task, std::string_view reason);
  void Remove(Id task);
  // Logs a refusal (none is expected: the name does not change).
  void Put(Service service);
  void Put(RestartHistory history);
  // What the restart policy counted for the task's slot under its revision.
  void RemoveRestartHistory(const Task& task);
  void RemoveServiceRecords(Id service);
  void RemoveRevision(Id revision);

 private:
  const Env& env_;
  WriteTx& tx_;
  const size_t budget_;
  size_t writes_ = 0;
  const absl::Duration now_;
  const absl::Time wall_now_;
  const int64_t now_unix_ms_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_TURN_H_
