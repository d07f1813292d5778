// Journal: makes batches of changes durable, in order, then calls back.
//
//   journal.Commit(std::move(batch), epoch, [](absl::Status s) { … });   // loop thread
//
// Backends behind one test suite: SQLite (embedded, one manager); etcd later. `done` runs on the
// loop, in commit order. After one failed Commit every later one fails too: memory is ahead of the
// disk, and the only way on is a restart from Load().
#ifndef SWARM_MANAGER_JOURNAL_JOURNAL_H_
#define SWARM_MANAGER_JOURNAL_JOURNAL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/event_loop.h"

namespace swarm::manager {

// One table per kind of record. The numbers are on disk: never reuse one.
enum class JournalTable : uint8_t {
  kMeta = 0,
  kCluster = 1,
  kNode = 2,
  kService = 3,
  kRevision = 4,
  kTask = 5,
  kRestart = 6,
  kRequest = 7,
  kNetwork = 8,
  kSecret = 9,
  kConfig = 10,
  kVolume = 11,
};

struct Mutation {
  JournalTable table;
  std::string key;                   // <= 512 bytes
  std::optional<std::string> value;  // nullopt removes; removing what is not there is fine
};

// All of it or nothing of it, durable together.
struct Batch {
  uint64_t version = 0;  // the store's version after this batch; grows
  std::vector<Mutation> mutations;
};

// What a batch counts against Journal::kMaxQueuedBytes.
size_t BatchBytes(const Batch& batch);

class Journal {
 public:
  virtual ~Journal() = default;

  // Once, before the first Commit: every record there is, in any order, then the last version.
  // DataLoss when the file is damaged (names the file and the repair), FailedPrecondition when its
  // format is newer than this program.
  virtual absl::StatusOr<uint64_t> Load(
      absl::FunctionRef<absl::Status(const Mutation&)> record) = 0;

  // Loop thread. At most `kMaxQueuedBytes` may be waiting; above that done gets ResourceExhausted
  // for this batch alone, and nothing of it is written.
  virtual void Commit(Batch batch, uint64_t epoch, absl::AnyInvocable<void(absl::Status)> done) = 0;

  static constexpr size_t kMaxQueuedBytes = 256u << 20;

  // Called on the loop with the reason (ResourceExhausted) when what was committed waits for
  // somebody to make room, and with OK when it goes on. Once, before the first Commit.
  using StallCallback = absl::AnyInvocable<void(absl::Status)>;
  void OnStall(StallCallback callback) { on_stall_ = std::move(callback); }

 protected:
  void TellStall(absl::Status status) {
    if (on_stall_ != nullptr) on_stall_(std::move(status));
  }

 private:
  StallCallback on_stall_;
};

struct SqliteJournalOptions {
  std::string path;  // "<state>/journal.db"; its folder exists
};
// WAL, synchronous=FULL, one writer thread, group commit: what queued during the last commit is the
// next transaction. Calls back on `loop`, which outlives the journal. FailedPrecondition when
// another manager has the file open. A full disk is waited for: OnStall says so, and commits queue,
// up to kMaxQueuedBytes, until there is space again. Destroying it writes what is queued, without
// calling back.
absl::StatusOr<std::unique_ptr<Journal>> OpenSqliteJournal(SqliteJournalOptions options,
                                                           EventLoop& loop);

// Keeps everything in memory and completes each Commit by a Post; for tests and simulation. The
// content can be taken out and given to the next one, as a restart would.
class MemoryJournal : public Journal {
 public:
  explicit MemoryJournal(EventLoop& loop) : loop_(loop) {}
  absl::StatusOr<uint64_t> Load(absl::FunctionRef<absl::Status(const Mutation&)> record) override;
  void Commit(Batch batch, uint64_t epoch, absl::AnyInvocable<void(absl::Status)> done) override;

  struct Content {
    uint64_t version = 0;
    std::vector<std::pair<std::pair<JournalTable, std::string>, std::string>> records;
  };
  Content TakeContent();
  void SetContent(Content content);
  // The next commits fail with this until it is OK again.
  void FailWith(absl::Status status) { failure_ = std::move(status); }
  // As a full disk: commits wait until this is called with OK.
  void Stall(absl::Status reason);
  // The disk hangs and does not say so yet, until Stall.
  void HoldNextCommits() { holds_ = true; }

 private:
  struct Held {
    Batch batch;
    absl::AnyInvocable<void(absl::Status)> done;
  };

  EventLoop& loop_;
  absl::Status failure_;
  bool holds_ = false;
  std::deque<Held> held_;
  uint64_t version_ = 0;
  std::map<std::pair<JournalTable, std::string>, std::string> records_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_JOURNAL_JOURNAL_H_
