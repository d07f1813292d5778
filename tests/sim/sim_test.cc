// Seeds through the whole manager; README.md says what is checked. One seed again:
//   SWARM_SIM_SEED=17 tests/sim_test --gtest_filter=SimTest.RepeatsTheSeedOfTheEnvironment
#include "tests/sim/sim_cluster.h"

#include <cstdlib>
#include <string>

#include "common/log.h"
#include "gtest/gtest.h"

namespace swarm::testing {
namespace {

SimResult RunSeed(uint64_t seed) {
  InitLog("sim", std::getenv("SWARM_SIM_LOG") != nullptr ? LogLevel::kInfo : LogLevel::kOff);
  return SimCluster(seed).Run();
}

void RunSeeds(uint64_t first, uint64_t last) {
  for (uint64_t seed = first; seed <= last; ++seed) {
    const SimResult result = RunSeed(seed);
    ASSERT_EQ(result.failure, "")
        << "seed " << seed << "; again: SWARM_SIM_SEED=" << seed
        << " tests/sim_test --gtest_filter=SimTest.RepeatsTheSeedOfTheEnvironment";
  }
}

TEST(SimTest, HoldsItsInvariantsAndConvergesUnderSeeds1To50) { RunSeeds(1, 50); }
TEST(SimTest, HoldsItsInvariantsAndConvergesUnderSeeds51To100) { RunSeeds(51, 100); }
TEST(SimTest, HoldsItsInvariantsAndConvergesUnderSeeds101To150) { RunSeeds(101, 150); }
TEST(SimTest, HoldsItsInvariantsAndConvergesUnderSeeds151To200) { RunSeeds(151, 200); }

TEST(SimTest, DoesTheSameAgainUnderTheSameSeed) {
  for (uint64_t seed : {3, 77}) {
    const SimResult first = RunSeed(seed);
    const SimResult second = RunSeed(seed);
    EXPECT_EQ(first.trace, second.trace) << "I10: seed " << seed;
    EXPECT_EQ(first.changes, second.changes);
    EXPECT_GT(first.changes, 100u);
  }
}

TEST(SimTest, RepeatsTheSeedOfTheEnvironment) {
  const char* seed = std::getenv("SWARM_SIM_SEED");
  if (seed == nullptr) GTEST_SKIP() << "SWARM_SIM_SEED is not set";
  const char* last = std::getenv("SWARM_SIM_LAST_SEED");
  RunSeeds(std::stoull(seed), std::stoull(last != nullptr ? last : seed));
}

}  // namespace
}  // namespace swarm::testing
