#include "agent/health/health_machine.h"

#include <vector>

#include "common/proto_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using State = HealthMachine::State;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class HealthMachineTest : public ::testing::Test {
 protected:
  HealthStep Do(HealthEvent event) {
    HealthStep step = Advance(policy_, machine_, event);
    machine_ = step.next;
    return step;
  }
  HealthStep Start() { return Do(HealthEvent::Started(now_)); }
  // Waits as it was told to, and probes.
  HealthStep Probe(int exit_code, const std::string& output = "",
                   absl::Duration takes = absl::ZeroDuration()) {
    now_ += delay_;
    EXPECT_TRUE(Do(HealthEvent::Timer(now_)).probe);
    now_ += takes;
    v1::ProbeResult result;
    result.set_exit_code(exit_code);
    result.set_output(output);
    HealthStep step = Do(HealthEvent::ProbeEnded(now_, result));
    EXPECT_TRUE(step.wait);
    delay_ = step.delay;
    return step;
  }
  void Begin() { delay_ = Start().delay; }

  HealthPolicy policy_;
  HealthMachine machine_;
  absl::Duration now_ = absl::Seconds(1000);
  absl::Duration delay_;
};

TEST_F(HealthMachineTest, ProbesFirstAfterOneIntervalAndThenOneIntervalAfterTheEndOfTheLast) {
  const HealthStep step = Start();
  EXPECT_TRUE(step.wait);
  EXPECT_TRUE(step.report);
  EXPECT_FALSE(step.probe);
  EXPECT_EQ(step.delay, absl::Seconds(30));
  EXPECT_EQ(machine_.state, State::kStarting);
  delay_ = step.delay;
  EXPECT_EQ(Probe(0, "", absl::Seconds(7)).delay, absl::Seconds(30));
}

TEST_F(HealthMachineTest, IsHealthyAfterTheFirstSuccess) {
  Begin();
  EXPECT_TRUE(Probe(0).report);
  EXPECT_EQ(machine_.state, State::kHealthy);
}

TEST_F(HealthMachineTest, TellsChangesAndFailuresButNotEverySuccess) {
  Begin();
  EXPECT_TRUE(Probe(0).report);
  EXPECT_FALSE(Probe(0).report);
  EXPECT_TRUE(Probe(1).report);
  EXPECT_TRUE(Probe(0).report) << "the streak has ended";
  EXPECT_FALSE(Probe(0).report);
}

TEST_F(HealthMachineTest, IsUnhealthyAfterSoManyFailuresInARow) {
  Begin();
  Probe(0);
  Probe(1);
  Probe(1);
  EXPECT_EQ(machine_.failing_streak, 2u);
  Probe(0);
  EXPECT_EQ(machine_.failing_streak, 0u);
  Probe(1);
  Probe(-1, "timed out");
  EXPECT_EQ(machine_.state, State::kHealthy);
  Probe(2, "refused");
  EXPECT_EQ(machine_.state, State::kUnhealthy);
  EXPECT_EQ(machine_.ToProto().failing_streak(), 3u);
  EXPECT_EQ(machine_.ToProto().state(), v1::Health::STATE_UNHEALTHY);
  EXPECT_EQ(machine_.ToProto().log(4).output(), "refused");
}

TEST_F(HealthMachineTest, IsUnhealthyWithoutEverHavingBeenHealthy) {
  policy_.retries = 2;
  Begin();
  Probe(1);
  EXPECT_EQ(machine_.state, State::kStarting);
  Probe(1);
  EXPECT_EQ(machine_.state, State::kUnhealthy);
}

TEST_F(HealthMachineTest, FailuresInTheStartPeriodDoNotCountAndProbesComeFaster) {
  policy_.start_period = absl::Seconds(12);
  policy_.retries = 1;
  Begin();
  EXPECT_EQ(delay_, absl::Seconds(5));
  EXPECT_TRUE(Probe(1, "not yet").report) << "with its output, though it does not count";
  EXPECT_EQ(machine_.failing_streak, 0u);
  EXPECT_EQ(machine_.state, State::kStarting);
  // Begins at 10 s and ends after the start period: still excused, as Docker has it.
  EXPECT_EQ(Probe(1, "", absl::Seconds(4)).delay, absl::Seconds(30));
  EXPECT_EQ(machine_.state, State::kStarting);
  Probe(1);
  EXPECT_EQ(machine_.state, State::kUnhealthy);
}

TEST_F(HealthMachineTest, TheFirstSuccessEndsTheStartPeriodsGrace) {
  policy_.start_period = absl::Minutes(10);
  policy_.retries = 2;
  Begin();
  Probe(1);
  EXPECT_EQ(Probe(0).delay, absl::Seconds(30)) << "no more need to hurry";
  Probe(1);
  EXPECT_EQ(machine_.failing_streak, 1u);
  Probe(1);
  EXPECT_EQ(machine_.state, State::kUnhealthy);
}

TEST_F(HealthMachineTest, ASuccessMakesAnUnhealthyOneHealthy) {
  policy_.retries = 1;
  Begin();
  Probe(1);
  ASSERT_EQ(machine_.state, State::kUnhealthy);
  EXPECT_TRUE(Probe(0).report);
  EXPECT_EQ(machine_.state, State::kHealthy);
}

TEST_F(HealthMachineTest, KeepsTheLastFiveResultsAnd4KiBOfEach) {
  Begin();
  for (int i = 1; i <= 7; ++i) Probe(i, std::string(1, static_cast<char>('0' + i)));
  const v1::Health health = machine_.ToProto();
  std::vector<std::string> outputs;
  for (const auto& result : health.log()) outputs.push_back(result.output());
  EXPECT_THAT(outputs, ElementsAre("3", "4", "5", "6", "7"));
  Probe(1, std::string(10000, 'x'));
  EXPECT_THAT(machine_.log.back().output(), SizeIs(4096));
  // A character of two bytes on the edge is left out whole.
  Probe(1, std::string(4095, 'x') + "\xc3\xa9");
  EXPECT_THAT(machine_.log.back().output(), SizeIs(4095));
}

TEST_F(HealthMachineTest, NeverHasTwoProbesOpen) {
  Begin();
  now_ += delay_;
  EXPECT_TRUE(Do(HealthEvent::Timer(now_)).probe);
  EXPECT_FALSE(Do(HealthEvent::Timer(now_)).probe);
  EXPECT_FALSE(Do(HealthEvent::Started(now_)).wait);
  EXPECT_TRUE(Do(HealthEvent::ProbeEnded(now_, {})).wait);
  const HealthStep late = Do(HealthEvent::ProbeEnded(now_, {}));
  EXPECT_FALSE(late.wait);
  EXPECT_FALSE(late.report);
}

TEST_F(HealthMachineTest, GoesOnWhereAnAgentBeforeItWas) {
  Begin();
  Probe(0);
  Probe(1, "a");
  Probe(1, "b");
  machine_ = HealthMachine::From(machine_.ToProto());
  policy_.start_period = absl::Minutes(1);
  Begin();
  EXPECT_EQ(delay_, absl::Seconds(30)) << "it is past its start";
  EXPECT_EQ(machine_.state, State::kHealthy);
  EXPECT_THAT(machine_.log, SizeIs(3));
  Probe(1, "c");
  EXPECT_EQ(machine_.state, State::kUnhealthy);
}

TEST(HealthPolicyTest, TakesWhatIsSetAndDockersDefaultsOtherwise) {
  v1::HealthCheck check;
  HealthPolicy policy = HealthPolicy::From(check);
  EXPECT_EQ(policy.interval, absl::Seconds(30));
  EXPECT_EQ(policy.timeout, absl::Seconds(30));
  EXPECT_EQ(policy.retries, 3u);
  EXPECT_EQ(policy.start_period, absl::ZeroDuration());
  EXPECT_EQ(policy.start_interval, absl::Seconds(5));
  *check.mutable_interval() = ToProto(absl::Seconds(2));
  *check.mutable_timeout() = ToProto(absl::ZeroDuration());
  check.set_retries(7);
  policy = HealthPolicy::From(check);
  EXPECT_EQ(policy.interval, absl::Seconds(2));
  EXPECT_EQ(policy.timeout, absl::Seconds(30));
  EXPECT_EQ(policy.retries, 7u);
}

}  // namespace
}  // namespace swarm::agent
