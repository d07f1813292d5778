#include "agent/task_database.h"

#include <stdio.h>

#include <cerrno>
#include <deque>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/sqlite.h"
#include "common/status_macros.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {
namespace {

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS revisions (id TEXT PRIMARY KEY, revision BLOB) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, revision_id TEXT, slot INTEGER,"
    " desired INTEGER, unassigned INTEGER, status BLOB) WITHOUT ROWID;"
    // A TaskAssignment with what has no column of its own, for those tasks that have some of it. In
    // a table of its own, because a database of before this has none.
    "CREATE TABLE IF NOT EXISTS assignments (id TEXT PRIMARY KEY, assignment BLOB) WITHOUT ROWID;";

// The statements of one open database. The thread of the database only, after Load.
struct Statements {
  SqliteDatabase database;
  SqliteStatement put_task, delete_task, put_revision, delete_revision, put_meta;
  SqliteStatement put_assignment, delete_assignment;

  static absl::StatusOr<std::unique_ptr<Statements>> Open(const std::string& path);
  absl::Status Apply(const TaskDatabaseBatch& batch);
};

absl::StatusOr<std::unique_ptr<Statements>> Statements::Open(const std::string& path) {
  SqliteDatabase::Options options;
  options.durable = false;
  ASSIGN_OR_RETURN(SqliteDatabase db, SqliteDatabase::Open(path, options));
  RETURN_IF_ERROR(db.CheckIntegrity());
  RETURN_IF_ERROR(db.Exec(kSchema));
  ASSIGN_OR_RETURN(auto put_task, db.Prepare("REPLACE INTO tasks VALUES (?1,?2,?3,?4,?5,?6)"));
  ASSIGN_OR_RETURN(auto delete_task, db.Prepare("DELETE FROM tasks WHERE id = ?1"));
  ASSIGN_OR_RETURN(auto put_revision, db.Prepare("REPLACE INTO revisions VALUES (?1,?2)"));
  ASSIGN_OR_RETURN(auto delete_revision, db.Prepare("DELETE FROM revisions WHERE id = ?1"));
  ASSIGN_OR_RETURN(auto put_meta, db.Prepare("REPLACE INTO meta VALUES (?1,?2)"));
  ASSIGN_OR_RETURN(auto put_assignment, db.Prepare("REPLACE INTO assignments VALUES (?1,?2)"));
  ASSIGN_OR_RETURN(auto delete_assignment, db.Prepare("DELETE FROM assignments WHERE id = ?1"));
  return std::unique_ptr<Statements>(
      new Statements{std::move(db), std::move(put_task), std::move(delete_task),
                     std::move(put_revision), std::move(delete_revision), std::move(put_meta),
                     std::move(put_assignment), std::move(delete_assignment)});
}

absl::Status Statements::Apply(const TaskDatabaseBatch& batch) {
  if (!batch.boot_id.empty()) {
    put_meta.BindText(1, "boot_id");
    put_meta.BindText(2, batch.boot_id);
    RETURN_IF_ERROR(put_meta.Run());
  }
  for (const auto& revision : batch.put_revisions) {
    put_revision.BindText(1, revision->id());
    put_revision.BindBlob(2, revision->SerializeAsString());
    RETURN_IF_ERROR(put_revision.Run());
  }
  for (const TaskRecord& task : batch.put_tasks) {
    put_task.BindText(1, task.task_id);
    put_task.BindText(2, task.revision_id);
    put_task.BindInt64(3, static_cast<int64_t>(task.slot));
    put_task.BindInt64(4, task.desired);
    put_task.BindInt64(5, task.unassigned);
    put_task.BindBlob(6, task.status.SerializeAsString());
    RETURN_IF_ERROR(put_task.Run());
    if (task.generic_resources.empty() && task.networks.empty()) continue;
    v1::TaskAssignment assignment;
    for (const auto& resource : task.generic_resources) {
      *assignment.add_generic_resources() = resource;
    }
    for (const auto& network : task.networks) *assignment.add_networks() = network;
    put_assignment.BindText(1, task.task_id);
    put_assignment.BindBlob(2, assignment.SerializeAsString());
    RETURN_IF_ERROR(put_assignment.Run());
  }
  for (const std::string& id : batch.delete_tasks) {
    delete_task.BindText(1, id);
    RETURN_IF_ERROR(delete_task.Run());
    delete_assignment.BindText(1, id);
    RETURN_IF_ERROR(delete_assignment.Run());
  }
  for (const std::string& id : batch.delete_revisions) {
    delete_revision.BindText(1, id);
    RETURN_IF_ERROR(delete_revision.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<TaskDatabaseContents> ReadAll(SqliteDatabase& db) {
  TaskDatabaseContents contents;
  ASSIGN_OR_RETURN(auto meta, db.Prepare("SELECT value FROM meta WHERE key = 'boot_id'"));
  ASSIGN_OR_RETURN(const bool has_boot_id, meta.Step());
  if (has_boot_id) contents.boot_id = std::string(meta.ColumnText(0));
  meta.Reset();

  ASSIGN_OR_RETURN(auto revisions, db.Prepare("SELECT id, revision FROM revisions ORDER BY id"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, revisions.Step());
    if (!row) break;
    const std::string_view bytes = revisions.ColumnBlob(1);
    if (!contents.revisions.emplace_back().ParseFromArray(bytes.data(),
                                                          static_cast<int>(bytes.size()))) {
      return absl::DataLossError(
          absl::StrCat("revision ", std::string(revisions.ColumnText(0)), " does not parse"));
    }
  }
  ASSIGN_OR_RETURN(
      auto tasks, db.Prepare("SELECT id, revision_id, slot, desired, unassigned, status, assignment"
                             " FROM tasks LEFT JOIN assignments USING (id) ORDER BY id"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, tasks.Step());
    if (!row) break;
    TaskRecord& task = contents.tasks.emplace_back();
    task.task_id = std::string(tasks.ColumnText(0));
    task.revision_id = std::string(tasks.ColumnText(1));
    task.slot = static_cast<uint64_t>(tasks.ColumnInt64(2));
    const int64_t desired = tasks.ColumnInt64(3);
    task.unassigned = tasks.ColumnInt64(4) != 0;
    const std::string_view bytes = tasks.ColumnBlob(5);
    if (!v1::TaskStatus::State_IsValid(static_cast<int>(desired)) ||
        !task.status.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
        !v1::TaskStatus::State_IsValid(task.status.state())) {
      return absl::DataLossError(
          absl::StrCat("the record of task ", task.task_id, " does not parse"));
    }
    task.desired = static_cast<TaskState>(desired);
    v1::TaskAssignment assignment;
    const std::string_view rest = tasks.ColumnBlob(6);
    if (!assignment.ParseFromArray(rest.data(), static_cast<int>(rest.size()))) {
      return absl::DataLossError(
          absl::StrCat("the assignment of task ", task.task_id, " does not parse"));
    }
    task.generic_resources.assign(assignment.generic_resources().begin(),
                                  assignment.generic_resources().end());
    task.networks.assign(assignment.networks().begin(), assignment.networks().end());
  }
  return contents;
}

class SqliteTaskDatabase : public TaskDatabase {
 public:
  SqliteTaskDatabase(EventLoop& loop, std::string path) : loop_(loop), path_(std::move(path)) {}
  ~SqliteTaskDatabase() override {
    {
      MutexLock lock(mu_);
      stop_ = true;
    }
    wake_.NotifyOne();
    if (thread_.joinable()) thread_.join();
  }

  absl::StatusOr<TaskDatabaseContents> Load() override {
    absl::StatusOr<TaskDatabaseContents> contents = OpenAndRead();
    if (absl::IsDataLoss(contents.status())) {
      const std::string damage(contents.status().message());
      RETURN_IF_ERROR(MoveAside());
      contents = OpenAndRead();
      if (contents.ok()) {
        contents->rebuilt = true;
        contents->damage = damage;
      }
    }
    RETURN_IF_ERROR(Annotate(contents.status(), absl::StrCat("open ", path_)));
    thread_ = std::thread([this] { WriteForEver(); });
    return contents;
  }

  void Write(TaskDatabaseBatch batch, Done done) override {
    CHECK(thread_.joinable()) << "Write before Load";
    {
      MutexLock lock(mu_);
      queue_.push_back({std::move(batch), std::move(done)});
    }
    wake_.NotifyOne();
  }

 private:
  struct Job {
    TaskDatabaseBatch batch;
    Done done;
  };

  absl::StatusOr<TaskDatabaseContents> OpenAndRead() {
    statements_.reset();
    ASSIGN_OR_RETURN(statements_, Statements::Open(path_));
    return ReadAll(statements_->database);
  }

  // Keeps the newest damaged one for whoever wants to look.
  absl::Status MoveAside() {
    statements_.reset();
    const std::string aside = path_ + ".damaged";
    for (const char* suffix : {"", "-wal", "-shm"}) {
      const std::string from = path_ + suffix;
      if (!PathExists(from)) continue;
      if (::rename(from.c_str(), (aside + suffix).c_str()) != 0) {
        return ErrnoStatus(errno, absl::StrCat("move ", from, " aside"));
      }
    }
    return absl::OkStatus();
  }

  void WriteForEver() {
    while (true) {
      std::deque<Job> jobs;
      {
        MutexLock lock(mu_);
        while (queue_.empty() && !stop_) wake_.Wait(mu_);
        if (queue_.empty()) return;
        jobs.swap(queue_);
      }
      for (Job& job : jobs) {
        absl::Status status =
            statements_->database.Transaction([&] { return statements_->Apply(job.batch); });
        loop_.Post([done = std::move(job.done), status = std::move(status)]() mutable {
          done(std::move(status));
        });
      }
    }
  }

  EventLoop& loop_;
  const std::string path_;
  std::unique_ptr<Statements> statements_;
  std::thread thread_;
  Mutex mu_;
  CondVar wake_;
  std::deque<Job> queue_ ABSL_GUARDED_BY(mu_);
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

std::unique_ptr<TaskDatabase> MakeSqliteTaskDatabase(EventLoop& loop, std::string path) {
  return std::make_unique<SqliteTaskDatabase>(loop, std::move(path));
}

}  // namespace swarm::agent
