#include "cli/compose/interpolate.h"

#include "cli/compose/nearest.h"
#include "cli/compose/words.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::optional<std::string> Variables(std::string_view name) {
  if (name == "V") return "value";
  if (name == "EMPTY") return "";
  if (name == "_x1") return "$V";  // a value is not looked at again
  return std::nullopt;
}

absl::StatusOr<std::string> Fill(std::string_view text) { return Interpolate(text, Variables); }

TEST(InterpolateTest, KnowsEveryForm) {
  EXPECT_THAT(Fill("a $V b"), IsOkAndHolds("a value b"));
  EXPECT_THAT(Fill("${V}x$V.y"), IsOkAndHolds("valuexvalue.y"));
  EXPECT_THAT(Fill("${V:-d}${EMPTY:-d}${NO:-d}"), IsOkAndHolds("valuedd"));
  EXPECT_THAT(Fill("${V-d}${EMPTY-d}${NO-d}"), IsOkAndHolds("valued"));
  EXPECT_THAT(Fill("${V:+r}${EMPTY:+r}${NO:+r}"), IsOkAndHolds("r"));
  EXPECT_THAT(Fill("${V+r}${EMPTY+r}${NO+r}"), IsOkAndHolds("rr"));
  EXPECT_THAT(Fill("${V:?e}${EMPTY?e}"), IsOkAndHolds("value"));
  EXPECT_THAT(Fill("$$V $${V} $$$V"), IsOkAndHolds("$V ${V} $value"));
  EXPECT_THAT(Fill("$_x1"), IsOkAndHolds("$V"));
  EXPECT_THAT(Fill("${NO:-a:-b}"), IsOkAndHolds("a:-b"));
  EXPECT_THAT(Fill("^/(sys|proc)($$|/)"), IsOkAndHolds("^/(sys|proc)($|/)"));
}

TEST(InterpolateTest, DefaultsMayHoldVariables) {
  EXPECT_THAT(Fill("${NO:-${V}}"), IsOkAndHolds("value"));
  EXPECT_THAT(Fill("${NO:-x${NO2-$V}y}"), IsOkAndHolds("xvaluey"));
  std::string deep = "z";
  for (int i = 0; i < 100; ++i) deep = "${N:-" + deep + "}";
  EXPECT_THAT(Fill(deep), StatusIs(kInvalid, HasSubstr("deep")));
}

TEST(InterpolateTest, RefusesWhatIsMalformedOrRequired) {
  EXPECT_THAT(Fill("${NO:?set it}"), StatusIs(kInvalid, "the variable NO is required: set it"));
  EXPECT_THAT(Fill("${EMPTY:?}"), StatusIs(kInvalid, "the variable EMPTY is required"));
  for (const char* text :
       {"$", "a $ b", "$1", "${", "${V", "${}", "${1}", "${V!x}", "${V:}", "$(x)"}) {
    EXPECT_THAT(Fill(text), StatusIs(kInvalid)) << text;
  }
}

TEST(InterpolateTest, RemembersEachVariableThatIsNotSetOnce) {
  std::vector<std::string> unset;
  EXPECT_THAT(Interpolate("$A${B}$A${C:-x}", Variables, &unset), IsOkAndHolds("x"));
  EXPECT_THAT(unset, ElementsAre("A", "B"));
}

TEST(WordsTest, SplitsAsAShellWould) {
  EXPECT_THAT(SplitWords("sh -c 'a \"b\"' \"c 'd' \\\"e\\\"\" f\\ g ''"),
              IsOkAndHolds(ElementsAre("sh", "-c", "a \"b\"", "c 'd' \"e\"", "f g", "")));
  EXPECT_THAT(SplitWords("  "), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(SplitWords("a|b $c"), IsOkAndHolds(ElementsAre("a|b", "$c")));
  EXPECT_THAT(SplitWords("'a"), StatusIs(kInvalid, HasSubstr("never closed")));
}

TEST(WordsTest, ReadsDotEnv) {
  EXPECT_THAT(ParseDotEnv("\xEF\xBB\xBF# c\nA=1\nexport B = two words # c\n\nC='$x #'\r\n"
                          "D=\"a\\nb\\\"\"\nE=\n"),
              IsOkAndHolds(ElementsAre(Pair("A", "1"), Pair("B", "two words"), Pair("C", "$x #"),
                                       Pair("D", "a\nb\""), Pair("E", ""))));
  EXPECT_THAT(ParseDotEnv("A=1\nB\n"), StatusIs(kInvalid, HasSubstr("line 2")));
  EXPECT_THAT(ParseDotEnv("A='x\n"), StatusIs(kInvalid, HasSubstr("line 1")));
}

TEST(WordsTest, ReadsEnvFilesAsTheyStand) {
  EXPECT_THAT(ParseEnvFile("A='x' # y\n#no\n\nHOME\n"),
              IsOkAndHolds(ElementsAre("A='x' # y", "HOME")));
  EXPECT_THAT(ParseEnvFile("A B=1\n"), StatusIs(kInvalid, HasSubstr("white space")));
  EXPECT_THAT(ParseEnvFile("=1\n"), StatusIs(kInvalid));
}

TEST(NearestTest, IsNearOnlyWhenItIs) {
  const std::string_view names[] = {"image", "init", "replicas"};
  EXPECT_EQ(Nearest("imagee", names), "image");
  EXPECT_EQ(Nearest("iamge", names), "image");
  EXPECT_EQ(Nearest("replcias", names), "replicas");
  EXPECT_EQ(Nearest("volumes", names), "");
  EXPECT_EQ(Nearest("", names), "");
  EXPECT_EQ(Nearest(std::string(1'000'000, 'x'), names), "");
}

}  // namespace
}  // namespace swarm::cli::compose
