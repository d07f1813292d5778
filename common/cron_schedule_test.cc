#include "common/cron_schedule.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::TimeZone Zone(const std::string& name) {
  absl::TimeZone zone;
  EXPECT_TRUE(absl::LoadTimeZone(name, &zone)) << name;
  return zone;
}

// "2024-03-31 01:59" or with an offset "2024-10-27 02:30 +01:00".
absl::Time At(const std::string& text, const std::string& zone = "UTC") {
  absl::Time time;
  std::string error;
  const char* format = text.size() > 16 ? "%Y-%m-%d %H:%M %Ez" : "%Y-%m-%d %H:%M";
  EXPECT_TRUE(absl::ParseTime(format, text, Zone(zone), &time, &error)) << error;
  return time;
}

CronSchedule Schedule(const std::string& expression, const std::string& zone = "") {
  auto schedule = CronSchedule::Parse(expression, zone);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *std::move(schedule);
}

// The next `count` times after `from`, as the zone's clock and offset show them.
std::vector<std::string> Next(const std::string& expression, const std::string& from, int count,
                              const std::string& zone = "UTC") {
  const CronSchedule schedule = Schedule(expression, zone);
  std::vector<std::string> times;
  absl::Time time = At(from, zone);
  for (int i = 0; i < count; ++i) {
    time = schedule.NextAfter(time);
    times.push_back(absl::FormatTime("%Y-%m-%d %H:%M %Ez", time, Zone(zone)));
  }
  return times;
}
std::vector<std::string> NextUtc(const std::string& expression, const std::string& from,
                                 int count) {
  std::vector<std::string> times = Next(expression, from, count);
  for (std::string& time : times) time = time.substr(0, 16);
  return times;
}

std::string WhyRefused(const std::string& expression) {
  auto schedule = CronSchedule::Parse(expression, "");
  EXPECT_EQ(schedule.status().code(), absl::StatusCode::kInvalidArgument) << expression;
  return std::string(schedule.status().message());
}

// -------------------------------------------------------------------------------------- fields

TEST(CronScheduleTest, EveryMinuteIsTheNextFullMinute) {
  EXPECT_EQ(Schedule("* * * * *").NextAfter(At("2024-01-01 10:00") + absl::Milliseconds(1)),
            At("2024-01-01 10:01"));
  EXPECT_EQ(Schedule("* * * * *").NextAfter(At("2024-01-01 10:00") - absl::Milliseconds(1)),
            At("2024-01-01 10:00"));
  EXPECT_EQ(Schedule("* * * * *").NextAfter(At("2024-01-01 10:00")), At("2024-01-01 10:01"));
}

TEST(CronScheduleTest, UnderstandsListsRangesAndSteps) {
  EXPECT_THAT(
      NextUtc("5,10-12,40/10 8 * * *", "2024-01-01 08:00", 7),
      ElementsAre("2024-01-01 08:05", "2024-01-01 08:10", "2024-01-01 08:11", "2024-01-01 08:12",
                  "2024-01-01 08:40", "2024-01-01 08:50", "2024-01-02 08:05"));
  EXPECT_THAT(NextUtc("*/20 0-23/12 ? * ?", "2024-01-01 00:30", 3),
              ElementsAre("2024-01-01 00:40", "2024-01-01 12:00", "2024-01-01 12:20"));
}

TEST(CronScheduleTest, UnderstandsNamesInAnyCaseAndSevenAsSunday) {
  EXPECT_THAT(NextUtc("0 0 1 jan,JUL *", "2024-02-01 00:00", 2),
              ElementsAre("2024-07-01 00:00", "2025-01-01 00:00"));
  // 2024-01-07 is a Sunday.
  for (const char* sunday :
       {"0 9 * * 7", "0 9 * * 0", "0 9 * * SUN", "0 9 * * sun", "0 9 * * 7/7"}) {
    EXPECT_THAT(NextUtc(sunday, "2024-01-01 00:00", 1), ElementsAre("2024-01-07 09:00"));
  }
  EXPECT_THAT(
      NextUtc("0 9 * * FRI-SUN", "2024-01-01 00:00", 4),
      ElementsAre("2024-01-05 09:00", "2024-01-06 09:00", "2024-01-07 09:00", "2024-01-12 09:00"));
}

TEST(CronScheduleTest, UnderstandsTheCommonMacros) {
  const std::string from = "2024-02-14 10:30";  // a Wednesday
  EXPECT_THAT(NextUtc("@hourly", from, 1), ElementsAre("2024-02-14 11:00"));
  EXPECT_THAT(NextUtc("@daily", from, 1), ElementsAre("2024-02-15 00:00"));
  EXPECT_THAT(NextUtc("@midnight", from, 1), ElementsAre("2024-02-15 00:00"));
  EXPECT_THAT(NextUtc("@weekly", from, 1), ElementsAre("2024-02-18 00:00"));
  EXPECT_THAT(NextUtc("@Monthly", from, 1), ElementsAre("2024-03-01 00:00"));
  EXPECT_THAT(NextUtc("@yearly", from, 1), ElementsAre("2025-01-01 00:00"));
  EXPECT_THAT(NextUtc("@annually", from, 1), ElementsAre("2025-01-01 00:00"));
}

TEST(CronScheduleTest, EitherDayFieldWillDoWhenBothAreRestricted) {
  EXPECT_THAT(
      NextUtc("0 0 13 * FRI", "2024-01-01 00:00", 4),
      ElementsAre("2024-01-05 00:00", "2024-01-12 00:00", "2024-01-13 00:00", "2024-01-19 00:00"));
}

TEST(CronScheduleTest, BothDayFieldsMustMatchWhenOneBeginsWithAStar) {
  EXPECT_THAT(NextUtc("0 0 * * FRI", "2024-01-01 00:00", 2),
              ElementsAre("2024-01-05 00:00", "2024-01-12 00:00"));
  EXPECT_THAT(NextUtc("0 0 13 * *", "2024-01-01 00:00", 2),
              ElementsAre("2024-01-13 00:00", "2024-02-13 00:00"));
  EXPECT_THAT(NextUtc("0 0 */2 * FRI", "2024-01-01 00:00", 2),  // odd Fridays
              ElementsAre("2024-01-05 00:00", "2024-01-19 00:00"));
}

TEST(CronScheduleTest, FindsTheRareDays) {
  EXPECT_THAT(NextUtc("0 0 29 2 *", "2024-03-01 00:00", 2),
              ElementsAre("2028-02-29 00:00", "2032-02-29 00:00"));
  EXPECT_THAT(NextUtc("0 0 29 2 *", "2096-03-01 00:00", 1), ElementsAre("2104-02-29 00:00"));
  EXPECT_THAT(NextUtc("0 0 31 * *", "2024-04-01 00:00", 2),
              ElementsAre("2024-05-31 00:00", "2024-07-31 00:00"));
  EXPECT_THAT(NextUtc("0 0 29 2 */7", "2072-03-01 00:00", 1), ElementsAre("2088-02-29 00:00"));
}

// ------------------------------------------------------------------------------------ refusals

TEST(CronScheduleTest, RefusesWithTheFieldTheValueAndWhatIsAllowed) {
  EXPECT_EQ(WhyRefused("60 * * * *"), "minute: \"60\" is not in 0-59");
  EXPECT_EQ(WhyRefused("* 24 * * *"), "hour: \"24\" is not in 0-23");
  EXPECT_EQ(WhyRefused("* * 0 * *"), "day-of-month: \"0\" is not in 1-31");
  EXPECT_EQ(WhyRefused("* * * 13 *"), "month: \"13\" is not in 1-12 or JAN-DEC");
  EXPECT_EQ(WhyRefused("* * * * 8"), "day-of-week: \"8\" is not in 0-7 or SUN-SAT");
  EXPECT_EQ(WhyRefused("* * * FOO *"), "month: \"FOO\" is not in 1-12 or JAN-DEC");
  EXPECT_EQ(WhyRefused("-1 * * * *"), "minute: \"\" is not in 0-59");
  EXPECT_EQ(WhyRefused("99999999999 * * * *"), "minute: \"99999999999\" is not in 0-59");
  EXPECT_THAT(WhyRefused("*/0 * * * *"), HasSubstr("minute: step \"0\" in \"*/0\" is not in 1-59"));
  EXPECT_THAT(WhyRefused("*/ * * * *"), HasSubstr("minute: step \"\""));
  EXPECT_THAT(WhyRefused("1,,2 * * * *"), HasSubstr("empty part"));
  EXPECT_THAT(WhyRefused("* 22-2 * * *"),
              AllOf(HasSubstr("\"22-2\" ends before it begins"), HasSubstr("\"22-23,0-2\"")));
  EXPECT_THAT(WhyRefused("* * * * * *"), HasSubstr("has 6 fields, not five"));
  EXPECT_THAT(WhyRefused("* * * *"), HasSubstr("has 4 fields"));
  EXPECT_THAT(WhyRefused(""), HasSubstr("is empty"));
  EXPECT_THAT(WhyRefused("   "), HasSubstr("is empty"));
  EXPECT_THAT(WhyRefused("@every 90s"), AllOf(HasSubstr("@every 90s"), HasSubstr("*/2 * * * *")));
  EXPECT_THAT(WhyRefused("@reboot"), HasSubstr("not one of @hourly"));
  EXPECT_THAT(WhyRefused("CRON_TZ=UTC 0 0 * * *"), HasSubstr("field of its own"));
  EXPECT_THAT(WhyRefused(std::string(2'000, '1')), HasSubstr("2000 bytes"));
}

TEST(CronScheduleTest, RefusesWhatIsNeverDue) {
  EXPECT_THAT(WhyRefused("0 0 31 2 *"), HasSubstr("never due"));
  EXPECT_THAT(WhyRefused("0 0 31 4,6,9,11 *"), HasSubstr("never due"));
  EXPECT_THAT(WhyRefused("0 0 30 FEB *"), HasSubstr("never due"));
  Schedule("0 0 31 2 MON");  // any Monday of February
}

TEST(CronScheduleTest, RefusesAnUnknownTimeZone) {
  for (const char* zone :
       {"Mars/Olympus", "localtime", "/etc/localtime", "../UTC", "Europe/Berlin "}) {
    auto schedule = CronSchedule::Parse("* * * * *", zone);
    EXPECT_EQ(schedule.status().code(), absl::StatusCode::kInvalidArgument) << zone;
    EXPECT_THAT(std::string(schedule.status().message()), HasSubstr(zone));
  }
}

// --------------------------------------------------------------------------------- time zones

TEST(CronScheduleTest, FollowsTheClockOfItsZone) {
  EXPECT_EQ(Schedule("0 9 * * *", "Asia/Tokyo").NextAfter(At("2024-01-01 00:00")),
            At("2024-01-02 00:00"));
  EXPECT_THAT(Next("0 9 * * *", "2024-03-30 12:00", 2, "Europe/Berlin"),
              ElementsAre("2024-03-31 09:00 +02:00", "2024-04-01 09:00 +02:00"));
}

TEST(CronScheduleTest, ATimeThatDoesNotExistIsDueOnceWhenTheClockJumps) {
  // 02:00 to 03:00 on 2024-03-31.
  EXPECT_THAT(Next("30 2 * * *", "2024-03-30 12:00", 2, "Europe/Berlin"),
              ElementsAre("2024-03-31 03:00 +02:00", "2024-04-01 02:30 +02:00"));
  EXPECT_THAT(Next("*/20 1-3 * * *", "2024-03-31 01:30", 4, "Europe/Berlin"),
              ElementsAre("2024-03-31 01:40 +01:00", "2024-03-31 03:00 +02:00",
                          "2024-03-31 03:20 +02:00", "2024-03-31 03:40 +02:00"));
}

TEST(CronScheduleTest, ATimeThatExistsTwiceIsDueTheFirstTime) {
  // 03:00 back to 02:00 on 2024-10-27.
  EXPECT_THAT(Next("30 2 * * *", "2024-10-26 12:00", 2, "Europe/Berlin"),
              ElementsAre("2024-10-27 02:30 +02:00", "2024-10-28 02:30 +01:00"));
  EXPECT_THAT(Next("*/30 2,3 * * *", "2024-10-27 02:30 +01:00", 2, "Europe/Berlin"),
              ElementsAre("2024-10-27 03:00 +01:00", "2024-10-27 03:30 +01:00"));
}

TEST(CronScheduleTest, AScheduleForEveryHourFollowsTimeAsItPasses) {
  EXPECT_THAT(
      Next("*/30 * * * *", "2024-03-31 01:00", 3, "Europe/Berlin"),
      ElementsAre("2024-03-31 01:30 +01:00", "2024-03-31 03:00 +02:00", "2024-03-31 03:30 +02:00"));
  EXPECT_THAT(Next("30 * * * *", "2024-03-31 01:00", 2, "Europe/Berlin"),
              ElementsAre("2024-03-31 01:30 +01:00", "2024-03-31 03:30 +02:00"));
  EXPECT_THAT(
      Next("*/30 * * * *", "2024-10-27 02:00 +02:00", 5, "Europe/Berlin"),
      ElementsAre("2024-10-27 02:30 +02:00", "2024-10-27 02:00 +01:00", "2024-10-27 02:30 +01:00",
                  "2024-10-27 03:00 +01:00", "2024-10-27 03:30 +01:00"));
}

TEST(CronScheduleTest, KnowsClocksThatChangeByHalfAnHourOrByADay) {
  EXPECT_THAT(Next("15 2 * * *", "2024-10-05 12:00", 2, "Australia/Lord_Howe"),
              ElementsAre("2024-10-06 02:30 +11:00", "2024-10-07 02:15 +11:00"));
  EXPECT_THAT(Next("0 12 30 12 *", "2011-12-01 00:00", 1, "Pacific/Apia"),  // no such day
              ElementsAre("2011-12-31 00:00 +14:00"));
}

// ------------------------------------------------------------------------------- looking back

TEST(CronScheduleTest, FindsTheLastDueTimeAndCountsThem) {
  const CronSchedule schedule = Schedule("0 6 * * *");
  const absl::Time from = At("2024-01-01 06:00");
  EXPECT_EQ(schedule.LastIn(from, At("2024-01-02 05:59")), std::nullopt);
  EXPECT_EQ(schedule.LastIn(from, At("2024-01-02 06:00")), At("2024-01-02 06:00"));
  EXPECT_EQ(schedule.LastIn(from, At("2034-07-04 12:00")), At("2034-07-04 06:00"));
  EXPECT_EQ(schedule.CountIn(from, At("2024-01-11 06:00"), 100), 10u);
  EXPECT_EQ(schedule.CountIn(from, At("2034-01-11 06:00"), 100), 100u);
}

// The slow way: every minute of a year, by what the zone's clock shows.
TEST(CronScheduleTest, AgreesWithLookingAtTheClockEveryMinute) {
  struct Case {
    std::string expression;
    bool (*matches)(absl::CivilMinute);
    bool every_hour;
  };
  const Case cases[] = {
      {"*/7 * * * *", [](absl::CivilMinute t) { return t.minute() % 7 == 0; }, true},
      {"17 1-3 * 3,4,10,11 0",
       [](absl::CivilMinute t) {
         return t.minute() == 17 && t.hour() >= 1 && t.hour() <= 3 &&
                (t.month() == 3 || t.month() == 4 || t.month() == 10 || t.month() == 11) &&
                absl::GetWeekday(t) == absl::Weekday::sunday;
       },
       false},
      {"*/15 0-2 1 * MON",
       [](absl::CivilMinute t) {
         return t.minute() % 15 == 0 && t.hour() <= 2 &&
                (t.day() == 1 || absl::GetWeekday(t) == absl::Weekday::monday);
       },
       false},
  };
  for (const char* name : {"Europe/Berlin", "Australia/Lord_Howe"}) {
    const absl::TimeZone zone = Zone(name);
    for (const Case& each : cases) {
      const CronSchedule schedule = Schedule(each.expression, name);
      absl::Time expected = At("2024-01-01 00:00");
      absl::Time due = schedule.NextAfter(expected);
      absl::CivilMinute before(zone.At(expected).cs);
      while (expected < At("2025-01-01 00:00")) {
        expected += absl::Minutes(1);
        const absl::CivilMinute local(zone.At(expected).cs);
        bool is_due = each.matches(local);
        if (!each.every_hour) {
          is_due = is_due && zone.At(absl::CivilSecond(local)).pre == expected;
          for (++before; before < local; ++before) is_due = is_due || each.matches(before);
        }
        before = local;
        if (!is_due) continue;
        ASSERT_EQ(due, expected) << each.expression << " in " << name;
        due = schedule.NextAfter(due);
      }
      EXPECT_GT(due, expected);
    }
  }
}

}  // namespace
}  // namespace swarm
