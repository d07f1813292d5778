#include "common/random.h"

#include <array>

#include "gtest/gtest.h"

namespace swarm {
namespace {

TEST(RandomTest, SameSeedGivesTheSameSequenceOnEveryMachine) {
  auto random = MakeSeededRandom(42);
  EXPECT_EQ(random->Next(), 1546998764402558742u);
  EXPECT_EQ(random->Next(), 6990951692964543102u);
  EXPECT_EQ(MakeSeededRandom(7)->Bytes(20), MakeSeededRandom(7)->Bytes(20));
  EXPECT_NE(MakeSeededRandom(7)->Next(), MakeSeededRandom(8)->Next());
}

TEST(RandomTest, BelowStaysBelowAndIsEven) {
  auto random = MakeSeededRandom(1);
  std::array<int, 6> seen = {};
  for (int i = 0; i < 60'000; ++i) ++seen.at(random->Below(6));
  for (const int count : seen) EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(random->Below(1), 0u);
}

TEST(RandomTest, SystemBytesHaveTheLengthAndDiffer) {
  auto random = MakeSystemRandom();
  EXPECT_EQ(random->Bytes(13).size(), 13u);
  EXPECT_NE(random->Bytes(16), random->Bytes(16));
  for (int i = 0; i < 100; ++i) {
    const double fraction = random->Fraction();
    EXPECT_GE(fraction, 0.0);
    EXPECT_LT(fraction, 1.0);
  }
}

}  // namespace
}  // namespace swarm
