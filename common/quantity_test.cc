#include "common/quantity.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ParseBytesTest, ReadsWhatDockerReads) {
  EXPECT_THAT(ParseBytes("1048576"), IsOkAndHolds(1048576));
  EXPECT_THAT(ParseBytes("512m"), IsOkAndHolds(512 << 20));
  EXPECT_THAT(ParseBytes("1.5G"), IsOkAndHolds(int64_t{3} << 29));
  EXPECT_THAT(ParseBytes("64KiB"), IsOkAndHolds(64 << 10));
  EXPECT_THAT(ParseBytes("64 kb"), IsOkAndHolds(64 << 10));
  EXPECT_THAT(ParseBytes("2b"), IsOkAndHolds(2));
  EXPECT_THAT(ParseBytes(".5k"), IsOkAndHolds(512));
  EXPECT_THAT(ParseBytes("0"), IsOkAndHolds(0));
  EXPECT_THAT(ParseBytes("4096p"), IsOkAndHolds(int64_t{1} << 62));
  EXPECT_THAT(ParseBytes("4611686018427387904"), IsOkAndHolds(int64_t{1} << 62));
}

TEST(ParseBytesTest, RefusesWithTheReason) {
  EXPECT_THAT(ParseBytes(""), StatusIs(kInvalid, HasSubstr("not a number")));
  EXPECT_THAT(ParseBytes("-1m"), StatusIs(kInvalid, HasSubstr("negative")));
  EXPECT_THAT(ParseBytes("1x"), StatusIs(kInvalid, HasSubstr("unit")));
  EXPECT_THAT(ParseBytes("1  m"), StatusIs(kInvalid, HasSubstr("unit")));
  EXPECT_THAT(ParseBytes("1ibm"), StatusIs(kInvalid, HasSubstr("unit")));
  EXPECT_THAT(ParseBytes("1."), StatusIs(kInvalid, HasSubstr("point")));
  EXPECT_THAT(ParseBytes("4611686018427387905"), StatusIs(kInvalid, HasSubstr("too large")));
  EXPECT_THAT(ParseBytes("4097p"), StatusIs(kInvalid, HasSubstr("too large")));
  EXPECT_THAT(ParseBytes("99999999999999999999999"), StatusIs(kInvalid, HasSubstr("too large")));
}

TEST(ParseNanoCpusTest, KeepsNineDecimalsAndItsBounds) {
  EXPECT_THAT(ParseNanoCpus("0.5"), IsOkAndHolds(500'000'000));
  EXPECT_THAT(ParseNanoCpus("2"), IsOkAndHolds(2'000'000'000));
  EXPECT_THAT(ParseNanoCpus("0.001"), IsOkAndHolds(1'000'000));
  EXPECT_THAT(ParseNanoCpus("1.123456789"), IsOkAndHolds(1'123'456'789));
  EXPECT_THAT(ParseNanoCpus("0.0009"), StatusIs(kInvalid, HasSubstr("0.001")));
  EXPECT_THAT(ParseNanoCpus("0"), StatusIs(kInvalid));
  EXPECT_THAT(ParseNanoCpus("1.1234567891"), StatusIs(kInvalid, HasSubstr("nine decimals")));
  EXPECT_THAT(ParseNanoCpus("1000000"), IsOkAndHolds(int64_t{1'000'000} * 1'000'000'000));
  EXPECT_THAT(ParseNanoCpus("1000001"), StatusIs(kInvalid));
  EXPECT_THAT(ParseNanoCpus("1m"), StatusIs(kInvalid, HasSubstr("unit")));
}

TEST(ParseDurationTest, ReadsGoDurations) {
  EXPECT_THAT(ParseDuration("10s"), IsOkAndHolds(absl::Seconds(10)));
  EXPECT_THAT(ParseDuration("1h30m"), IsOkAndHolds(absl::Minutes(90)));
  EXPECT_THAT(ParseDuration("1.5s"), IsOkAndHolds(absl::Milliseconds(1500)));
  EXPECT_THAT(ParseDuration("300ms"), IsOkAndHolds(absl::Milliseconds(300)));
  EXPECT_THAT(ParseDuration("5us7ns"), IsOkAndHolds(absl::Nanoseconds(5007)));
  EXPECT_THAT(ParseDuration("5\xc2\xb5s"), IsOkAndHolds(absl::Microseconds(5)));
  EXPECT_THAT(ParseDuration("0"), IsOkAndHolds(absl::ZeroDuration()));
}

TEST(ParseDurationTest, ReadsASignWhereOneMakesSense) {
  EXPECT_THAT(ParseSignedDuration("-1h30m"), IsOkAndHolds(absl::Minutes(-90)));
  EXPECT_THAT(ParseSignedDuration("10s"), IsOkAndHolds(absl::Seconds(10)));
  EXPECT_THAT(ParseSignedDuration("-0"), IsOkAndHolds(absl::ZeroDuration()));
  EXPECT_THAT(ParseSignedDuration("--1s"), StatusIs(kInvalid, HasSubstr("negative")));
  EXPECT_THAT(ParseSignedDuration("-+1s"), StatusIs(kInvalid, HasSubstr("not a number")));
  EXPECT_THAT(ParseSignedDuration("-"), StatusIs(kInvalid, HasSubstr("empty")));
}

TEST(ParseDurationTest, RefusesWithTheReason) {
  EXPECT_THAT(ParseDuration(""), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(ParseDuration("10"), StatusIs(kInvalid, HasSubstr("unit")));
  EXPECT_THAT(ParseDuration("-1s"), StatusIs(kInvalid, HasSubstr("negative")));
  EXPECT_THAT(ParseDuration("s"), StatusIs(kInvalid));
  EXPECT_THAT(ParseDuration("1d"), StatusIs(kInvalid, HasSubstr("unit")));
  EXPECT_THAT(ParseDuration("3000000h"), StatusIs(kInvalid, HasSubstr("too long")));
}

TEST(FormatTest, BytesHaveThreeDigits) {
  EXPECT_EQ(FormatBytes(0), "0B");
  EXPECT_EQ(FormatBytes(999), "999B");
  EXPECT_EQ(FormatBytes(1000), "1kB");
  EXPECT_EQ(FormatBytes(12'345'678), "12.3MB");
  EXPECT_EQ(FormatBytes(999'999'999), "1GB");
  EXPECT_EQ(FormatBytes(INT64_MAX), "9.22EB");
}

TEST(FormatTest, NanoCpusHaveNoTrailingZeros) {
  EXPECT_EQ(FormatNanoCpus(500'000'000), "0.5");
  EXPECT_EQ(FormatNanoCpus(2'000'000'000), "2");
  EXPECT_EQ(FormatNanoCpus(1), "0.000000001");
  EXPECT_EQ(FormatNanoCpus(0), "0");
}

TEST(FormatTest, AgesReadAsDockerPrintsThem) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(450)), "Less than a second");
  EXPECT_EQ(HumanDuration(absl::Seconds(-5)), "Less than a second");
  EXPECT_EQ(HumanDuration(absl::Seconds(1)), "1 second");
  EXPECT_EQ(HumanDuration(absl::Seconds(59)), "59 seconds");
  EXPECT_EQ(HumanDuration(absl::Seconds(60)), "About a minute");
  EXPECT_EQ(HumanDuration(absl::Minutes(5)), "5 minutes");
  EXPECT_EQ(HumanDuration(absl::Minutes(60)), "About an hour");
  EXPECT_EQ(HumanDuration(absl::Minutes(100)), "2 hours");
  EXPECT_EQ(HumanDuration(absl::Hours(47)), "47 hours");
  EXPECT_EQ(HumanDuration(absl::Hours(48)), "2 days");
  EXPECT_EQ(HumanDuration(absl::Hours(24 * 14)), "2 weeks");
  EXPECT_EQ(HumanDuration(absl::Hours(24 * 90)), "3 months");
  EXPECT_EQ(HumanDuration(absl::Hours(24 * 365 * 3)), "3 years");
}

}  // namespace
}  // namespace swarm
