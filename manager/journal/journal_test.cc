// What every backend must do, and what only SQLite's can get wrong.
#include "manager/journal/journal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "common/file_system.h"
#include "common/random.h"
#include "common/sqlite.h"
#include "common/strings.h"
#include "common/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/killed_journal.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::KilledJournal;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

using Key = std::pair<JournalTable, std::string>;
using Records = std::map<Key, std::string>;

Mutation Put(JournalTable table, std::string key, std::string value) {
  return {table, std::move(key), std::move(value)};
}
Mutation Remove(JournalTable table, std::string key) {
  return {table, std::move(key), std::nullopt};
}

struct Loaded {
  uint64_t version = 0;
  Records records;
};

absl::StatusOr<Loaded> LoadAll(Journal& journal) {
  Loaded loaded;
  auto version = journal.Load([&](const Mutation& record) {
    EXPECT_TRUE(loaded.records.emplace(Key(record.table, record.key), record.value.value()).second);
    return absl::OkStatus();
  });
  if (!version.ok()) return version.status();
  loaded.version = *version;
  return loaded;
}

// Commits on the loop and runs it until the answer.
absl::Status CommitAndWait(Journal& journal, RunnableLoop& loop, Batch batch) {
  absl::Status result = absl::UnknownError("no answer");
  loop.Post([&] {
    journal.Commit(std::move(batch), 0, [&](absl::Status status) {
      EXPECT_TRUE(loop.InLoop());
      result = std::move(status);
      loop.Stop();
    });
  });
  loop.Run();
  return result;
}

// A folder that is gone at the end.
class Folder {
 public:
  Folder() {
    std::string name = ::testing::TempDir() + "journal_XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { EXPECT_OK(RemoveTree(path_)); }
  std::string file() const { return path_ + "/journal.db"; }

 private:
  std::string path_;
};

// ------------------------------------------------------------------------------- every backend

// Opens a backend, again and again, over the same content. A loop runs once, so each opening has
// its own.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<Journal> Open(EventLoop& loop) = 0;
  virtual void Close(std::unique_ptr<Journal> journal) = 0;
};

class SqliteBackend : public Backend {
 public:
  std::unique_ptr<Journal> Open(EventLoop& loop) override {
    auto journal = OpenSqliteJournal({folder_.file()}, loop);
    EXPECT_OK(journal);
    return *std::move(journal);
  }
  void Close(std::unique_ptr<Journal>) override {}

 private:
  Folder folder_;
};

class MemoryBackend : public Backend {
 public:
  std::unique_ptr<Journal> Open(EventLoop& loop) override {
    auto journal = std::make_unique<MemoryJournal>(loop);
    journal->SetContent(std::move(content_));
    return journal;
  }
  void Close(std::unique_ptr<Journal> journal) override {
    content_ = static_cast<MemoryJournal&>(*journal).TakeContent();
  }

 private:
  MemoryJournal::Content content_;
};

class JournalTest : public ::testing::TestWithParam<const char*> {
 protected:
  JournalTest() {
    if (std::string_view(GetParam()) == "sqlite") {
      backend_ = std::make_unique<SqliteBackend>();
    } else {
      backend_ = std::make_unique<MemoryBackend>();
    }
  }

  // Opens, loads, commits one batch, closes.
  absl::Status CommitOnce(Batch batch) {
    auto loop = MakeAsioLoop();
    auto journal = backend_->Open(*loop);
    EXPECT_OK(LoadAll(*journal));
    absl::Status status = CommitAndWait(*journal, *loop, std::move(batch));
    backend_->Close(std::move(journal));
    return status;
  }
  Loaded Reload() {
    auto loop = MakeAsioLoop();
    auto journal = backend_->Open(*loop);
    auto loaded = LoadAll(*journal);
    EXPECT_OK(loaded);
    backend_->Close(std::move(journal));
    return *std::move(loaded);
  }

  std::unique_ptr<Backend> backend_;
};

INSTANTIATE_TEST_SUITE_P(Backends, JournalTest, ::testing::Values("memory", "sqlite"),
                         [](const auto& info) { return info.param; });

TEST_P(JournalTest, ANewJournalIsEmptyAtVersionZero) {
  const Loaded loaded = Reload();
  EXPECT_EQ(loaded.version, 0u);
  EXPECT_THAT(loaded.records, IsEmpty());
}

TEST_P(JournalTest, WhatWasCommittedIsLoadedAgain) {
  const std::string binary("\0key\xff", 5);
  ASSERT_OK(CommitOnce({7,
                        {Put(JournalTable::kNode, "a", "one"), Put(JournalTable::kTask, "a", ""),
                         Put(JournalTable::kTask, binary, std::string(100'000, '\0'))}}));
  const Loaded loaded = Reload();
  EXPECT_EQ(loaded.version, 7u);
  EXPECT_THAT(loaded.records,
              ElementsAre(Pair(Key(JournalTable::kNode, "a"), "one"),
                          Pair(Key(JournalTable::kTask, binary), std::string(100'000, '\0')),
                          Pair(Key(JournalTable::kTask, "a"), "")));
}

TEST_P(JournalTest, TheLastMutationOfAKeyWins) {
  ASSERT_OK(CommitOnce({1,
                        {Put(JournalTable::kNode, "a", "1"), Put(JournalTable::kNode, "b", "1"),
                         Put(JournalTable::kNode, "c", "1")}}));
  ASSERT_OK(CommitOnce({2,
                        {Put(JournalTable::kNode, "a", "2"), Remove(JournalTable::kNode, "b"),
                         Remove(JournalTable::kNode, "c"), Put(JournalTable::kNode, "c", "2"),
                         Put(JournalTable::kNode, "d", "2"), Remove(JournalTable::kNode, "d"),
                         Remove(JournalTable::kNode, "never there")}}));
  EXPECT_THAT(Reload().records, ElementsAre(Pair(Key(JournalTable::kNode, "a"), "2"),
                                            Pair(Key(JournalTable::kNode, "c"), "2")));
}

TEST_P(JournalTest, CallsBackInCommitOrderAndNeverFromInsideCommit) {
  auto loop = MakeAsioLoop();
  auto journal = backend_->Open(*loop);
  ASSERT_OK(LoadAll(*journal));
  uint64_t answered = 0;
  loop->Post([&] {
    for (uint64_t version = 1; version <= 500; ++version) {
      journal->Commit({version, {Put(JournalTable::kMeta, StrCat(version % 7), StrCat(version))}},
                      0, [&, version](absl::Status status) {
                        EXPECT_OK(status);
                        EXPECT_EQ(version, answered + 1);
                        answered = version;
                        if (version == 500) loop->Stop();
                      });
      EXPECT_EQ(answered, 0u);
    }
  });
  loop->Run();
  EXPECT_EQ(answered, 500u);
  backend_->Close(std::move(journal));
  const Loaded loaded = Reload();
  EXPECT_EQ(loaded.version, 500u);
  EXPECT_EQ(loaded.records.size(), 7u);
  EXPECT_EQ(loaded.records.at(Key(JournalTable::kMeta, "3")), "500");
}

TEST_P(JournalTest, ABatchAboveTheQueueLimitIsRefusedAloneAndTheNextIsWritten) {
  auto loop = MakeAsioLoop();
  auto journal = backend_->Open(*loop);
  ASSERT_OK(LoadAll(*journal));
  std::vector<absl::StatusCode> answers;
  loop->Post([&] {
    journal->Commit(
        {1, {Put(JournalTable::kNode, "big", std::string(Journal::kMaxQueuedBytes + 1, 'x'))}}, 0,
        [&](absl::Status status) { answers.push_back(status.code()); });
    journal->Commit({2, {Put(JournalTable::kNode, "small", "x")}}, 0, [&](absl::Status status) {
      answers.push_back(status.code());
      loop->Stop();
    });
  });
  loop->Run();
  backend_->Close(std::move(journal));
  EXPECT_THAT(answers, ElementsAre(absl::StatusCode::kResourceExhausted, absl::StatusCode::kOk));
  EXPECT_THAT(Reload().records, ElementsAre(Pair(Key(JournalTable::kNode, "small"), "x")));
}

TEST_P(JournalTest, AnErrorOfTheReaderEndsLoad) {
  ASSERT_OK(CommitOnce({1, {Put(JournalTable::kNode, "a", "1")}}));
  auto loop = MakeAsioLoop();
  auto journal = backend_->Open(*loop);
  EXPECT_THAT(journal->Load([](const Mutation&) { return absl::DataLossError("mine"); }),
              StatusIs(absl::StatusCode::kDataLoss, "mine"));
}

// -------------------------------------------------------------------------------------- memory

TEST(MemoryJournalTest, FailsWhenTold) {
  auto loop = MakeAsioLoop();
  MemoryJournal journal(*loop);
  journal.FailWith(absl::InternalError("disk on fire"));
  EXPECT_THAT(CommitAndWait(journal, *loop, {1, {Put(JournalTable::kNode, "a", "1")}}),
              StatusIs(absl::StatusCode::kInternal, "disk on fire"));
  EXPECT_EQ(journal.TakeContent().records.size(), 0u);
}

// -------------------------------------------------------------------------------------- SQLite

class SqliteJournalTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Journal>> Open(EventLoop& loop) {
    return OpenSqliteJournal({path_}, loop);
  }
  absl::StatusOr<Loaded> Reload() {
    auto loop = MakeAsioLoop();
    auto journal = Open(*loop);
    if (!journal.ok()) return journal.status();
    return LoadAll(**journal);
  }
  void CommitOnce(Batch batch) {
    auto loop = MakeAsioLoop();
    auto journal = Open(*loop);
    ASSERT_OK(journal);
    ASSERT_OK(LoadAll(**journal));
    ASSERT_OK(CommitAndWait(**journal, *loop, std::move(batch)));
  }
  std::string Read(const std::string& path) {
    auto content = ReadFile(path);
    EXPECT_OK(content);
    return content.ok() ? *content : "";
  }

  Folder folder_;
  std::string path_ = folder_.file();
};

TEST_F(SqliteJournalTest, ASecondOpenerIsRefusedUntilTheFirstIsGone) {
  CommitOnce({1, {Put(JournalTable::kNode, "a", "1")}});
  auto loop = MakeAsioLoop();
  auto first = Open(*loop);
  ASSERT_OK(first);
  EXPECT_THAT(Open(*loop),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another manager")));
  ASSERT_OK(LoadAll(**first));
  first->reset();
  EXPECT_OK(Reload());
}

TEST_F(SqliteJournalTest, AnotherProcessIsRefusedToo) {
  CommitOnce({1, {Put(JournalTable::kNode, "a", "1")}});
  int ready[2], hold[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(hold, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(hold[1]);
    auto loop = MakeAsioLoop();
    auto journal = Open(*loop);
    char byte = journal.ok() ? 'y' : 'n';
    (void)!::write(ready[1], &byte, 1);
    (void)!::read(hold[0], &byte, 1);  // until the parent's end closes
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  auto loop = MakeAsioLoop();
  EXPECT_THAT(Open(*loop), StatusIs(absl::StatusCode::kFailedPrecondition));
  for (const int fd : {hold[1], hold[0], ready[0], ready[1]}) ::close(fd);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_OK(Open(*loop));
}

TEST_F(SqliteJournalTest, ANewerFormatIsRefusedAndLeftAlone) {
  CommitOnce({1, {Put(JournalTable::kNode, "a", "1")}});
  {
    auto database = SqliteDatabase::Open(path_, {});
    ASSERT_OK(database);
    // 3 with its own checksum, as the next format's program would write it.
    ASSERT_OK(database->Exec("UPDATE meta SET value = 3, crc = 3270741011 WHERE key = 'format'"));
  }
  const std::string before = Read(path_);
  const absl::Status status = Reload().status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("format 3")));
  EXPECT_EQ(Read(path_), before);
}

// S10. Larger than what of a record is in its own page.
std::string Canary() { return std::string(1'500, 'x') + "canary" + std::string(5'000, 'y'); }

TEST_F(SqliteJournalTest, TheFirstCommitOverFormat1LeavesNothingOfWhatItReplaced) {
  const auto format = [this] {
    auto database = SqliteDatabase::Open(path_, {});
    EXPECT_OK(database);
    return *database->QueryInt64("SELECT value FROM meta WHERE key = 'format'");
  };
  auto loop = MakeAsioLoop();
  auto old = Open(*loop);
  ASSERT_OK(old);
  ASSERT_OK(LoadAll(**old));
  ASSERT_OK(CommitAndWait(**old, *loop, {1, {Put(JournalTable::kCluster, "c", Canary())}}));
  const KilledJournal killed(path_);
  old->reset();
  killed.PutBack();
  ::swarm::testing::MakeJournalOfFormat1(path_);
  ASSERT_THAT(Read(path_ + "-wal"), HasSubstr("canary"));
  const auto read = Reload();
  ASSERT_OK(read);
  EXPECT_THAT(read->records, ElementsAre(Pair(Key(JournalTable::kCluster, "c"), Canary())));
  EXPECT_EQ(format(), 1) << "until it is changed";

  loop = MakeAsioLoop();
  auto journal = Open(*loop);
  ASSERT_OK(journal);
  ASSERT_OK(LoadAll(**journal));
  ASSERT_THAT(Read(path_), HasSubstr("canary"));
  ASSERT_OK(CommitAndWait(**journal, *loop, {2, {Put(JournalTable::kCluster, "c", "sealed")}}));
  EXPECT_THAT(Read(path_), Not(HasSubstr("canary")));
  EXPECT_THAT(Read(path_ + "-wal"), Not(HasSubstr("canary")));
  journal->reset();
  EXPECT_EQ(format(), 2);
  EXPECT_THAT(Reload()->records, ElementsAre(Pair(Key(JournalTable::kCluster, "c"), "sealed")));
}

TEST_F(SqliteJournalTest, AStartCutsTheLogOfOneThatWasKilled) {
  auto loop = MakeAsioLoop();
  auto first = Open(*loop);
  ASSERT_OK(first);
  ASSERT_OK(LoadAll(**first));
  ASSERT_OK(CommitAndWait(**first, *loop, {1, {Put(JournalTable::kCluster, "c", Canary())}}));
  first->reset();
  loop = MakeAsioLoop();
  auto second = Open(*loop);
  ASSERT_OK(second);
  ASSERT_OK(LoadAll(**second));
  ASSERT_OK(CommitAndWait(**second, *loop, {2, {Put(JournalTable::kCluster, "c", "sealed")}}));
  const KilledJournal killed(path_);
  second->reset();
  killed.PutBack();
  ASSERT_THAT(Read(path_), HasSubstr("canary"));

  loop = MakeAsioLoop();
  auto third = Open(*loop);
  ASSERT_OK(third);
  ASSERT_OK(LoadAll(**third));
  EXPECT_THAT(Read(path_), Not(HasSubstr("canary")));
  EXPECT_EQ(Read(path_ + "-wal"), "");
}

TEST_F(SqliteJournalTest, AFlippedByteInARecordIsRefusedWithTheRepair) {
  CommitOnce({1, {Put(JournalTable::kNode, "a", "a value that can be found")}});
  std::string content = Read(path_);
  const size_t at = content.find("value that can");
  ASSERT_NE(at, std::string::npos);
  content[at] ^= 0x10;
  ASSERT_OK(WriteFileAtomically(path_, content, 0600));
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kDataLoss,
                                 ::testing::AllOf(HasSubstr(path_), HasSubstr("checksum"),
                                                  HasSubstr(".recover"))));
}

// F5: whatever single bit flips, the answer is either all of it or a refusal.
TEST_F(SqliteJournalTest, NoFlippedBitAnywhereIsBelieved) {
  auto random = MakeSeededRandom(5);
  Batch batch{9, {}};
  for (int i = 0; i < 300; ++i) {
    batch.mutations.push_back(Put(JournalTable::kTask, random->Bytes(16), random->Bytes(100)));
  }
  CommitOnce(std::move(batch));
  const std::string good = Read(path_);
  const auto expected = Reload();
  ASSERT_OK(expected);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string content = good;
    // Half of them in the first page, where the file describes itself.
    const size_t at = random->Below(i % 2 == 0 ? 4096 : content.size());
    content[at] ^= static_cast<char>(1 << random->Below(8));
    ::unlink(StrCat(path_, "-wal").c_str());
    ASSERT_OK(WriteFileAtomically(path_, content, 0600));
    const auto loaded = Reload();
    if (loaded.ok()) {
      EXPECT_EQ(loaded->records, expected->records) << "byte " << at;
      EXPECT_EQ(loaded->version, expected->version) << "byte " << at;
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

// Leaves database, log and tip of a process that was killed after `commits` commits of one record.
void CommitAndDie(const std::string& path, uint64_t commits, int acknowledged) {
  auto loop = MakeAsioLoop();
  auto journal = OpenSqliteJournal({path}, *loop);
  if (!journal.ok() || !(*journal)->Load([](const Mutation&) { return absl::OkStatus(); }).ok()) {
    ::_exit(1);
  }
  uint64_t sent = 0;
  // Two in flight, so that the next is being written while one is acknowledged.
  std::function<void()> send = [&] {
    const uint64_t version = ++sent;
    (*journal)->Commit({version,
                        {Put(JournalTable::kTask, StrCat("key", version), StrCat(version)),
                         Put(JournalTable::kMeta, "last", StrCat(version))}},
                       0, [&, version](absl::Status status) {
                         if (!status.ok()) ::_exit(2);
                         (void)!::write(acknowledged, &version, sizeof(version));
                         if (version == commits) ::kill(::getpid(), SIGKILL);
                         send();
                       });
  };
  loop->Post([&] {
    send();
    send();
  });
  loop->Run();
}

// The last acknowledged version of a child that died in CommitAndDie.
uint64_t RunAndKill(const std::string& path, uint64_t commits) {
  int acknowledged[2];
  EXPECT_EQ(::pipe2(acknowledged, O_CLOEXEC), 0);
  const UniqueFd out(acknowledged[0]);
  UniqueFd in(acknowledged[1]);
  const pid_t child = ::fork();
  if (child == 0) CommitAndDie(path, commits, in.get());
  in.Reset();
  uint64_t last = 0, version = 0;
  while (::read(out.get(), &version, sizeof(version)) == sizeof(version)) last = version;
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << status;
  return last;
}

// F1.
TEST_F(SqliteJournalTest, KilledAtAnyCommitNothingAcknowledgedIsLost) {
  for (const uint64_t commits : {1, 2, 40, 150}) {
    ::unlink(path_.c_str());
    ::unlink((path_ + "-wal").c_str());
    ::unlink((path_ + "-tip").c_str());
    const uint64_t last = RunAndKill(path_, commits);
    EXPECT_EQ(last, commits);
    const auto loaded = Reload();
    ASSERT_OK(loaded);
    EXPECT_GE(loaded->version, last);
    // Each batch whole, and none after the last.
    EXPECT_EQ(loaded->records.size(), loaded->version + 1);
    EXPECT_EQ(loaded->records.at(Key(JournalTable::kMeta, "last")), StrCat(loaded->version));
    for (uint64_t v = 1; v <= loaded->version; ++v) {
      EXPECT_TRUE(loaded->records.contains(Key(JournalTable::kTask, StrCat("key", v)))) << v;
    }
  }
}

// F5: a power loss in the middle of the next commit leaves a part of it behind the acknowledged
// ones.
TEST_F(SqliteJournalTest, ATornTailThatNobodyWasToldOfIsCut) {
  const uint64_t last = RunAndKill(path_, 20);
  const std::string log = path_ + "-wal";
  std::string content = Read(log);
  ASSERT_GT(content.size(), 5000u);
  // A log may hold older bytes behind its end; what is cut here is a frame that was never finished.
  content += content.substr(32, 3000);
  ASSERT_OK(WriteFileAtomically(log, content, 0600));
  const auto loaded = Reload();
  ASSERT_OK(loaded);
  EXPECT_GE(loaded->version, last);
}

// SQLite alone would take the damage for the log's end and forget what follows.
TEST_F(SqliteJournalTest, AFlippedByteInTheLogThatHidesAcknowledgedCommitsIsRefused) {
  RunAndKill(path_, 20);
  const std::string log = path_ + "-wal";
  std::string content = Read(log);
  content[content.size() / 2] ^= 1;
  ASSERT_OK(WriteFileAtomically(log, content, 0600));
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("acknowledged")));
  // The operator may accept the loss.
  ::unlink((path_ + "-tip").c_str());
  EXPECT_OK(Reload());
}

TEST_F(SqliteJournalTest, AnEmptiedFileIsRefusedNotBegunAnew) {
  CommitOnce({1, {Put(JournalTable::kNode, "a", "1")}});
  ASSERT_EQ(::truncate(path_.c_str(), 0), 0);
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SqliteJournalTest, WhatIsNoJournalIsRefused) {
  ASSERT_OK(WriteFileAtomically(path_, std::string(10'000, 'x'), 0600));
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
}

TEST_F(SqliteJournalTest, AfterOneFailureEveryLaterCommitFails) {
  auto loop = MakeAsioLoop();
  auto journal = Open(*loop);
  ASSERT_OK(journal);
  ASSERT_OK(LoadAll(**journal));
  std::vector<absl::StatusCode> answers;
  loop->Post([&] {
    (*journal)->Commit(
        {1, {Put(JournalTable::kNode, std::string(513, 'k'), "x")}}, 0, [&](absl::Status status) {
          answers.push_back(status.code());
          (*journal)->Commit({2, {Put(JournalTable::kNode, "k", "x")}}, 0, [&](absl::Status later) {
            answers.push_back(later.code());
            loop->Stop();
          });
        });
  });
  loop->Run();
  EXPECT_THAT(answers,
              ElementsAre(absl::StatusCode::kInvalidArgument, absl::StatusCode::kInvalidArgument));
  journal->reset();
  EXPECT_EQ(Reload()->version, 0u);
}

TEST_F(SqliteJournalTest, DestroyingItWritesWhatIsQueuedAndCallsNobody) {
  auto loop = MakeAsioLoop();
  auto journal = Open(*loop);
  ASSERT_OK(journal);
  ASSERT_OK(LoadAll(**journal));
  loop->Post([&] {
    for (uint64_t v = 1; v <= 50; ++v) {
      (*journal)->Commit({v, {Put(JournalTable::kNode, StrCat(v), "x")}}, 0, [](absl::Status) {});
    }
    journal->reset();
    loop->Stop();
  });
  loop->Run();
  EXPECT_EQ(Reload()->version, 50u);
}

TEST_F(SqliteJournalTest, ItsFilesAreReadableByTheOwnerAlone) {
  const uint64_t last = RunAndKill(path_, 3);
  EXPECT_EQ(last, 3u);
  for (const char* suffix : {"", "-wal", "-tip"}) {
    struct stat info = {};
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

// Not an assertion about speed: it says how fast the machine is, and checks that a large batch is
// whole.
TEST_F(SqliteJournalTest, AHundredThousandTasksCommitAsOneBatch) {
  constexpr int kTasks = 100'000;
  auto random = MakeSeededRandom(3);
  Batch batch{1, {}};
  for (int i = 0; i < kTasks; ++i) {
    batch.mutations.push_back(Put(JournalTable::kTask, random->Bytes(16), random->Bytes(110)));
  }
  absl::Time start = absl::Now();
  CommitOnce(std::move(batch));
  const absl::Duration commit = absl::Now() - start;
  start = absl::Now();
  const auto loaded = Reload();
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->records.size(), size_t{kTasks});
  std::printf("commit of %d task rows: %s; load: %s\n", kTasks,
              absl::FormatDuration(commit).c_str(),
              absl::FormatDuration(absl::Now() - start).c_str());
}

}  // namespace
}  // namespace swarm::manager
