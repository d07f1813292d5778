// What a process that is killed leaves of a journal: its log is not taken over into the database.
//
//   KilledJournal killed(path);  // while it is open
//   journal.reset();
//   killed.PutBack();
#ifndef SWARM_TESTS_SUPPORT_KILLED_JOURNAL_H_
#define SWARM_TESTS_SUPPORT_KILLED_JOURNAL_H_

#include <string>

#include "common/file_system.h"
#include "common/sqlite.h"
#include "tests/support/status_matchers.h"

namespace swarm::testing {

class KilledJournal {
 public:
  explicit KilledJournal(const std::string& path)
      : path_(path), database_(ReadFile(path)), log_(ReadFile(path + "-wal")) {}
  void PutBack() const {
    ASSERT_OK(database_);
    ASSERT_OK(log_);
    ASSERT_OK(WriteFileAtomically(path_, *database_, 0600));
    ASSERT_OK(WriteFileAtomically(path_ + "-wal", *log_, 0600));
  }

 private:
  const std::string path_;
  const absl::StatusOr<std::string> database_, log_;
};

// As if the version before had written it and been killed; what is in its log stays there.
inline void MakeJournalOfFormat1(const std::string& path) {
  auto database = SqliteDatabase::Open(path, {});
  ASSERT_OK(database);
  // With its checksum.
  ASSERT_OK(database->Exec("UPDATE meta SET value = 1, crc = 2161544046 WHERE key = 'format'"));
  const KilledJournal killed(path);
  database = absl::CancelledError("closed");
  killed.PutBack();
}

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_KILLED_JOURNAL_H_
