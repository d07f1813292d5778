#include "agent/network_records.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/network_changes.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

// Another number: the format is another one, and nothing of it is read.
constexpr int kFormat = 1;
constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS owner (node_id TEXT, boot_id TEXT);"
    "CREATE TABLE IF NOT EXISTS pieces (kind INTEGER, network TEXT, id TEXT, piece BLOB,"
    " PRIMARY KEY (kind, network, id)) WITHOUT ROWID;";

template <typename Piece>
absl::Status Parse(std::string_view bytes, Piece* piece) {
  if (piece->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
  return absl::DataLossError("a piece does not parse");
}

}  // namespace

NetworkRecords::NetworkRecords(std::string path) : path_(std::move(path)) {}

// ------------------------------------------------------------------------------- what gathers

NetworkRecords::Key NetworkRecords::PortKey(PortProtocol protocol, uint32_t published) {
  return {Kind::kPort, "", StrCat(static_cast<int>(protocol), "/", published)};
}

void NetworkRecords::PutAll(const v1::NetworkChanges& changes, Pending* pending) {
  auto& rows = pending->rows;
  for (const auto& piece : changes.networks()) {
    rows[{Kind::kNetwork, piece.network().id(), ""}] = piece.SerializeAsString();
  }
  for (const auto& piece : changes.peers()) {
    rows[{Kind::kPeer, piece.network_id(), piece.node_id()}] = piece.SerializeAsString();
  }
  for (const auto& piece : changes.members()) {
    rows[{Kind::kMember, piece.network_id(), piece.task_id()}] = piece.SerializeAsString();
  }
  for (const auto& piece : changes.endpoints()) {
    rows[{Kind::kEndpoint, piece.network_id(), piece.service_id()}] = piece.SerializeAsString();
  }
  for (const auto& piece : changes.ports()) {
    const auto [protocol, published] = KeyOf(piece);
    rows[PortKey(protocol, published)] = piece.SerializeAsString();
  }
}

void NetworkRecords::Replace(const Owner& owner, const v1::NetworkChanges& complete) {
  MutexLock lock(pending_mu_);
  owner_ = owner;
  pending_ = {.complete = true, .rows = {}};
  PutAll(complete, &pending_);
  whole_ = true;
}

void NetworkRecords::Change(const v1::NetworkChanges& changes, const NetworkUpdate& update) {
  MutexLock lock(pending_mu_);
  if (!whole_) return;
  auto& rows = pending_.rows;
  for (const std::string& id : update.gone_networks) rows[{Kind::kNetwork, id, ""}].reset();
  for (const auto& [network, id] : update.gone_peers) rows[{Kind::kPeer, network, id}].reset();
  for (const auto& [network, id] : update.gone_tasks) rows[{Kind::kMember, network, id}].reset();
  for (const auto& [network, id] : update.gone_services) {
    rows[{Kind::kEndpoint, network, id}].reset();
  }
  for (const auto& [protocol, port] : update.gone_ingress_ports)
    rows[PortKey(protocol, port)].reset();
  PutAll(changes, &pending_);
}

bool NetworkRecords::HasPending() const {
  MutexLock lock(pending_mu_);
  return !pending_.empty();
}

// ------------------------------------------------------------------------------------ the file

absl::Status NetworkRecords::Open() {
  if (file_.has_value()) return absl::OkStatus();
  const bool there = PathExists(path_);
  SqliteDatabase::Options options;
  options.durable = false;
  ASSIGN_OR_RETURN(SqliteDatabase db, SqliteDatabase::Open(path_, options));
  if (there) {
    RETURN_IF_ERROR(db.CheckIntegrity());
    ASSIGN_OR_RETURN(const int64_t format, db.QueryInt64("PRAGMA user_version"));
    // 0: an agent died before it had written anything.
    if (format != kFormat && format != 0) {
      return absl::DataLossError(StrCat("its format is ", format, ", ours is ", kFormat));
    }
  }
  RETURN_IF_ERROR(db.Exec(kSchema));
  RETURN_IF_ERROR(db.Exec(StrCat("PRAGMA user_version = ", kFormat)));
  ASSIGN_OR_RETURN(auto put, db.Prepare("REPLACE INTO pieces VALUES (?1,?2,?3,?4)"));
  ASSIGN_OR_RETURN(auto erase,
                   db.Prepare("DELETE FROM pieces WHERE kind = ?1 AND network = ?2 AND id = ?3"));
  file_.emplace(File{std::move(db), std::move(put), std::move(erase)});
  return absl::OkStatus();
}

absl::Status NetworkRecords::RemoveFile() {
  file_.reset();
  absl::Status status;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string path = path_ + suffix;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      status.Update(ErrnoStatus(errno, StrCat("remove ", path)));
    }
  }
  return status;
}

absl::StatusOr<NetworkRecords::Owner> NetworkRecords::ReadOwner() {
  ASSIGN_OR_RETURN(auto rows, file_->database.Prepare("SELECT node_id, boot_id FROM owner"));
  ASSIGN_OR_RETURN(const bool there, rows.Step());
  Owner owner;
  if (there) owner = {std::string(rows.ColumnText(0)), std::string(rows.ColumnText(1))};
  return owner;
}

absl::Status NetworkRecords::Take(Kind kind, std::string_view bytes, v1::NetworkChanges* into) {
  switch (kind) {
    case Kind::kNetwork:
      return Parse(bytes, into->add_networks());
    case Kind::kPeer:
      return Parse(bytes, into->add_peers());
    case Kind::kMember:
      return Parse(bytes, into->add_members());
    case Kind::kEndpoint:
      return Parse(bytes, into->add_endpoints());
    case Kind::kPort:
      return Parse(bytes, into->add_ports());
  }
  return absl::DataLossError(StrCat("a piece of kind ", static_cast<int64_t>(kind)));
}

absl::StatusOr<v1::NetworkChanges> NetworkRecords::Read(const Owner& owner) {
  RETURN_IF_ERROR(Open());
  ASSIGN_OR_RETURN(const Owner theirs, ReadOwner());
  if (theirs != owner) return absl::NotFoundError("of another node or boot");
  ASSIGN_OR_RETURN(auto rows, file_->database.Prepare("SELECT kind, piece FROM pieces"));
  v1::NetworkChanges known;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return known;
    RETURN_IF_ERROR(Take(static_cast<Kind>(rows.ColumnInt64(0)), rows.ColumnBlob(1), &known));
  }
}

absl::StatusOr<v1::NetworkChanges> NetworkRecords::Load(const Owner& owner) {
  MutexLock lock(file_mu_);
  if (!PathExists(path_)) return absl::NotFoundError("nothing is recorded");
  absl::StatusOr<v1::NetworkChanges> known = Read(owner);
  // Whoever's it was and whatever is wrong with it: it would only get in the way.
  if (!known.ok()) RETURN_IF_ERROR(RemoveFile());
  return known;
}

absl::Status NetworkRecords::WriteOwner(const Owner& owner) {
  RETURN_IF_ERROR(file_->database.Exec("DELETE FROM owner"));
  ASSIGN_OR_RETURN(auto put, file_->database.Prepare("INSERT INTO owner VALUES (?1, ?2)"));
  put.BindText(1, owner.node_id);
  put.BindText(2, owner.boot_id);
  return put.Run();
}

absl::Status NetworkRecords::Compare(Pending* pending) {
  ASSIGN_OR_RETURN(auto rows,
                   file_->database.Prepare("SELECT kind, network, id, piece FROM pieces"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return absl::OkStatus();
    Key key = {static_cast<Kind>(rows.ColumnInt64(0)), std::string(rows.ColumnText(1)),
               std::string(rows.ColumnText(2))};
    const auto wanted = pending->rows.find(key);
    if (wanted == pending->rows.end()) {
      pending->rows[std::move(key)].reset();
    } else if (wanted->second == rows.ColumnBlob(3)) {
      pending->rows.erase(wanted);
    }
  }
}

absl::Status NetworkRecords::Write(const Owner& owner, Pending pending) {
  RETURN_IF_ERROR(Open());
  if (pending.complete) file_->owned = false;
  return file_->database.Transaction([&]() -> absl::Status {
    if (!std::exchange(file_->owned, true)) RETURN_IF_ERROR(WriteOwner(owner));
    if (pending.complete) RETURN_IF_ERROR(Compare(&pending));
    for (const auto& [key, piece] : pending.rows) {
      const auto& [kind, network, id] = key;
      SqliteStatement& statement = piece ? file_->put : file_->erase;
      statement.BindInt64(1, static_cast<int64_t>(kind));
      statement.BindText(2, network);
      statement.BindText(3, id);
      if (piece) statement.BindBlob(4, *piece);
      RETURN_IF_ERROR(statement.Run());
    }
    return absl::OkStatus();
  });
}

absl::Status NetworkRecords::Flush() {
  MutexLock lock(file_mu_);
  Owner owner;
  Pending pending;
  {
    MutexLock gathered(pending_mu_);
    owner = owner_;
    pending = std::exchange(pending_, {});
  }
  if (pending.empty()) return absl::OkStatus();
  // A node without networks has no file.
  if (pending.complete && pending.rows.empty()) return RemoveFile();
  absl::Status written = Write(owner, std::move(pending));
  if (written.ok()) return written;
  written.Update(RemoveFile());
  MutexLock gathered(pending_mu_);
  if (!pending_.complete) {  // else a complete set came meanwhile
    pending_ = {};
    whole_ = false;
  }
  return written;
}

absl::Status NetworkRecords::Forget() {
  MutexLock lock(file_mu_);
  {
    MutexLock gathered(pending_mu_);
    pending_ = {};
    whole_ = false;
  }
  return RemoveFile();
}

}  // namespace swarm::agent
