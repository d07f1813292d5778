// Input: an expression, a time zone and a time in seconds, one a line.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/check.h"
#include "common/cron_schedule.h"
#include "common/strings.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {
namespace {

constexpr int64_t kLatest = 4'000'000'000;  // in 2096

// crontab(5) once more and as plainly as it goes, for expressions of digits alone.
class PlainCron {
 public:
  static std::optional<PlainCron> Parse(std::string_view expression) {
    if (expression.find_first_not_of("0123456789*,-/ ") != expression.npos) return std::nullopt;
    PlainCron cron;
    cron.fields_ = absl::StrSplit(ToAbsl(expression), ' ', absl::SkipEmpty());
    if (cron.fields_.size() != 5) return std::nullopt;
    return cron;
  }
  bool Matches(absl::CivilMinute t) const {
    if (!In(0, t.minute(), 59) || !In(1, t.hour(), 23) || !In(3, t.month(), 12)) return false;
    const bool day = In(2, t.day(), 31);
    // Monday is the first of Abseil's.
    const int weekday = (static_cast<int>(absl::GetWeekday(t)) + 1) % 7;
    const bool of_week = In(4, weekday, 7) || (weekday == 0 && In(4, 7, 7));
    const bool either = fields_[2][0] != '*' && fields_[4][0] != '*';
    return either ? day || of_week : day && of_week;
  }

 private:
  bool In(size_t field, int value, int high) const {
    for (absl::string_view part : absl::StrSplit(fields_[field], ',')) {
      const std::vector<std::string> stepped = absl::StrSplit(part, '/');
      const std::vector<std::string> range = absl::StrSplit(stepped[0], '-');
      const int step = stepped.size() > 1 ? Number(stepped[1]) : 1;
      const bool of_week = field == 4;  // 7 is 0, but for the end of a range
      int from = range[0] == "*" ? (field == 2 || field == 3 ? 1 : 0) : Number(range[0]);
      if (of_week && range.size() == 1 && from == 7) from = 0;
      int to = range.size() > 1 ? Number(range[1]) : from;
      if (of_week && to == 0 && from > 0) to = 7;
      const bool to_the_end = range[0] == "*" || (range.size() == 1 && stepped.size() > 1);
      if (to_the_end) to = of_week ? 6 : high;
      if (value >= from && value <= to && (value - from) % step == 0) return true;
    }
    return false;
  }
  static int Number(const std::string& text) {
    int number = 0;
    CHECK(absl::SimpleAtoi(text, &number)) << text;
    return number;
  }

  std::vector<std::string> fields_;
};

// Nothing is due between, and it is due then.
void CheckByHand(const PlainCron& plain, absl::Time time, absl::Time next) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  CHECK(plain.Matches(absl::ToCivilMinute(next, utc))) << next;
  absl::CivilMinute minute = absl::ToCivilMinute(time, utc);
  const absl::CivilMinute last = absl::ToCivilMinute(next, utc);
  for (int i = 0; i < 300 && ++minute < last; ++i) {
    CHECK(!plain.Matches(minute)) << absl::FormatCivilTime(minute);
  }
}

}  // namespace

std::vector<std::string> fuzz::MoreSeeds() { return {}; }

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  std::string_view rest = fuzz::Text(data, size);
  const std::string_view expression = fuzz::TakeLine(rest);
  const std::string_view zone = fuzz::TakeLine(rest);
  int64_t seconds = 0;
  const bool has_time = absl::SimpleAtoi(ToAbsl(fuzz::TakeLine(rest)), &seconds);
  if (!has_time || seconds < 0 || seconds > kLatest) seconds = 1'700'000'000;

  const auto schedule = CronSchedule::Parse(expression, zone);
  if (!schedule.ok()) return fuzz::CheckRefusal(schedule.status());
  const absl::Time time = absl::FromUnixSeconds(seconds) + absl::Milliseconds(size % 1000);
  const absl::Time next = schedule->NextAfter(time);
  CHECK(next > time && next != absl::InfiniteFuture()) << expression << " after " << time;
  CHECK(schedule->zone().At(next).cs.second() == 0) << next;
  CHECK(schedule->NextAfter(next - absl::Nanoseconds(1)) == next) << expression << ", " << next;
  CHECK(schedule->LastIn(time, next) == next) << expression << ", " << time << ", " << next;
  CHECK(schedule->LastIn(time, next - absl::Nanoseconds(1)) == std::nullopt) << expression;
  CHECK(schedule->CountIn(time, next, 9) == 1) << expression;
  const absl::Time second = schedule->NextAfter(next);
  CHECK(second > next) << expression;
  CHECK(schedule->LastIn(time, second) == second) << expression;
  CHECK(schedule->CountIn(time, second, 9) == 2) << expression;

  const auto shouted = CronSchedule::Parse(absl::AsciiStrToUpper(ToAbsl(expression)), zone);
  CHECK(shouted.ok() && shouted->NextAfter(time) == next) << expression;
  if (schedule->zone() == absl::UTCTimeZone()) {
    if (const auto plain = PlainCron::Parse(expression)) CheckByHand(*plain, time, next);
  }
  return 0;
}
