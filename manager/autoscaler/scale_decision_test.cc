#include "manager/autoscaler/scale_decision.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;

// 2 to 20 replicas at 70 % of a limit of one core.
v1::ServiceSpec Spec() {
  v1::ServiceSpec spec;
  spec.mutable_replicated();
  spec.mutable_autoscale()->set_min(2);
  spec.mutable_autoscale()->set_max(20);
  spec.mutable_autoscale()->set_cpu_percent(70);
  spec.mutable_task()->mutable_resources()->mutable_limits()->set_nano_cpus(1'000'000'000);
  return spec;
}

ScaleInput Input(uint64_t replicas, double cores, size_t reported,
                 absl::Duration since = absl::Hours(1)) {
  ScaleInput input;
  input.replicas = input.running = replicas;
  input.since_change = since;
  for (size_t i = 0; i < reported; ++i) input.usage.push_back({cores * 1e9, 0, {}});
  return input;
}

TEST(ScaleDecisionTest, ReplicasFollowTheShareThatIsUsed) {
  const ScaleDecision decision = DecideScale(Spec(), Input(4, 1.0, 4));
  EXPECT_EQ(decision.replicas, 6u);  // 4 x 100 / 70
  EXPECT_THAT(decision.reason, HasSubstr("cpu 100% of the limit (70% wanted)"));
}

TEST(ScaleDecisionTest, WithinATenthNothingChanges) {
  EXPECT_EQ(DecideScale(Spec(), Input(4, 0.76, 4)).replicas, 4u);
  EXPECT_EQ(DecideScale(Spec(), Input(4, 0.64, 4)).replicas, 4u);
}

TEST(ScaleDecisionTest, GoesDownOnlyAfterTheCooldown) {
  const ScaleDecision held = DecideScale(Spec(), Input(10, 0.2, 10, absl::Minutes(2)));
  EXPECT_EQ(held.replicas, 10u);
  EXPECT_EQ(held.held, "3 replicas in 3m");
  EXPECT_EQ(DecideScale(Spec(), Input(10, 0.2, 10, absl::Minutes(5))).replicas, 3u);
}

TEST(ScaleDecisionTest, GoesUpAtOnceButNotMoreThanTwofoldOrFourMore) {
  EXPECT_EQ(DecideScale(Spec(), Input(2, 10.0, 2, absl::ZeroDuration())).replicas, 6u);
  EXPECT_EQ(DecideScale(Spec(), Input(8, 10.0, 8, absl::ZeroDuration())).replicas, 16u);
}

TEST(ScaleDecisionTest, StaysWithinItsBounds) {
  EXPECT_EQ(DecideScale(Spec(), Input(15, 10.0, 15)).replicas, 20u);
  EXPECT_EQ(DecideScale(Spec(), Input(4, 0.0, 4)).replicas, 2u);
  EXPECT_EQ(DecideScale(Spec(), Input(30, 0.7, 30, absl::ZeroDuration())).replicas, 20u);
}

TEST(ScaleDecisionTest, ATaskThatHasNotReportedMovesNothing) {
  EXPECT_EQ(DecideScale(Spec(), Input(4, 0.0, 0)).replicas, 4u);
  // One hot task of four: the silent ones count as idle.
  EXPECT_EQ(DecideScale(Spec(), Input(4, 1.0, 1)).replicas, 4u);
  // One idle task of four: the silent ones count as busy as wanted.
  EXPECT_EQ(DecideScale(Spec(), Input(4, 0.0, 1)).replicas, 3u);
}

TEST(ScaleDecisionTest, AServiceThatIsStillGrowingIsNotShrunk) {
  ScaleInput input = Input(2, 0.7, 2);
  input.replicas = 6;
  EXPECT_EQ(DecideScale(Spec(), input).replicas, 6u);
}

TEST(ScaleDecisionTest, TheTargetThatAsksForMostDecides) {
  v1::ServiceSpec spec = Spec();
  v1::MetricTarget& metric = *spec.mutable_autoscale()->add_metrics();
  metric.set_name("in_flight");
  metric.set_value(10);
  ScaleInput input = Input(4, 0.1, 4);
  for (MeanUsage& usage : input.usage) usage.metrics["in_flight"] = 20;
  const ScaleDecision decision = DecideScale(spec, input);
  EXPECT_EQ(decision.replicas, 8u);
  EXPECT_THAT(decision.reason, HasSubstr("in_flight 20 per task (10 wanted)"));
}

TEST(ScaleDecisionTest, AMetricThatIsNotServedHoldsTheReplicas) {
  v1::ServiceSpec spec = Spec();
  v1::MetricTarget& metric = *spec.mutable_autoscale()->add_metrics();
  metric.set_name("in_flight");
  metric.set_value(10);
  EXPECT_EQ(DecideScale(spec, Input(4, 0.0, 4)).replicas, 4u);
}

TEST(UsageWindowTest, TheMeanIsOfTheWindowAlone) {
  UsageWindow window;
  for (int i = 0; i < 10; ++i) {
    v1::TaskUsage usage;
    usage.mutable_usage()->set_nano_cpus(i < 5 ? 1'000 : 100);
    window.Add(usage, absl::Seconds(i * 10));
  }
  EXPECT_EQ(window.MeanOver(absl::Seconds(45), absl::Seconds(90))->nano_cpus, 100);
  EXPECT_FALSE(window.MeanOver(absl::Seconds(50), absl::Seconds(900)).has_value());
}

}  // namespace
}  // namespace swarm::manager
