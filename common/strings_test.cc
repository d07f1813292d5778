#include "common/strings.h"

#include "common/utf8.h"
#include "gtest/gtest.h"

namespace swarm {
namespace {

TEST(StringsTest, OneLineShowsWhatATerminalWouldObey) {
  EXPECT_EQ(OneLine("a\nb\t\x1b[31m\x7f"), "a\\nb\\t\\x1b[31m\\x7f");
  EXPECT_EQ(OneLine(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(OneLine("größer \"x\""), "größer \"x\"");
}

TEST(StringsTest, OneLineKeepsBeginningAndEndOfALongOne) {
  EXPECT_EQ(OneLine(std::string(1'000, 'x')), std::string(1'000, 'x'));
  EXPECT_EQ(OneLine(StrCat("begin", std::string(100'000, 'x'), "end")),
            StrCat("begin", std::string(695, 'x'), " … ", std::string(297, 'x'), "end"));
}

TEST(StringsTest, OneLineCutsNoCharacter) {
  std::string text = "x";
  for (int i = 0; i < 600; ++i) text += "ö";
  const std::string line = OneLine(text);
  EXPECT_EQ(line.substr(0, line.find(" … ")).size() % 2, 1u);
  EXPECT_EQ(line.substr(line.find(" … ") + 5).size() % 2, 0u);
}

TEST(Utf8Test, WhatIsNoCharacterIsReplacedByteByByte) {
  EXPECT_EQ(ToUtf8("größer €, 𝄞"), "größer €, 𝄞");
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(ToUtf8("a\xff"
                   "b"),
            StrCat("a", bad, "b"));
  EXPECT_EQ(ToUtf8("\xc3"), bad) << "cut";
  EXPECT_EQ(ToUtf8("\xc0\xaf"), StrCat(bad, bad)) << "overlong";
  EXPECT_EQ(ToUtf8("\xed\xa0\x80"), StrCat(bad, bad, bad)) << "a surrogate";
}

}  // namespace
}  // namespace swarm
