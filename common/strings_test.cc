#include "common/strings.h"

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

}  // namespace
}  // namespace swarm
