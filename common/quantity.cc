#include "common/quantity.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <optional>

#include "absl/strings/ascii.h"
#include "common/strings.h"

namespace swarm {
namespace {

using Wide = __int128;
constexpr int kMaxDecimals = 9;
constexpr int64_t kBillion = 1'000'000'000;
// Ten times this and a digit still fit; a Wide takes that times the largest unit.
constexpr int64_t kMaxWhole = (INT64_MAX - 9) / 10;

absl::Status Refuse(std::string_view text, std::string_view reason) {
  return absl::InvalidArgumentError(OneLine(StrCat("\"", text.substr(0, 64), "\": ", reason)));
}

// A number without sign: `whole` and billionths.
struct Decimal {
  int64_t whole = 0;
  int64_t billionths = 0;
};

// Takes "12", "12.5" or ".5" off the front of `text`. A reason when that is not what stands there.
std::optional<std::string_view> TakeDecimal(std::string_view& text, Decimal& out) {
  size_t at = 0;
  bool digits = false;
  for (; at < text.size() && absl::ascii_isdigit(text[at]); ++at) {
    digits = true;
    if (out.whole > kMaxWhole) return "too large";
    out.whole = out.whole * 10 + (text[at] - '0');
  }
  if (at < text.size() && text[at] == '.') {
    ++at;
    int64_t unit = kBillion;
    int decimals = 0;
    for (; at < text.size() && absl::ascii_isdigit(text[at]); ++at) {
      digits = true;
      if (++decimals > kMaxDecimals) return "more than nine decimals";
      unit /= 10;
      out.billionths += unit * (text[at] - '0');
    }
    if (decimals == 0) return "no digit after the point";
  }
  if (!digits) return text.starts_with('-') ? "negative" : "not a number";
  text.remove_prefix(at);
  return std::nullopt;
}

// The factor of "", "k", "KiB", "mb", …; 0 when it is none of those.
int64_t ByteUnit(std::string_view suffix) {
  std::string unit = absl::AsciiStrToLower(ToAbsl(suffix));
  if (unit.empty() || unit == "b") return 1;
  const size_t power = std::string_view("kmgtp").find(unit[0]);
  const std::string_view rest = std::string_view(unit).substr(1);
  if (power == std::string_view::npos) return 0;
  if (!rest.empty() && rest != "b" && rest != "i" && rest != "ib") return 0;
  return int64_t{1} << (10 * (power + 1));
}

struct TimeUnit {
  std::string_view name;
  int64_t nanoseconds;
};
// Longer names first where one begins with another.
constexpr std::array<TimeUnit, 8> kTimeUnits = {{
    {"ns", 1},
    {"us", 1'000},
    {"\u00b5s", 1'000},  // micro sign
    {"\u03bcs", 1'000},  // Greek mu
    {"ms", 1'000'000},
    {"s", kBillion},
    {"m", 60 * kBillion},
    {"h", 3600 * kBillion},
}};

int64_t TakeTimeUnit(std::string_view& text) {
  for (const TimeUnit& unit : kTimeUnits) {
    if (text.starts_with(unit.name)) {
      text.remove_prefix(unit.name.size());
      return unit.nanoseconds;
    }
  }
  return 0;
}

Wide Times(const Decimal& number, int64_t factor) {
  return Wide{number.whole} * factor + Wide{number.billionths} * factor / kBillion;
}

}  // namespace

absl::StatusOr<int64_t> ParseBytes(std::string_view text) {
  std::string_view rest = text;
  Decimal number;
  if (auto reason = TakeDecimal(rest, number)) return Refuse(text, *reason);
  if (rest.starts_with(' ')) rest.remove_prefix(1);
  const int64_t unit = ByteUnit(rest);
  if (unit == 0) return Refuse(text, "the unit is one of b, k, m, g, t, p");
  const Wide bytes = Times(number, unit);
  if (bytes > Wide{1} << 62) return Refuse(text, "too large");
  return static_cast<int64_t>(bytes);
}

absl::StatusOr<int64_t> ParseNanoCpus(std::string_view text) {
  std::string_view rest = text;
  Decimal number;
  if (auto reason = TakeDecimal(rest, number)) return Refuse(text, *reason);
  if (!rest.empty()) return Refuse(text, "a number of cores has no unit");
  const Wide nano = Times(number, kBillion);
  if (nano < kBillion / 1000) return Refuse(text, "less than 0.001 cores");
  if (nano > Wide{1'000'000} * kBillion) return Refuse(text, "more than 1000000 cores");
  return static_cast<int64_t>(nano);
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return absl::ZeroDuration();
  if (rest.empty()) return Refuse(text, "empty");
  Wide total = 0;
  while (!rest.empty()) {
    Decimal number;
    if (auto reason = TakeDecimal(rest, number)) return Refuse(text, *reason);
    const int64_t unit = TakeTimeUnit(rest);
    if (unit == 0) return Refuse(text, "a unit is needed: ns, us, ms, s, m or h");
    total += Times(number, unit);
    if (total > INT64_MAX) return Refuse(text, "too long");
  }
  return absl::Nanoseconds(static_cast<int64_t>(total));
}

absl::StatusOr<absl::Duration> ParseSignedDuration(std::string_view text) {
  if (!text.starts_with('-')) return ParseDuration(text);
  // A second sign is none.
  if (text.substr(1).starts_with('+')) return Refuse(text, "not a number");
  auto back = ParseDuration(text.substr(1));
  if (!back.ok()) return back.status();
  return -*back;
}

std::string FormatBytes(int64_t bytes) {
  static constexpr std::array<const char*, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 999.5 would print as 1e+03.
  while (std::abs(value) >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.3g%s", value, kUnits[unit]);
  return buffer;
}

std::string FormatNanoCpus(int64_t nano_cpus) {
  const bool negative = nano_cpus < 0;
  const uint64_t size =
      negative ? 0 - static_cast<uint64_t>(nano_cpus) : static_cast<uint64_t>(nano_cpus);
  char buffer[48];
  std::snprintf(buffer, sizeof(buffer), "%s%llu.%09llu", negative ? "-" : "",
                static_cast<unsigned long long>(size / kBillion),
                static_cast<unsigned long long>(size % kBillion));
  std::string text = buffer;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

// The steps of github.com/docker/go-units HumanDuration.
std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return StrCat(seconds, " seconds");
  const int64_t minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return StrCat(minutes, " minutes");
  const int64_t hours = (seconds + 1800) / 3600;
  if (hours == 1) return "About an hour";
  if (hours < 48) return StrCat(hours, " hours");
  if (hours < 24 * 7 * 2) return StrCat(hours / 24, " days");
  if (hours < 24 * 30 * 2) return StrCat(hours / 24 / 7, " weeks");
  if (hours < 24 * 365 * 2) return StrCat(hours / 24 / 30, " months");
  return StrCat(seconds / 3600 / 24 / 365, " years");
}

}  // namespace swarm
