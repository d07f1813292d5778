// FakeTaskDatabase: what an agent writes down, kept in memory over the deaths of agents (Disk).
#ifndef SWARM_TESTS_SUPPORT_FAKE_TASK_DATABASE_H_
#define SWARM_TESTS_SUPPORT_FAKE_TASK_DATABASE_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "agent/task_database.h"
#include "common/event_loop.h"

namespace swarm::testing {

// What a disk holds, over the deaths of agents.
struct Disk {
  agent::TaskDatabaseContents contents;
  std::map<std::string, agent::TaskRecord> tasks;
  std::map<std::string, v1::Revision> revisions;
  absl::Status write_result;
  int writes = 0;
};

class FakeTaskDatabase : public agent::TaskDatabase {
 public:
  FakeTaskDatabase(EventLoop& loop, Disk& disk) : loop_(loop), disk_(disk) {}
  ~FakeTaskDatabase() override { *alive_ = false; }

  absl::StatusOr<agent::TaskDatabaseContents> Load() override {
    agent::TaskDatabaseContents contents = disk_.contents;
    for (const auto& [id, revision] : disk_.revisions) contents.revisions.push_back(revision);
    for (const auto& [id, task] : disk_.tasks) contents.tasks.push_back(task);
    return contents;
  }
  void Write(agent::TaskDatabaseBatch batch, Done done) override {
    ++disk_.writes;
    loop_.RunAfter(absl::Milliseconds(1), [this, alive = alive_, batch = std::move(batch),
                                           done = std::move(done)]() mutable {
      if (!*alive) return;
      if (disk_.write_result.ok()) Commit(batch);
      done(disk_.write_result);
    });
  }

 private:
  void Commit(const agent::TaskDatabaseBatch& batch) {
    if (!batch.boot_id.empty()) disk_.contents.boot_id = batch.boot_id;
    for (const auto& revision : batch.put_revisions) disk_.revisions[revision->id()] = *revision;
    for (const agent::TaskRecord& task : batch.put_tasks) disk_.tasks[task.task_id] = task;
    for (const std::string& id : batch.delete_tasks) disk_.tasks.erase(id);
    for (const std::string& id : batch.delete_revisions) disk_.revisions.erase(id);
  }

  EventLoop& loop_;
  Disk& disk_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_FAKE_TASK_DATABASE_H_
