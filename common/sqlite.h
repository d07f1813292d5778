// SqliteDatabase and SqliteStatement: SQLite behind Status, with nothing hidden.
//
//   ASSIGN_OR_RETURN(SqliteDatabase db, SqliteDatabase::Open(path, {}));
//   RETURN_IF_ERROR(db.Exec("CREATE TABLE IF NOT EXISTS t (key TEXT PRIMARY KEY, value BLOB)"));
//   ASSIGN_OR_RETURN(SqliteStatement put, db.Prepare("INSERT INTO t VALUES (?1, ?2)"));
//   put.BindText(1, key);
//   put.BindBlob(2, bytes);
//   RETURN_IF_ERROR(put.Run());
//
//   ASSIGN_OR_RETURN(SqliteStatement get, db.Prepare("SELECT key, value FROM t"));
//   while (true) {
//     ASSIGN_OR_RETURN(bool row, get.Step());
//     if (!row) break;
//     Use(get.ColumnText(0), get.ColumnBlob(1));
//   }
//
// One thread at a time per database, its statements included; any thread, one after the other. A
// statement must not outlive its database. Messages are SQLite's own. Codes: a damaged file is
// DataLoss; held by another process FailedPrecondition; disk full or no memory ResourceExhausted; a
// broken constraint AlreadyExists; no permission PermissionDenied; the rest Internal.
#ifndef SWARM_COMMON_SQLITE_H_
#define SWARM_COMMON_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace swarm {

class SqliteStatement {
 public:
  // Parameters count from 1 and stay bound over Reset. The bytes are copied.
  void BindInt64(int parameter, int64_t value);
  void BindText(int parameter, std::string_view value);
  void BindBlob(int parameter, std::string_view value);
  void BindNull(int parameter);

  // True: there is a row, read it with the Column functions until the next Step or Reset. False:
  // done, and the statement is reset. A wrong Bind is told here.
  absl::StatusOr<bool> Step();
  // Steps to the end, dropping rows, and resets: for what returns none.
  absl::Status Run();
  void Reset();

  // Columns count from 0. Text and blobs live until the next Step or Reset; NULL reads as 0 and "".
  int64_t ColumnInt64(int column) const;
  std::string_view ColumnText(int column) const;
  std::string_view ColumnBlob(int column) const;
  bool ColumnIsNull(int column) const;

 private:
  friend class SqliteDatabase;
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
  int bind_error_ = 0;
};

class SqliteDatabase {
 public:
  struct Options {
    // Made when missing, readable by its owner alone; otherwise a missing file is an error.
    bool create = true;
    // Holds the file's lock from Open until destroyed: a second opener, in this process or another,
    // gets FailedPrecondition. Without it one that is locked is waited for, at most 5 s.
    bool exclusive = false;
    // synchronous=FULL: a commit that returned survives power loss. Without it, NORMAL: whole but
    // maybe older after power loss, complete after a crash of the process.
    bool durable = true;
    // Page cache in bytes.
    int64_t cache_bytes = 2 << 20;
  };
  // In WAL mode, with foreign keys on.
  static absl::StatusOr<SqliteDatabase> Open(const std::string& path, const Options& options);

  // One or more statements separated by semicolons; rows are dropped.
  absl::Status Exec(const std::string& sql);
  // One statement.
  absl::StatusOr<SqliteStatement> Prepare(std::string_view sql);
  // BEGIN IMMEDIATE, `body`, COMMIT; ROLLBACK when either fails, and then nothing of it happened.
  absl::Status Transaction(absl::FunctionRef<absl::Status()> body);
  // The first column of the first row; NotFound when there is no row.
  absl::StatusOr<int64_t> QueryInt64(std::string_view sql);
  // Reads the whole file's structure (PRAGMA quick_check): DataLoss with SQLite's words when
  // damaged.
  absl::Status CheckIntegrity();

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  explicit SqliteDatabase(sqlite3* database) : database_(database) {}

  std::unique_ptr<sqlite3, Closer> database_;
};

}  // namespace swarm

#endif  // SWARM_COMMON_SQLITE_H_
