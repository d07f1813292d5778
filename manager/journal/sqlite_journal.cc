// On disk (format 2), in one SQLite database:
//   meta(key, value, crc)            'format' and 'version'; crc over key and value
//   records(tbl, key, value, crc)    one row per record; crc over table, key and value
// beside it, "<path>-tip": the last acknowledged version, 8 bytes, and its crc, 4 bytes,
// little-endian, written after each commit without a sync. SQLite takes a damaged write-ahead log
// for one that ends early; the tip is what tells an unfinished tail (cut) from acknowledged commits
// that are gone (refused). It may be old or missing, it is never ahead.
//
// Format 1 is laid out the same, but versions that know no other do not know of keys that are
// sealed. The first commit over one makes it format 2, and cuts the log: nothing stays on the disk
// of what it took the place of.
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/check.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/sqlite.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"
#include "manager/journal/journal.h"

namespace swarm::manager {
namespace {

constexpr int64_t kFormat = 2;
constexpr int64_t kOldestFormat = 1;  // that is read
constexpr size_t kMaxKeyBytes = 512;
constexpr int64_t kCacheBytes = 64 << 20;
constexpr size_t kTipBytes = 12;
// Between two attempts on a full disk.
constexpr absl::Duration kRetryPeriod = absl::Seconds(1);

using Done = absl::AnyInvocable<void(absl::Status)>;

uint32_t Crc(uint32_t crc, std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

template <typename Integer>
std::string LittleEndian(Integer value) {
  std::string bytes(sizeof(value), '\0');
  for (size_t i = 0; i < sizeof(value); ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

uint32_t MetaCrc(std::string_view key, int64_t value) {
  return Crc(Crc(0, key), LittleEndian(static_cast<uint64_t>(value)));
}

// The key's length keeps "ab"+"c" and "a"+"bc" apart.
uint32_t RecordCrc(JournalTable table, std::string_view key, std::string_view value) {
  const std::array<char, 3> head = {static_cast<char>(table), static_cast<char>(key.size()),
                                    static_cast<char>(key.size() >> 8)};
  return Crc(Crc(Crc(0, {head.data(), head.size()}), key), value);
}

// What to tell an operator about a file that cannot be trusted.
absl::Status Damaged(const std::string& path, std::string_view reason) {
  return absl::DataLossError(
      StrCat(path, " is damaged: ", reason,
             ". Put a backup in its place, or save what can be read with `sqlite3 ", path,
             " .recover`; remove ", path, "-tip to accept that the newest changes are lost"));
}

class Tip {
 public:
  absl::Status Open(const std::string& path) {
    file_.Reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    return file_.valid() ? absl::OkStatus() : ErrnoStatus(errno, path);
  }
  // Nothing when it was never written or is itself damaged: it only ever adds suspicion.
  std::optional<uint64_t> Read() const {
    std::array<char, kTipBytes> bytes;
    if (::pread(file_.get(), bytes.data(), bytes.size(), 0) != ssize_t{kTipBytes}) {
      return std::nullopt;
    }
    uint64_t version = 0;
    for (size_t i = 8; i-- > 0;) version = version << 8 | static_cast<unsigned char>(bytes[i]);
    if (std::string_view(bytes.data(), bytes.size()) != Encode(version)) return std::nullopt;
    return version;
  }
  // A tip that is not written is an old tip: no error.
  void Write(uint64_t version) const {
    const std::string bytes = Encode(version);
    [[maybe_unused]] const ssize_t written = ::pwrite(file_.get(), bytes.data(), bytes.size(), 0);
  }

 private:
  static std::string Encode(uint64_t version) {
    std::string bytes = LittleEndian(version);
    return bytes + LittleEndian(Crc(0, bytes));
  }
  UniqueFd file_;
};

class SqliteJournal : public Journal {
 public:
  SqliteJournal(std::string path, SqliteDatabase database, Tip tip, EventLoop& loop)
      : path_(std::move(path)), database_(std::move(database)), tip_(std::move(tip)), loop_(loop) {}

  ~SqliteJournal() override {
    {
      MutexLock lock(mu_);
      stopping_ = true;
      wake_.NotifyOne();
    }
    if (writer_.joinable()) writer_.join();
  }

  absl::StatusOr<uint64_t> Load(absl::FunctionRef<absl::Status(const Mutation&)> record) override {
    CHECK(!writer_.joinable()) << "Load twice";
    ASSIGN_OR_RETURN(uint64_t version, Prepare());
    RETURN_IF_ERROR(ReadRecords(record));
    const std::optional<uint64_t> tip = tip_.Read();
    if (tip && *tip > version) {
      return Damaged(path_, StrCat("it ends at version ", version, ", but version ", *tip,
                                   " was acknowledged"));
    }
    RETURN_IF_ERROR(PrepareWriter());
    writer_ = std::thread([this] { Write(); });
    pthread_setname_np(writer_.native_handle(), "journal");
    return version;
  }

  void Commit(Batch batch, uint64_t /*epoch*/, Done done) override {
    CHECK(writer_.joinable()) << "Commit before Load";
    DCHECK(loop_.InLoop());
    Queued queued{std::move(batch), 0, absl::OkStatus(), std::move(done)};
    queued.bytes = BatchBytes(queued.batch);
    MutexLock lock(mu_);
    if (queued_bytes_ + queued.bytes > kMaxQueuedBytes) {
      queued.refused = absl::ResourceExhaustedError(
          StrCat("the journal has ", queued_bytes_, " bytes waiting for the disk"));
      queued.batch.mutations.clear();
      queued.bytes = 0;
    }
    queued_bytes_ += queued.bytes;
    queue_.push_back(std::move(queued));
    wake_.NotifyOne();
  }

 private:
  struct Queued {
    Batch batch;
    size_t bytes = 0;
    absl::Status refused;  // not OK: takes its turn to call back, and is not written
    Done done;
  };

  // Checks what is there, or makes a new file; returns the last version.
  absl::StatusOr<uint64_t> Prepare() {
    absl::Status whole = database_.CheckIntegrity();
    if (!whole.ok()) return Damaged(path_, ToStd(whole.message()));
    ASSIGN_OR_RETURN(int64_t tables, database_.QueryInt64("SELECT count(*) FROM sqlite_schema"));
    if (tables == 0) RETURN_IF_ERROR(Annotate(Create(), path_));
    ASSIGN_OR_RETURN(format_, ReadMeta("format"));
    if (format_ > kFormat) {
      return absl::FailedPreconditionError(StrCat(path_, " has format ", format_,
                                                  " and this program knows ", kFormat,
                                                  ": start the version that wrote it"));
    }
    if (format_ < kOldestFormat) return Damaged(path_, StrCat("there is no format ", format_));
    ASSIGN_OR_RETURN(int64_t version, ReadMeta("version"));
    return static_cast<uint64_t>(version);
  }

  absl::Status Create() {
    return database_.Transaction([this]() -> absl::Status {
      RETURN_IF_ERROR(database_.Exec(
          "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL, crc INTEGER NOT NULL)"
          " WITHOUT ROWID;"
          "CREATE TABLE records (tbl INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
          " crc INTEGER NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID"));
      ASSIGN_OR_RETURN(put_meta_, database_.Prepare(kPutMeta));
      RETURN_IF_ERROR(PutMeta("format", kFormat));
      return PutMeta("version", 0);
    });
  }

  absl::StatusOr<int64_t> ReadMeta(std::string_view key) {
    absl::StatusOr<SqliteStatement> get =
        database_.Prepare("SELECT value, crc FROM meta WHERE key = ?1");
    if (!get.ok()) return Damaged(path_, ToStd(get.status().message()));
    get->BindText(1, key);
    ASSIGN_OR_RETURN(bool row, get->Step());
    if (!row) return Damaged(path_, StrCat("it does not say its ", key));
    const int64_t value = get->ColumnInt64(0);
    if (get->ColumnInt64(1) != MetaCrc(key, value)) {
      return Damaged(path_, StrCat("the checksum of its ", key, " is wrong"));
    }
    return value;
  }

  absl::Status ReadRecords(absl::FunctionRef<absl::Status(const Mutation&)> record) {
    absl::StatusOr<SqliteStatement> rows =
        database_.Prepare("SELECT tbl, key, value, crc FROM records");
    if (!rows.ok()) return Damaged(path_, ToStd(rows.status().message()));
    while (true) {
      absl::StatusOr<bool> row = rows->Step();
      if (!row.ok()) {
        return absl::IsDataLoss(row.status()) ? Damaged(path_, ToStd(row.status().message()))
                                              : Annotate(row.status(), path_);
      }
      if (!*row) return absl::OkStatus();
      const auto table = static_cast<JournalTable>(rows->ColumnInt64(0));
      Mutation mutation{table, std::string(rows->ColumnBlob(1)), std::string(rows->ColumnBlob(2))};
      if (rows->ColumnInt64(3) != RecordCrc(table, mutation.key, *mutation.value)) {
        return Damaged(path_, StrCat("the checksum of a record in table ", rows->ColumnInt64(0),
                                     " is wrong, key ", absl::BytesToHexString(mutation.key)));
      }
      RETURN_IF_ERROR(record(mutation));
    }
  }

  absl::Status PrepareWriter() {
    // A log that one large commit stretched is cut again, so that it does not stay large for ever.
    RETURN_IF_ERROR(database_.Exec("PRAGMA journal_size_limit=67108864"));
    // What is removed or replaced is overwritten in the database, and gone from a log that is cut.
    RETURN_IF_ERROR(database_.Exec("PRAGMA secure_delete=ON"));
    CutLog();  // of a process that was killed
    ASSIGN_OR_RETURN(put_meta_, database_.Prepare(kPutMeta));
    ASSIGN_OR_RETURN(put_,
                     database_.Prepare("INSERT OR REPLACE INTO records VALUES (?1,?2,?3,?4)"));
    ASSIGN_OR_RETURN(remove_, database_.Prepare("DELETE FROM records WHERE tbl = ?1 AND key = ?2"));
    return absl::OkStatus();
  }

  // Takes everything in the log over into the database. What fails is tried at the next start.
  void CutLog() {
    absl::StatusOr<int64_t> busy = database_.QueryInt64("PRAGMA wal_checkpoint(TRUNCATE)");
    if (busy.ok() && *busy != 0) busy = absl::UnavailableError("somebody reads it");
    if (busy.ok()) return;
    LogWarning("journal", StrCat(path_, ": cannot cut its log, where what was replaced still is: ",
                                 busy.status().message()));
  }

  // ------------------------------------------------------------------------- the writer's thread

  void Write() {
    while (true) {
      std::vector<Queued> group = Take();
      if (group.empty()) return;
      if (failure_.ok()) failure_ = WriteGroup(group);
      if (absl::IsResourceExhausted(failure_)) {
        SayStall(Annotate(failure_, "disk full"));
        while (absl::IsResourceExhausted(failure_) && WaitForSpace()) failure_ = WriteGroup(group);
        if (failure_.ok()) SayStall(absl::OkStatus());
      }
      Finish(std::move(group));
    }
  }

  void SayStall(absl::Status status) {
    if (status.ok()) {
      LogInfo("journal", "writes again");
    } else {
      LogError("journal", StrCat("cannot write, will try again: ", status.message()));
    }
    loop_.Post([this, status = std::move(status), alive = std::weak_ptr<bool>(alive_)]() mutable {
      if (!alive.expired()) TellStall(std::move(status));
    });
  }

  // False when the journal ends instead.
  bool WaitForSpace() {
    loop_.Post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      loop_.RunAfter(kRetryPeriod, [this, alive] {
        if (alive.expired()) return;
        MutexLock lock(mu_);
        retry_ = true;
        wake_.NotifyOne();
      });
    });
    MutexLock lock(mu_);
    while (!retry_ && !stopping_) wake_.Wait(mu_);
    retry_ = false;
    return !stopping_;
  }

  // Everything that waits; empty when the journal ends.
  std::vector<Queued> Take() {
    MutexLock lock(mu_);
    while (queue_.empty() && !stopping_) wake_.Wait(mu_);
    return std::exchange(queue_, {});
  }

  absl::Status WriteGroup(const std::vector<Queued>& group) {
    uint64_t version = 0;
    for (const Queued& queued : group) {
      if (queued.refused.ok()) version = queued.batch.version;
    }
    if (version == 0) return absl::OkStatus();
    const std::vector<const Mutation*> mutations = InKeyOrder(group);
    RETURN_IF_ERROR(Annotate(database_.Transaction([&]() -> absl::Status {
      for (const Mutation* mutation : mutations) RETURN_IF_ERROR(WriteOne(*mutation));
      if (format_ < kFormat) RETURN_IF_ERROR(PutMeta("format", kFormat));
      return PutMeta("version", static_cast<int64_t>(version));
    }),
                             path_));
    tip_.Write(version);
    if (std::exchange(format_, kFormat) < kFormat) CutLog();
    return absl::OkStatus();
  }

  // The last mutation of each key, sorted: neighbours share a page.
  static std::vector<const Mutation*> InKeyOrder(const std::vector<Queued>& group) {
    std::vector<const Mutation*> all;
    for (const Queued& queued : group) {
      for (const Mutation& mutation : queued.batch.mutations) all.push_back(&mutation);
    }
    const auto key = [](const Mutation* m) { return std::tie(m->table, m->key); };
    std::stable_sort(all.begin(), all.end(),
                     [&](const Mutation* a, const Mutation* b) { return key(a) < key(b); });
    std::vector<const Mutation*> last;
    for (size_t i = 0; i < all.size(); ++i) {
      if (i + 1 == all.size() || key(all[i]) != key(all[i + 1])) last.push_back(all[i]);
    }
    return last;
  }

  absl::Status WriteOne(const Mutation& mutation) {
    if (mutation.key.size() > kMaxKeyBytes) {
      return absl::InvalidArgumentError(
          StrCat("a key of ", mutation.key.size(), " bytes; at most ", kMaxKeyBytes));
    }
    SqliteStatement& statement = mutation.value ? *put_ : *remove_;
    statement.BindInt64(1, static_cast<int64_t>(mutation.table));
    statement.BindBlob(2, mutation.key);
    if (mutation.value) {
      statement.BindBlob(3, *mutation.value);
      statement.BindInt64(4, RecordCrc(mutation.table, mutation.key, *mutation.value));
    }
    return statement.Run();
  }

  absl::Status PutMeta(std::string_view key, int64_t value) {
    put_meta_->BindText(1, key);
    put_meta_->BindInt64(2, value);
    put_meta_->BindInt64(3, MetaCrc(key, value));
    return put_meta_->Run();
  }

  void Finish(std::vector<Queued> group) {
    size_t bytes = 0;
    for (const Queued& queued : group) bytes += queued.bytes;
    bool stopping;
    {
      MutexLock lock(mu_);
      queued_bytes_ -= bytes;
      stopping = stopping_;
    }
    if (stopping) return;
    loop_.Post([group = std::move(group), failure = failure_]() mutable {
      for (Queued& queued : group) queued.done(queued.refused.ok() ? failure : queued.refused);
    });
  }

  static constexpr char kPutMeta[] = "INSERT OR REPLACE INTO meta VALUES (?1,?2,?3)";

  const std::string path_;
  // Load's thread until Load returns, then the writer's.
  SqliteDatabase database_;
  int64_t format_ = kFormat;
  std::optional<SqliteStatement> put_meta_, put_, remove_;
  Tip tip_;
  absl::Status failure_;

  EventLoop& loop_;
  Mutex mu_;
  CondVar wake_;
  std::vector<Queued> queue_ ABSL_GUARDED_BY(mu_);
  // Of what is queued or being written.
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool retry_ ABSL_GUARDED_BY(mu_) = false;
  std::thread writer_;
  // Loop thread: what was posted for a journal that is gone does nothing.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> OpenSqliteJournal(SqliteJournalOptions options,
                                                           EventLoop& loop) {
  SqliteDatabase::Options how;
  how.exclusive = true;
  how.cache_bytes = kCacheBytes;
  absl::StatusOr<SqliteDatabase> database = SqliteDatabase::Open(options.path, how);
  if (!database.ok()) {
    if (absl::IsDataLoss(database.status())) {
      return Damaged(options.path, ToStd(database.status().message()));
    }
    if (absl::IsFailedPrecondition(database.status())) {
      return absl::FailedPreconditionError(
          StrCat(options.path, " is open in another manager: stop that one first"));
    }
    return database.status();
  }
  Tip tip;
  RETURN_IF_ERROR(tip.Open(StrCat(options.path, "-tip")));
  return std::make_unique<SqliteJournal>(options.path, *std::move(database), std::move(tip), loop);
}

}  // namespace swarm::manager
