#include "common/ids.h"

#include "common/random.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(IdTest, TextAndBytesComeBackAsTheSameId) {
  auto random = MakeSeededRandom(1);
  for (int i = 0; i < 1000; ++i) {
    const Id id = Id::Make(*random);
    EXPECT_EQ(id.ToString().size(), 25u);
    EXPECT_THAT(Id::Parse(id.ToString()), IsOkAndHolds(id));
    EXPECT_EQ(Id::FromBytes(id.ToBytes()), id);
  }
}

TEST(IdTest, TheLargestIdParsesAndOneMoreDoesNot) {
  const Id largest{UINT64_MAX, UINT64_MAX};
  EXPECT_EQ(largest.ToString(), "f5lxx1zz5pnorynqglhzmsp33");
  EXPECT_THAT(Id::Parse("f5lxx1zz5pnorynqglhzmsp33"), IsOkAndHolds(largest));
  EXPECT_THAT(Id::Parse("f5lxx1zz5pnorynqglhzmsp34"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2^128")));
  EXPECT_THAT(Id::Parse("zzzzzzzzzzzzzzzzzzzzzzzzz"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(IdTest, RefusesOtherLengthsAndCharacters) {
  EXPECT_THAT(Id::Parse(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("25")));
  EXPECT_THAT(Id::Parse("0000000000000000000000001 "),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Id::Parse("F5lxx1zz5pnorynqglhzmsp33"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a-z")));
}

TEST(IdTest, TheZeroIdIsNoneAndPrintsNothing) {
  EXPECT_EQ(Id().ToString(), "");
  EXPECT_TRUE(Id::ParseOrZero("").IsZero());
  EXPECT_TRUE(Id::ParseOrZero("nonsense").IsZero());
  EXPECT_TRUE(Id::FromBytes("short").IsZero());
  EXPECT_FALSE(Id::Parse("0000000000000000000000000").ok());
}

TEST(IdTest, TextSortsAsTheIdsDo) {
  auto random = MakeSeededRandom(2);
  for (int i = 0; i < 1000; ++i) {
    const Id a = Id::Make(*random), b = Id::Make(*random);
    EXPECT_EQ(a < b, a.ToString() < b.ToString());
    EXPECT_EQ(a < b, a.ToBytes() < b.ToBytes());
  }
}

}  // namespace
}  // namespace swarm
