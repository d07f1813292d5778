#include "cli/compose/document.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;

TEST(DocumentTest, KeepsLinesKindsAndQuotes) {
  const auto root = ParseYaml("a: 1\nb:\n  - 'yes'\n  - ~\nc: {d: \"x\"}\n", "f.yml");
  ASSERT_OK(root);
  EXPECT_EQ(root->Find("a")->text, "1");
  EXPECT_FALSE(root->Find("a")->quoted);
  EXPECT_TRUE(root->Find("b")->items[0].quoted);
  EXPECT_TRUE(root->Find("b")->items[1].IsNull());
  EXPECT_EQ(root->Find("b")->items[1].Where(), "f.yml:4:5");
  EXPECT_EQ(root->Find("c")->Find("d")->Where(), "f.yml:5:8");
  EXPECT_EQ(root->Find("c")->Find("nope"), nullptr);
}

TEST(DocumentTest, UnfoldsAnchorsAndMergeKeysTheMapsOwnKeysWin) {
  const auto root = ParseYaml(
      "x-a: &a {p: 1, q: 1}\nx-b: &b {q: 2, r: 2}\nm:\n  <<: [*a, *b]\n  p: 3\nn: {<<: *b}\n", "f");
  ASSERT_OK(root);
  EXPECT_EQ(ToYaml(*root->Find("m")), "p: 3\nq: 1\nr: 2\n");
  EXPECT_EQ(ToYaml(*root->Find("n")), "q: 2\nr: 2\n");
}

TEST(DocumentTest, RefusesWhatIsMalformedWithItsLine) {
  EXPECT_THAT(ParseYaml("a: [1\nb: 2\n", "f.yml"),
              StatusIs(kInvalid, HasSubstr("f.yml:2:2: malformed")));
  EXPECT_THAT(ParseYaml("a: 1\n\ta: 2\n", "f"), StatusIs(kInvalid, HasSubstr("malformed YAML")));
  EXPECT_THAT(ParseYaml("a: 1\nb: 2\na: 3\n", "f"),
              StatusIs(kInvalid, "f:3:1: the key a stands twice, first in line 1"));
  EXPECT_THAT(ParseYaml("a: *b\n", "f"), StatusIs(kInvalid));
  EXPECT_THAT(ParseYaml("a: &x [*x]\n", "f"), StatusIs(kInvalid, HasSubstr("own anchor")));
  EXPECT_THAT(ParseYaml("a: !!python/object x\n", "f"), StatusIs(kInvalid, HasSubstr("tag")));
  EXPECT_THAT(ParseYaml("a: 1\n---\nb: 2\n", "f"), StatusIs(kInvalid, HasSubstr("more than one")));
  EXPECT_THAT(ParseYaml("? [a]\n: b\n", "f"), StatusIs(kInvalid, HasSubstr("a key must be")));
  EXPECT_THAT(ParseYaml("a: {<<: 3}\n", "f"), StatusIs(kInvalid, HasSubstr("<<")));
  EXPECT_THAT(ParseYaml("a: {<<: [1, 2]}\n", "f"), StatusIs(kInvalid, HasSubstr("<<")));
  EXPECT_THAT(ParseYaml(std::string("a: \0b", 5), "f"), StatusIs(kInvalid, HasSubstr("zero byte")));
}

TEST(DocumentTest, AnEmptyFileIsNull) {
  EXPECT_TRUE(ParseYaml("", "f")->IsNull());
  EXPECT_TRUE(ParseYaml("# nothing\n", "f")->IsNull());
}

TEST(DocumentTest, BoundsSizeDepthAndAliasBombs) {
  EXPECT_THAT(ParseYaml(std::string(17 << 20, 'a'), "f"), StatusIs(kTooMuch));
  EXPECT_THAT(ParseYaml(std::string(10'000, '['), "f"), StatusIs(kTooMuch, HasSubstr("deeper")));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j == 0 ? "" : ", ") + last;
    bomb += "]\n";
  }
  EXPECT_THAT(ParseYaml(bomb, "f"), StatusIs(kTooMuch, HasSubstr("unfolds")));
  // A bomb of text rather than values.
  std::string text = "a: &a " + std::string(500'000, 'x') + "\nb: [";
  for (int i = 0; i < 80; ++i) text += "*a, ";
  EXPECT_THAT(ParseYaml(text + "*a]\n", "f"), StatusIs(kTooMuch));
}

TEST(DocumentTest, WhatIsPrintedReadsBackTheSame) {
  const std::string source =
      "a: \"yes\"\nb: yes\nc: \"1\"\nd: 1\ne: \"x: y # z\"\nf: \"line\\nbreak\"\ng: []\nh: {}\n"
      "i: null\nj:\n  - k: v\n    l: w\n  - - m\n    - n\no: \"\"\np: \"-x\"\nq: \"\\x01é\"\n";
  const auto root = ParseYaml(source, "f");
  ASSERT_OK(root);
  const std::string once = ToYaml(*root);
  const auto again = ParseYaml(once, "g");
  ASSERT_OK(again);
  EXPECT_EQ(ToYaml(*again), once);
  EXPECT_EQ(again->Find("f")->text, "line\nbreak");
  EXPECT_EQ(again->Find("q")->text, "\x01é");
  EXPECT_TRUE(again->Find("a")->quoted);
  EXPECT_FALSE(again->Find("b")->quoted);
}

}  // namespace
}  // namespace swarm::cli::compose
