#include "agent/health/health_check.h"

#include "common/proto_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::HealthCheck Check(std::vector<std::string> test, int interval = 0, uint32_t retries = 0) {
  v1::HealthCheck check;
  for (std::string& word : test) check.add_test(std::move(word));
  if (interval > 0) *check.mutable_interval() = ToProto(absl::Seconds(interval));
  check.set_retries(retries);
  return check;
}

TEST(HealthCheckTest, TheSpecsOwnTestCountsAsItIs) {
  const auto check = EffectiveHealthCheck(Check({"TCP", ":80"}, 7), Check({"CMD", "x"}, 9, 5));
  ASSERT_TRUE(check.has_value());
  EXPECT_THAT(check->test(), ElementsAre("TCP", ":80"));
  EXPECT_EQ(check->interval().seconds(), 7);
  EXPECT_EQ(check->retries(), 0u) << "the default, not the image's";
}

TEST(HealthCheckTest, WithoutATestItIsTheImagesWithWhatIsSetOverIt) {
  const auto check = EffectiveHealthCheck(Check({}, 7), Check({"CMD", "x"}, 9, 5));
  ASSERT_TRUE(check.has_value());
  EXPECT_THAT(check->test(), ElementsAre("CMD", "x"));
  EXPECT_EQ(check->interval().seconds(), 7);
  EXPECT_EQ(check->retries(), 5u);
}

TEST(HealthCheckTest, NoneAlsoMeansNotTheImages) {
  EXPECT_FALSE(EffectiveHealthCheck(Check({"NONE"}), Check({"CMD", "x"})).has_value());
  EXPECT_FALSE(EffectiveHealthCheck(Check({}, 7), Check({"NONE"})).has_value());
  EXPECT_FALSE(EffectiveHealthCheck(Check({}, 7), Check({})).has_value());
}

TEST(ProbeTargetTest, ReadsAddressesOfTheContainerItself) {
  auto target = ParseProbeTarget("http://:8080/health?x=1");
  ASSERT_OK(target);
  EXPECT_THAT(target->hosts, ElementsAre("127.0.0.1", "::1"));
  EXPECT_EQ(target->port, 8080);
  EXPECT_EQ(target->path, "/health?x=1");
  target = ParseProbeTarget("[::1]:50051/my.Service");
  ASSERT_OK(target);
  EXPECT_THAT(target->hosts, ElementsAre("::1"));
  EXPECT_EQ(target->path, "/my.Service");
  EXPECT_EQ(ParseProbeTarget("localhost:6379")->port, 6379);
  for (const char* bad : {"", ":", ":0", ":65536", ":x", "nothing", "http://", ":-1"}) {
    EXPECT_THAT(ParseProbeTarget(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(ParseProbeTarget("db:80"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"db\"")));
  EXPECT_THAT(ParseProbeTarget("http://:80/a b"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseProbeTarget("http://:80/a\r\nX: y"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace swarm::agent
