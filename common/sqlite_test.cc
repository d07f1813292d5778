#include "common/sqlite.h"

#include <string>

#include "common/file_system.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;

class SqliteTest : public ::testing::Test {
 protected:
  SqliteTest() {
    std::string name = ::testing::TempDir() + "sqlite_XXXXXX";
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ + "/test.db";
  }
  ~SqliteTest() override { EXPECT_OK(RemoveTree(folder_)); }
  SqliteDatabase Open() {
    auto database = SqliteDatabase::Open(path_, {});
    EXPECT_OK(database);
    return *std::move(database);
  }

  std::string folder_, path_;
};

TEST_F(SqliteTest, BlobsTextAndNumbersComeBack) {
  SqliteDatabase database = Open();
  ASSERT_OK(database.Exec("CREATE TABLE t (a INTEGER, b TEXT, c BLOB)"));
  auto put = database.Prepare("INSERT INTO t VALUES (?1, ?2, ?3)");
  ASSERT_OK(put);
  const std::string blob("a\0b", 3);
  put->BindInt64(1, -5);
  put->BindText(2, "text");
  put->BindBlob(3, blob);
  ASSERT_OK(put->Run());
  put->BindNull(1);
  put->BindText(2, "");
  put->BindBlob(3, "");
  ASSERT_OK(put->Run());
  auto get = database.Prepare("SELECT a, b, c FROM t ORDER BY rowid");
  ASSERT_OK(get);
  ASSERT_THAT(get->Step(), IsOkAndHolds(true));
  EXPECT_EQ(get->ColumnInt64(0), -5);
  EXPECT_EQ(get->ColumnText(1), "text");
  EXPECT_EQ(get->ColumnBlob(2), blob);
  ASSERT_THAT(get->Step(), IsOkAndHolds(true));
  EXPECT_TRUE(get->ColumnIsNull(0));
  EXPECT_FALSE(get->ColumnIsNull(1));
  EXPECT_EQ(get->ColumnBlob(2), "");
  EXPECT_THAT(get->Step(), IsOkAndHolds(false));
}

TEST_F(SqliteTest, AFailedTransactionLeavesNothing) {
  SqliteDatabase database = Open();
  ASSERT_OK(database.Exec("CREATE TABLE t (a INTEGER PRIMARY KEY)"));
  EXPECT_THAT(database.Transaction([&]() -> absl::Status {
    EXPECT_OK(database.Exec("INSERT INTO t VALUES (1)"));
    return absl::AbortedError("changed my mind");
  }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(database.QueryInt64("SELECT count(*) FROM t"), IsOkAndHolds(0));
  EXPECT_OK(database.Transaction([&] { return database.Exec("INSERT INTO t VALUES (1)"); }));
  EXPECT_THAT(database.Exec("INSERT INTO t VALUES (1)"),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(database.QueryInt64("SELECT a FROM t WHERE a = 9"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SqliteTest, ABindThatIsWrongIsToldByStep) {
  SqliteDatabase database = Open();
  auto statement = database.Prepare("SELECT ?1");
  ASSERT_OK(statement);
  statement->BindInt64(2, 1);
  EXPECT_THAT(statement->Run(), StatusIs(absl::StatusCode::kInvalidArgument));
  statement->BindInt64(1, 1);
  EXPECT_OK(statement->Run());
}

TEST_F(SqliteTest, AnExclusiveFileHasOneOpener) {
  SqliteDatabase::Options exclusive;
  exclusive.exclusive = true;
  {
    auto first = SqliteDatabase::Open(path_, exclusive);
    ASSERT_OK(first);
    EXPECT_THAT(SqliteDatabase::Open(path_, exclusive),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_OK(SqliteDatabase::Open(path_, exclusive));
}

TEST_F(SqliteTest, WhatIsNoDatabaseIsDataLoss) {
  ASSERT_OK(WriteFileAtomically(path_, std::string(8192, 'x'), 0600));
  EXPECT_THAT(SqliteDatabase::Open(path_, {}), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SqliteTest, AMissingFileIsMadeOnlyWhenAsked) {
  SqliteDatabase::Options existing;
  existing.create = false;
  EXPECT_THAT(SqliteDatabase::Open(path_, existing), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(SqliteDatabase::Open(folder_ + "/no/x.db", {}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace swarm
