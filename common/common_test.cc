// The small headers: status_macros, check, strings, log.
#include <cerrno>

#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;

TEST(StatusTest, AnnotatePutsWhatWasDoneInFrontAndKeepsTheCode) {
  EXPECT_THAT(Annotate(absl::NotFoundError("no file"), "open journal"),
              StatusIs(absl::StatusCode::kNotFound, "open journal: no file"));
  EXPECT_OK(Annotate(absl::OkStatus(), "open journal"));
}

TEST(StatusTest, AnnotateKeepsWhatTheStatusCarries) {
  absl::Status status = absl::DeadlineExceededError("too late");
  status.SetPayload("swarm/test", absl::Cord("124"));
  EXPECT_EQ(Annotate(status, "open journal").GetPayload("swarm/test"), absl::Cord("124"));
}

TEST(StatusTest, ErrnoBecomesACodeAndWords) {
  EXPECT_THAT(ErrnoStatus(ENOENT, "/x"),
              StatusIs(absl::StatusCode::kNotFound, "/x: No such file or directory"));
  EXPECT_THAT(ErrnoStatus(ENOSPC, "x"), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(ErrnoStatus(ECONNREFUSED, "x"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(ErrnoStatus(EIO, "x"), StatusIs(absl::StatusCode::kInternal));
}

absl::StatusOr<int> Double(absl::StatusOr<int> number) {
  ASSIGN_OR_RETURN(const int value, std::move(number));
  RETURN_IF_ERROR(value > 100 ? absl::OutOfRangeError("large") : absl::OkStatus());
  return 2 * value;
}

TEST(StatusTest, MacrosHandOnErrors) {
  EXPECT_THAT(Double(4), IsOkAndHolds(8));
  EXPECT_THAT(Double(absl::AbortedError("x")), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(Double(101), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(CheckDeathTest, PrintsConditionAndValues) {
  CHECK(true) << "never built";
  const int two = 2;
  EXPECT_DEATH(CHECK(two == 3) << "two is " << two, "CHECK failed: two == 3 two is 2");
}

TEST(StringsTest, TakesBothStringViews) {
  const std::string_view ours = "a";
  const absl::string_view theirs = "b";
  EXPECT_EQ(StrCat(ours, theirs, 1, "c", std::string("d"), ours, ours), "ab1cdaa");
  EXPECT_EQ(ToStd(ToAbsl(ours)), ours);
}

TEST(LogTest, WritesOneLineWhateverTheMessage) {
  ::testing::internal::CaptureStderr();
  InitLog("prog%v", LogLevel::kInfo);
  LogDebug("room", "hidden");
  LogInfo("room", "one\ntwo {} \x1b[31m");
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, ::testing::HasSubstr("info prog%v room: one two {}  [31m\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  InitLog("test", LogLevel::kOff);
}

TEST(LogTest, ParsesLevels) {
  EXPECT_EQ(ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_EQ(ParseLogLevel("off"), LogLevel::kOff);
  EXPECT_EQ(ParseLogLevel("loud"), LogLevel::kInfo);
}

}  // namespace
}  // namespace swarm
