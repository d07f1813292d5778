#include "cli/flags.h"

#include "cli/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr FlagRule kRules[] = {
    {"detach", 'd', FlagKind::kSwitch},
    {"quiet", 'q', FlagKind::kSwitch},
    {"no-trunc", 0, FlagKind::kSwitch},
    {"name", 'n', FlagKind::kText},
    {"env", 'e', FlagKind::kList},
    {"publish", 'p', FlagKind::kList, "", "", FlagState::kNotBuilt},
    {"label", 'l', FlagKind::kList, "", "changes nothing here: use --label-add",
     FlagState::kNotBuilt},
};

absl::StatusOr<Flags> Parse(std::vector<std::string> args, bool stop = false) {
  return ParseFlags(kRules, args, stop);
}

TEST(FlagsTest, TakesValuesInEveryWayGoDoes) {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {"--name=a"}, {"--name", "a"}, {"-n", "a"}, {"-na"}, {"-n=a"}, {"-dna"}, {"-dqn=a"}}) {
    const auto flags = Parse(args);
    ASSERT_OK(flags);
    EXPECT_EQ(flags->Text("name"), "a") << args[0];
  }
}

TEST(FlagsTest, AnEmptyValueIsAValue) {
  const auto flags = Parse({"--name=", "web"});
  ASSERT_OK(flags);
  EXPECT_TRUE(flags->Has("name"));
  EXPECT_EQ(flags->Text("name", "x"), "");
  EXPECT_THAT(flags->arguments(), ElementsAre("web"));
}

TEST(FlagsTest, AValueMayBeginWithADashAndHoldAnything) {
  const auto flags = Parse({"--name", "--detach", "-e", "[a,b]", "--env", "A=b=c"});
  ASSERT_OK(flags);
  EXPECT_EQ(flags->Text("name"), "--detach");
  EXPECT_FALSE(flags->On("detach"));
  EXPECT_THAT(flags->List("env"), ElementsAre("[a,b]", "A=b=c"));
}

TEST(FlagsTest, SwitchesTakeValuesOnlyBehindEquals) {
  EXPECT_TRUE(Parse({"-d"})->On("detach"));
  EXPECT_FALSE(Parse({"-d=false"})->On("detach"));
  EXPECT_FALSE(Parse({"--detach=0"})->On("detach"));
  EXPECT_FALSE(Parse({"--no-detach"})->On("detach"));
  EXPECT_TRUE(Parse({"--no-trunc"})->On("no-trunc"));
  EXPECT_THAT(Parse({"-d", "false"})->arguments(), ElementsAre("false"));
  EXPECT_THAT(Parse({"--detach=maybe"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                                  "--detach=maybe: must be true or false"));
}

TEST(FlagsTest, TheLastValueWins) {
  EXPECT_EQ(Parse({"-n", "a", "-n", "b"})->Text("name"), "b");
  EXPECT_FALSE(Parse({"-d", "-d=false"})->On("detach"));
}

TEST(FlagsTest, FlagsEndAtDoubleDashAndWhereAskedAtTheFirstArgument) {
  EXPECT_THAT(Parse({"a", "-d", "b"})->arguments(), ElementsAre("a", "b"));
  EXPECT_THAT(Parse({"--", "-d"})->arguments(), ElementsAre("-d"));
  const auto flags = Parse({"-d", "image", "sh", "-c", "--name=x"}, /*stop=*/true);
  EXPECT_THAT(flags->arguments(), ElementsAre("image", "sh", "-c", "--name=x"));
  EXPECT_FALSE(flags->Has("name"));
  EXPECT_THAT(Parse({"-"})->arguments(), ElementsAre("-"));
}

TEST(FlagsTest, RefusesUnknownAndUnbuiltFlagsWithExitCode2) {
  const auto unknown = Parse({"--nam", "x"});
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kInvalidArgument,
                                "unknown flag --nam: did you mean --name?"));
  EXPECT_EQ(ExitCodeOf(unknown.status()), 2);
  EXPECT_THAT(Parse({"--zzzzzz"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--help")));
  EXPECT_THAT(Parse({"-dz"}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-z")));
  EXPECT_THAT(Parse({"-p80:80"}),
              StatusIs(absl::StatusCode::kUnimplemented, "--publish is not built yet"));
  EXPECT_THAT(Parse({"--label", "a"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                                "--label changes nothing here: use --label-add"));
  EXPECT_THAT(Parse({"--name"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs a value")));
}

TEST(FlagsTest, TypedValuesNameTheirFlagWhenMalformed) {
  EXPECT_EQ(**Parse({"--name=1m30s"})->DurationOf("name"), absl::Seconds(90));
  EXPECT_FALSE(Parse({})->DurationOf("name")->has_value());
  EXPECT_THAT(Parse({"--name=5"})->DurationOf("name"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--name=5: ")));
  EXPECT_THAT(Parse({"--name=-1"})->NumberOf("name"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(**Parse({"--name=-1"})->SignedOf("name"), -1);
  EXPECT_EQ(**Parse({"--name=0"})->NanoCpusOf("name"), 0);
  EXPECT_EQ(**Parse({"--name=512m"})->BytesOf("name"), 512 << 20);
}

}  // namespace
}  // namespace swarm::cli
