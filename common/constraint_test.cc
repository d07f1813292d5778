#include "common/constraint.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

ConstraintSubject Node() {
  ConstraintSubject node;
  node.id = "abc";
  node.hostname = "Web-1";
  node.ip = "10.1.2.3";
  node.role = "worker";
  node.os = "linux";
  node.arch = "amd64";
  node.node_labels = {{"zone", "a"}};
  node.engine_labels = {{"disk", "SSD"}};
  return node;
}

bool Matches(std::string_view text) {
  auto constraint = Constraint::Parse(text);
  EXPECT_THAT(constraint, swarm::testing::IsOk()) << text;
  return constraint.ok() && constraint->Matches(Node());
}

TEST(ConstraintTest, ComparesWithoutCase) {
  EXPECT_TRUE(Matches("node.hostname==web-1"));
  EXPECT_TRUE(Matches("node.role == WORKER"));
  EXPECT_TRUE(Matches("NODE.platform.OS==Linux"));
  EXPECT_FALSE(Matches("node.platform.arch==arm64"));
  EXPECT_TRUE(Matches("node.id!=xyz"));
  EXPECT_TRUE(Matches("engine.labels.disk==ssd"));
}

TEST(ConstraintTest, MissingLabelMatchesOnlyDiffers) {
  EXPECT_TRUE(Matches("node.labels.zone==A"));
  EXPECT_FALSE(Matches("node.labels.zone!=a"));
  EXPECT_FALSE(Matches("node.labels.rack==1"));
  EXPECT_TRUE(Matches("node.labels.rack!=1"));
}

TEST(ConstraintTest, NamesOfLabelsKeepTheirCase) { EXPECT_FALSE(Matches("node.labels.ZONE==a")); }

TEST(ConstraintTest, UnknownKeyNeverMatches) {
  EXPECT_FALSE(Matches("node.colour==red"));
  EXPECT_FALSE(Matches("node.colour!=red"));
  EXPECT_FALSE(Matches("node.labels!=red"));
}

TEST(ConstraintTest, AddressesAndNetworks) {
  EXPECT_TRUE(Matches("node.ip==10.1.2.3"));
  EXPECT_TRUE(Matches("node.ip==10.1.0.0/16"));
  EXPECT_TRUE(Matches("node.ip==0.0.0.0/0"));
  EXPECT_FALSE(Matches("node.ip==10.2.0.0/16"));
  EXPECT_TRUE(Matches("node.ip!=10.2.0.0/16"));
  EXPECT_FALSE(Matches("node.ip==fd00::/8"));
  EXPECT_TRUE(Matches("node.ip==::ffff:10.1.2.3"));
}

TEST(ConstraintTest, MalformedNetworkNeverMatches) {
  EXPECT_FALSE(Matches("node.ip==10.1.0.0/33"));
  EXPECT_FALSE(Matches("node.ip!=10.1.0.0/33"));
  EXPECT_FALSE(Matches("node.ip!=somewhere"));
}

TEST(ConstraintTest, SaysWhatIsWrong) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Constraint::Parse("node.id"), StatusIs(invalid, HasSubstr("no == or !=")));
  EXPECT_THAT(Constraint::Parse("node.id=a"), StatusIs(invalid, HasSubstr("no == or !=")));
  EXPECT_THAT(Constraint::Parse("=="), StatusIs(invalid, HasSubstr("empty key")));
  EXPECT_THAT(Constraint::Parse("a b==c"), StatusIs(invalid, HasSubstr("malformed key")));
  EXPECT_THAT(Constraint::Parse("node.id== "), StatusIs(invalid, HasSubstr("empty value")));
}

}  // namespace
}  // namespace swarm
