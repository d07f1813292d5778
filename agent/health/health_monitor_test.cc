#include "agent/health/health_monitor.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/proto_time.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_prober.h"
#include "tests/support/sim_loop.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::FakeProber;
using ::swarm::testing::SimLoop;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class HealthMonitorTest : public ::testing::Test {
 protected:
  HealthMonitorTest() {
    v1::HealthCheck check;
    check.add_test("TCP");
    check.add_test(":80");
    *check.mutable_interval() = ToProto(absl::Seconds(10));
    *check.mutable_timeout() = ToProto(absl::Seconds(3));
    check.set_retries(2);
    check_ = std::make_shared<const v1::HealthCheck>(check);
  }
  void Watch(const std::string& id, v1::Health::State state = v1::Health::STATE_STARTING) {
    v1::Health recorded;
    recorded.set_state(state);
    monitor_.Watch(id, check_, recorded);
  }
  std::vector<std::string> TakeSaid() { return std::exchange(said_, {}); }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(3);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  FakeProber prober_{loop_};
  std::shared_ptr<const v1::HealthCheck> check_;
  std::vector<std::string> said_;
  HealthMonitor monitor_{
      env_,
      prober_,
      {[this](const std::string& id, const v1::Health& health) {
         said_.push_back(absl::StrCat(id, " ", v1::Health::State_Name(health.state()), " ",
                                      health.failing_streak()));
       },
       [this](const std::string& id) { said_.push_back(id + " is healthy"); },
       [this](const std::string& id, const std::string& reason) {
         said_.push_back(absl::StrCat(id, " is ", reason));
         monitor_.Forget(id);
       }}};
};

TEST_F(HealthMonitorTest, ProbesEveryIntervalAndTellsChanges) {
  Watch("a");
  EXPECT_THAT(TakeSaid(), ElementsAre("a STATE_STARTING 0"));
  loop_.Advance(absl::Seconds(9));
  EXPECT_THAT(prober_.calls(), IsEmpty());
  loop_.Advance(absl::Seconds(2));
  EXPECT_THAT(TakeSaid(), ElementsAre("a STATE_HEALTHY 0", "a is healthy"));
  loop_.Advance(absl::Seconds(50));
  EXPECT_EQ(prober_.calls().size(), 6u);
  EXPECT_THAT(TakeSaid(), IsEmpty());
}

TEST_F(HealthMonitorTest, SaysWhyAndForgetsInsideOfTheCallback) {
  Watch("a");
  prober_.results["a"] = {1, " refused\nhere \n"};
  loop_.Advance(absl::Seconds(15));
  EXPECT_THAT(TakeSaid(), ElementsAre("a STATE_STARTING 0", "a STATE_STARTING 1"));
  loop_.Advance(absl::Seconds(15));
  EXPECT_THAT(TakeSaid(), ElementsAre("a STATE_UNHEALTHY 2", "a is unhealthy: refused here"));
  EXPECT_EQ(monitor_.watched(), 0u);
  const size_t made = prober_.calls().size();
  loop_.Advance(absl::Minutes(5));
  EXPECT_EQ(prober_.calls().size(), made);
}

TEST_F(HealthMonitorTest, OneSlowTaskDoesNotOverlapItselfNorHoldOthersBack) {
  Watch("a");
  Watch("b");
  prober_.times["a"] = absl::Minutes(1);
  loop_.Advance(absl::Seconds(65));
  EXPECT_EQ(prober_.Count("a"), 1u);
  EXPECT_GE(prober_.Count("b"), 6u);
  EXPECT_EQ(prober_.most_open_per_task(), 1u);
}

TEST_F(HealthMonitorTest, ForgettingInterruptsTheProbeAndSilencesIt) {
  Watch("a");
  prober_.times["a"] = absl::Minutes(1);
  loop_.Advance(absl::Seconds(11));
  TakeSaid();
  monitor_.Forget("a");
  EXPECT_THAT(prober_.interrupted(), ElementsAre("a"));
  loop_.Advance(absl::Minutes(2));
  EXPECT_THAT(TakeSaid(), IsEmpty());
}

TEST_F(HealthMonitorTest, WhatWasHealthyStaysSoUntilProvenOtherwise) {
  Watch("a", v1::Health::STATE_HEALTHY);
  EXPECT_THAT(TakeSaid(), ElementsAre("a STATE_HEALTHY 0"));
  loop_.Advance(absl::Seconds(11));
  EXPECT_THAT(TakeSaid(), IsEmpty());
  prober_.results["a"] = {7, ""};
  loop_.Advance(absl::Seconds(21));
  EXPECT_THAT(TakeSaid(), ElementsAre("a STATE_HEALTHY 1", "a STATE_UNHEALTHY 2",
                                      "a is unhealthy: exit code 7"));
}

}  // namespace
}  // namespace swarm::agent
