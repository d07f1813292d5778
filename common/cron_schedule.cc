#include "common/cron_schedule.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm {
namespace {

constexpr int kHorizonYears = 48;
constexpr size_t kLongestExpression = 1'024;
constexpr uint64_t kEveryHour = (uint64_t{1} << 24) - 1;

struct Field {
  std::string_view name;
  int low;
  int high;
  std::string_view names;  // three letters each, the first for names_from
  int names_from;
  std::string_view allowed;
};
constexpr std::array<Field, 5> kFields = {{
    {"minute", 0, 59, "", 0, "0-59"},
    {"hour", 0, 23, "", 0, "0-23"},
    {"day-of-month", 1, 31, "", 0, "1-31"},
    {"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", 1, "1-12 or JAN-DEC"},
    {"day-of-week", 0, 7, "SUNMONTUEWEDTHUFRISAT", 0, "0-7 or SUN-SAT"},
}};
constexpr const Field& kWeekday = kFields[4];

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kMacros = {{
    {"@hourly", "0 * * * *"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"},
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
}};

template <typename... Args>
absl::Status Refuse(const Args&... args) {
  return absl::InvalidArgumentError(OneLine(StrCat(args...)));
}

bool Has(uint64_t bits, int value) { return (bits >> value & 1) != 0; }

// The lowest bit at or above `from`, or -1.
int FirstFrom(uint64_t bits, int from) {
  const uint64_t rest = from > 63 ? 0 : bits >> from << from;
  return rest == 0 ? -1 : std::countr_zero(rest);
}

// -1 for what is not a number of up to four digits.
int ParseNumber(std::string_view text) {
  int value = -1;
  const bool digits = !text.empty() && text.size() <= 4 &&
                      std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  return digits && absl::SimpleAtoi(ToAbsl(text), &value) ? value : -1;
}

absl::StatusOr<int> ParseValue(const Field& field, std::string_view text) {
  for (size_t i = 0; text.size() == 3 && i + 3 <= field.names.size(); i += 3) {
    if (field.names.substr(i, 3) == text) return field.names_from + static_cast<int>(i / 3);
  }
  const int value = ParseNumber(text);
  if (value < field.low || value > field.high) {
    return Refuse(field.name, ": \"", text, "\" is not in ", field.allowed);
  }
  return value;
}

// 1 without a "/".
absl::StatusOr<int> ParseStep(const Field& field, std::string_view item, size_t slash) {
  if (slash == std::string_view::npos) return 1;
  const std::string_view text = item.substr(slash + 1);
  const int step = ParseNumber(text);
  if (step < 1 || step > field.high) {
    return Refuse(field.name, ": step \"", text, "\" in \"", item, "\" is not in 1-", field.high);
  }
  return step;
}

// One part of a list.
absl::Status AddItem(const Field& field, std::string_view item, uint64_t& bits) {
  const bool is_weekday = &field == &kWeekday;
  const size_t slash = item.find('/');
  ASSIGN_OR_RETURN(const int step, ParseStep(field, item, slash));
  const std::string_view range = item.substr(0, slash);
  const size_t dash = range.find('-');
  int first = field.low;
  int last = is_weekday ? 6 : field.high;
  if (dash != std::string_view::npos) {
    ASSIGN_OR_RETURN(first, ParseValue(field, range.substr(0, dash)));
    ASSIGN_OR_RETURN(last, ParseValue(field, range.substr(dash + 1)));
    // "FRI-SUN": its end is the other Sunday.
    if (is_weekday && last == 0 && first > 0) last = 7;
    if (first > last) {
      return Refuse(field.name, ": range \"", range, "\" ends before it begins: write \"",
                    range.substr(0, dash), "-", field.high, ",", field.low, "-",
                    range.substr(dash + 1), "\"");
    }
  } else if (range != "*" && range != "?") {
    ASSIGN_OR_RETURN(first, ParseValue(field, range));
    if (is_weekday && first == 7) first = 0;
    if (slash == std::string_view::npos) last = first;
  }
  for (int value = first; value <= last; value += step) bits |= uint64_t{1} << value;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> ParseField(const Field& field, std::string_view text) {
  uint64_t bits = 0;
  for (absl::string_view item : absl::StrSplit(ToAbsl(text), ',')) {
    if (item.empty()) {
      return Refuse(field.name, ": \"", text, "\" has an empty part; wanted ", field.allowed);
    }
    RETURN_IF_ERROR(AddItem(field, ToStd(item), bits));
  }
  if (&field == &kWeekday && Has(bits, 7)) bits = (bits | 1) & 0x7f;
  return bits;
}

bool BeginsWithAny(std::string_view text) { return text.front() == '*' || text.front() == '?'; }

absl::StatusOr<std::string> WithoutMacro(const std::string& expression) {
  if (expression.empty()) return Refuse("is empty: write five fields, such as \"0 3 * * *\"");
  if (absl::StartsWith(expression, "TZ=") || absl::StartsWith(expression, "CRON_TZ=")) {
    return Refuse("names a time zone: that has a field of its own");
  }
  if (expression.front() != '@') return expression;
  const std::string name = absl::AsciiStrToLower(expression);
  if (absl::StartsWith(name, "@every")) {
    return Refuse("\"", name,
                  "\" is an interval, and runs happen at times of the clock: write \"*/2 * * * *\" "
                  "for every 2 minutes");
  }
  for (const auto& [macro, meaning] : kMacros) {
    if (name == macro) return std::string(meaning);
  }
  return Refuse("\"", name,
                "\" is not one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, "
                "@annually");
}

// Names of the tz database only: LoadTimeZone opens files by any path, and "localtime" differs from
// manager to manager.
bool IsZoneName(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '/' || c == '_' || c == '-' || c == '+';
  });
  return plain && name.size() <= 64 && name.front() != '/' && name != "localtime";
}

}  // namespace

absl::StatusOr<absl::TimeZone> CronSchedule::FindTimeZone(std::string_view name) {
  absl::TimeZone zone = absl::UTCTimeZone();
  if (name.empty()) return zone;
  if (!IsZoneName(name) || !absl::LoadTimeZone(ToAbsl(name), &zone)) {
    return Refuse("unknown time zone \"", name,
                  "\": write one of the tz database, such as \"Europe/Berlin\" (on the manager: "
                  "package tzdata)");
  }
  return zone;
}

absl::StatusOr<CronSchedule> CronSchedule::Parse(std::string_view expression,
                                                 std::string_view zone) {
  ASSIGN_OR_RETURN(absl::TimeZone found, FindTimeZone(zone));
  return Parse(expression, found);
}

absl::StatusOr<CronSchedule> CronSchedule::Parse(std::string_view expression, absl::TimeZone zone) {
  if (expression.size() > kLongestExpression) {
    return Refuse("has ", expression.size(), " bytes, more than ", kLongestExpression);
  }
  std::string text(absl::StripAsciiWhitespace(ToAbsl(expression)));
  absl::AsciiStrToUpper(&text);
  ASSIGN_OR_RETURN(text, WithoutMacro(text));
  const std::vector<std::string> fields =
      absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (fields.size() != kFields.size()) {
    return Refuse("\"", expression, "\" has ", fields.size(),
                  " fields, not five: minute hour day-of-month month day-of-week");
  }
  CronSchedule schedule;
  schedule.zone_ = zone;
  uint64_t* const targets[] = {&schedule.minutes_, &schedule.hours_, &schedule.days_,
                               &schedule.months_, &schedule.weekdays_};
  for (size_t i = 0; i < kFields.size(); ++i) {
    ASSIGN_OR_RETURN(*targets[i], ParseField(kFields[i], fields[i]));
  }
  schedule.any_day_ = BeginsWithAny(fields[2]) || BeginsWithAny(fields[4]);
  if (!schedule.NextLocal(absl::CivilMinute(2000, 1, 1)).has_value()) {
    return Refuse("\"", expression, "\" is never due: no month of ", fields[3],
                  " has such a day (day-of-month ", fields[2], ", day-of-week ", fields[4], ")");
  }
  return schedule;
}

bool CronSchedule::DayMatches(absl::CivilDay day) const {
  const bool month_day = Has(days_, day.day());
  const int monday_is_0 = static_cast<int>(absl::GetWeekday(day));
  const bool weekday = Has(weekdays_, (monday_is_0 + 1) % 7);
  return any_day_ ? month_day && weekday : month_day || weekday;
}

std::optional<absl::CivilMinute> CronSchedule::NextOnDay(absl::CivilDay day, int hour,
                                                         int minute) const {
  int due_hour = FirstFrom(hours_, hour);
  int due_minute = FirstFrom(minutes_, due_hour == hour ? minute : 0);
  if (due_hour >= 0 && due_minute < 0) {  // not in this hour any more
    due_hour = FirstFrom(hours_, due_hour + 1);
    due_minute = FirstFrom(minutes_, 0);
  }
  if (due_hour < 0) return std::nullopt;
  return absl::CivilMinute(day.year(), day.month(), day.day(), due_hour, due_minute);
}

std::optional<absl::CivilMinute> CronSchedule::NextLocal(absl::CivilMinute from) const {
  const absl::CivilDay today(from);
  if (Has(months_, today.month()) && DayMatches(today)) {
    if (const auto due = NextOnDay(today, from.hour(), from.minute())) return due;
  }
  const absl::CivilMonth end(today.year() + kHorizonYears, today.month());
  absl::CivilDay day = today + 1;
  for (absl::CivilMonth month(day); month <= end; ++month) {
    if (!Has(months_, month.month())) continue;
    for (day = std::max(day, absl::CivilDay(month)); absl::CivilMonth(day) == month; ++day) {
      if (DayMatches(day)) return NextOnDay(day, 0, 0);
    }
  }
  return std::nullopt;
}

absl::Time CronSchedule::NextAfter(absl::Time time) const {
  if (time == absl::InfiniteFuture()) return time;
  time = std::max(time, absl::UnixEpoch());
  return hours_ == kEveryHour ? NextOfElapsedTime(time) : NextOfLocalTimes(time);
}

absl::Time CronSchedule::NextOfLocalTimes(absl::Time time) const {
  // Times of the clock never go back from one local time to the next, so the first one that is
  // late enough is it. In the hour that comes twice up to 60 were due before.
  absl::CivilMinute from(zone_.At(time).cs);
  while (const std::optional<absl::CivilMinute> local = NextLocal(from)) {
    const absl::TimeZone::TimeInfo info = zone_.At(absl::CivilSecond(*local));
    const bool skipped = info.kind == absl::TimeZone::TimeInfo::SKIPPED;
    const absl::Time due = skipped ? info.trans : info.pre;
    if (due > time) return due;
    from = *local + 1;
  }
  return absl::InfiniteFuture();
}

absl::Time CronSchedule::NextOfElapsedTime(absl::Time time) const {
  // From one change of the clock to the next local time runs evenly.
  time = absl::FromUnixSeconds(absl::ToUnixSeconds(time));
  absl::CivilSecond local_now = zone_.At(time).cs;
  absl::CivilMinute from = absl::CivilMinute(local_now) + 1;
  while (const std::optional<absl::CivilMinute> local = NextLocal(from)) {
    const absl::Time due = time + absl::Seconds(absl::CivilSecond(*local) - local_now);
    absl::TimeZone::CivilTransition transition;
    if (!zone_.NextTransition(time, &transition)) return due;
    const absl::Time change = zone_.At(transition.to).trans;
    if (due < change) return due;
    time = change;
    local_now = transition.to;
    from = absl::CivilMinute(local_now);
    if (absl::CivilSecond(from) < local_now) ++from;
  }
  return absl::InfiniteFuture();
}

std::optional<absl::Time> CronSchedule::LastIn(absl::Time after, absl::Time until) const {
  if (NextAfter(after) > until) return std::nullopt;
  // Something is due in (low, until], nothing in (high, until].
  absl::Time low = std::max(after, absl::UnixEpoch());
  absl::Time high = until;
  while (high - low > absl::Seconds(30)) {
    const absl::Time middle = low + (high - low) / 2;
    (NextAfter(middle) > until ? high : low) = middle;
  }
  return NextAfter(low);
}

uint64_t CronSchedule::CountIn(absl::Time after, absl::Time until, uint64_t limit) const {
  uint64_t count = 0;
  for (absl::Time due = NextAfter(after); due <= until && count < limit; due = NextAfter(due)) {
    ++count;
  }
  return count;
}

}  // namespace swarm
