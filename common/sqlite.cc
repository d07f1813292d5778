#include "common/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>

#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm {
namespace {

absl::StatusCode CodeFor(int error) {
  switch (error & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
      return absl::StatusCode::kInvalidArgument;
    case SQLITE_IOERR:
      // A short read or a checksum that is off is damage; the rest is the disk refusing.
      if (error == SQLITE_IOERR_SHORT_READ || error == SQLITE_IOERR_CORRUPTFS) {
        return absl::StatusCode::kDataLoss;
      }
      return absl::StatusCode::kInternal;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrorOf(sqlite3* database, int error) {
  return absl::Status(CodeFor(error), sqlite3_errmsg(database));
}

// SQLite makes files with 0644: make ours first, so that it is never readable by others.
absl::Status MakeFile(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

}  // namespace

void SqliteStatement::Finalizer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void SqliteStatement::BindInt64(int parameter, int64_t value) {
  const int error = sqlite3_bind_int64(statement_.get(), parameter, value);
  if (error != SQLITE_OK) bind_error_ = error;
}

void SqliteStatement::BindText(int parameter, std::string_view value) {
  // A null pointer would bind NULL.
  const int error =
      sqlite3_bind_text64(statement_.get(), parameter, value.empty() ? "" : value.data(),
                          value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (error != SQLITE_OK) bind_error_ = error;
}

void SqliteStatement::BindBlob(int parameter, std::string_view value) {
  const int error =
      sqlite3_bind_blob64(statement_.get(), parameter, value.empty() ? "" : value.data(),
                          value.size(), SQLITE_TRANSIENT);
  if (error != SQLITE_OK) bind_error_ = error;
}

void SqliteStatement::BindNull(int parameter) {
  const int error = sqlite3_bind_null(statement_.get(), parameter);
  if (error != SQLITE_OK) bind_error_ = error;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  if (bind_error_ != 0) {
    const int error = bind_error_;
    Reset();
    return absl::Status(CodeFor(error), StrCat("bind: ", sqlite3_errstr(error)));
  }
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  absl::Status status = ErrorOf(sqlite3_db_handle(statement_.get()), result);
  sqlite3_reset(statement_.get());
  return status;
}

absl::Status SqliteStatement::Run() {
  while (true) {
    ASSIGN_OR_RETURN(bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  bind_error_ = 0;
}

int64_t SqliteStatement::ColumnInt64(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view SqliteStatement::ColumnText(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::string_view SqliteStatement::ColumnBlob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool SqliteStatement::ColumnIsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void SqliteDatabase::Closer::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

absl::StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::string& path,
                                                    const Options& options) {
  if (options.create) RETURN_IF_ERROR(MakeFile(path));
  sqlite3* raw = nullptr;
  const int error = sqlite3_open_v2(
      path.c_str(), &raw,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
      nullptr);
  SqliteDatabase database(raw);
  if (error != SQLITE_OK) {
    if (raw == nullptr) return absl::ResourceExhaustedError(StrCat(path, ": no memory"));
    if ((error & 0xff) == SQLITE_CANTOPEN) return ErrnoStatus(sqlite3_system_errno(raw), path);
    return Annotate(ErrorOf(raw, error), path);
  }
  sqlite3_busy_timeout(raw, options.exclusive ? 0 : 5000);
  const std::string setup =
      StrCat("PRAGMA locking_mode=", options.exclusive ? "EXCLUSIVE" : "NORMAL",
             "; PRAGMA journal_mode=WAL; PRAGMA synchronous=", options.durable ? "FULL" : "NORMAL",
             "; PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON; PRAGMA cache_size=-",
             options.cache_bytes / 1024, options.exclusive ? "; BEGIN EXCLUSIVE; COMMIT" : "");
  RETURN_IF_ERROR(Annotate(database.Exec(setup), path));
  return database;
}

absl::Status SqliteDatabase::Exec(const std::string& sql) {
  const int error = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (error != SQLITE_OK) return ErrorOf(database_.get(), error);
  return absl::OkStatus();
}

absl::StatusOr<SqliteStatement> SqliteDatabase::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int error = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                       SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (error != SQLITE_OK) return ErrorOf(database_.get(), error);
  if (statement == nullptr) return absl::InvalidArgumentError("empty SQL statement");
  return SqliteStatement(statement);
}

absl::Status SqliteDatabase::Transaction(absl::FunctionRef<absl::Status()> body) {
  RETURN_IF_ERROR(Exec("BEGIN IMMEDIATE"));
  absl::Status status = body();
  if (status.ok()) status = Exec("COMMIT");
  // Some errors (a full disk) roll back by themselves; a second ROLLBACK would hide the reason.
  if (!status.ok() && sqlite3_get_autocommit(database_.get()) == 0) Exec("ROLLBACK").IgnoreError();
  return status;
}

absl::StatusOr<int64_t> SqliteDatabase::QueryInt64(std::string_view sql) {
  ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
  ASSIGN_OR_RETURN(bool row, statement.Step());
  if (!row) return absl::NotFoundError("no row");
  return statement.ColumnInt64(0);
}

absl::Status SqliteDatabase::CheckIntegrity() {
  ASSIGN_OR_RETURN(SqliteStatement statement, Prepare("PRAGMA quick_check(1)"));
  ASSIGN_OR_RETURN(bool row, statement.Step());
  if (!row) return absl::DataLossError("quick_check said nothing");
  if (statement.ColumnText(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(ToAbsl(statement.ColumnText(0)));
}

}  // namespace swarm
