#include "manager/service_rules.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(UpdateRulesTest, DefaultsAreThoseOfSwarm) {
  const UpdateRules rules{v1::UpdateConfig()};
  EXPECT_EQ(rules.parallelism, 1u);
  EXPECT_EQ(rules.delay, absl::ZeroDuration());
  EXPECT_EQ(rules.monitor, absl::Seconds(5));
  EXPECT_EQ(rules.max_failure_ratio, 0);
  EXPECT_FALSE(rules.start_first);
  EXPECT_EQ(rules.on_failure, v1::UpdateConfig::FAILURE_ACTION_PAUSE);
  EXPECT_EQ(rules.progress_deadline, absl::Minutes(10));
}

TEST(UpdateRulesTest, ParallelismZeroIsAllAtOnceAndAMonitorOfZeroIsZero) {
  v1::UpdateConfig config;
  config.set_parallelism(0);
  config.mutable_monitor();
  const UpdateRules rules(config);
  EXPECT_EQ(rules.parallelism, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(rules.monitor, absl::ZeroDuration());
}

TEST(ServiceRulesTest, AnAutoscaledServiceHasWhatTheAutoscalerWantsWithinItsBounds) {
  Service service;
  service.mutable_spec()->mutable_replicated()->set_replicas(1);
  service.mutable_spec()->mutable_autoscale()->set_min(2);
  service.mutable_spec()->mutable_autoscale()->set_max(8);
  EXPECT_EQ(WantedReplicas(service), 2u);
  service.mutable_autoscale()->set_replicas(5);
  EXPECT_EQ(WantedReplicas(service), 5u);
  service.mutable_spec()->mutable_autoscale()->set_max(4);
  EXPECT_EQ(WantedReplicas(service), 4u);
}

TEST(ServiceRulesTest, AJobWantsAsManyCompletionsAsItMayRunAtOnceUnlessItSays) {
  v1::ReplicatedJob job;
  EXPECT_EQ(TotalCompletions(job), 1u);
  job.set_max_concurrent(3);
  EXPECT_EQ(TotalCompletions(job), 3u);
  job.set_total_completions(10);
  EXPECT_EQ(TotalCompletions(job), 10u);
}

TEST(ServiceRulesTest, RollingBackTwiceIsWhereItWas) {
  Service service;
  service.mutable_spec()->set_name("web");
  service.mutable_spec()->mutable_replicated()->set_replicas(5);
  service.set_revision_id("two");
  service.set_previous_revision_id("one");
  service.mutable_previous_spec()->set_name("web");
  service.mutable_previous_spec()->mutable_replicated()->set_replicas(2);
  auto back = RolledBack(service, "why");
  ASSERT_OK(back);
  EXPECT_EQ(back->revision_id(), "one");
  EXPECT_EQ(back->spec().replicated().replicas(), 2u);
  EXPECT_TRUE(IsRollback(*back));
  auto forth = RolledBack(*back, "");
  ASSERT_OK(forth);
  EXPECT_EQ(forth->revision_id(), "two");
  EXPECT_EQ(forth->spec().replicated().replicas(), 5u);
}

TEST(ServiceRulesTest, ANewServiceHasNothingToRollBackTo) {
  Service service;
  service.mutable_spec()->set_name("web");
  EXPECT_THAT(RolledBack(service, ""),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("never updated")));
}

TEST(ServiceRulesTest, ARollbackThatFailsIsNeverRolledBackAgain) {
  Service service;
  service.mutable_spec()->mutable_rollback()->set_failure_action(
      v1::UpdateConfig::FAILURE_ACTION_ROLLBACK);
  service.mutable_rollout()->set_is_rollback(true);
  EXPECT_EQ(CurrentRules(service).on_failure, v1::UpdateConfig::FAILURE_ACTION_PAUSE);
}

}  // namespace
}  // namespace swarm::manager
