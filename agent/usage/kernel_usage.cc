#include "agent/usage/kernel_usage.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace swarm::agent {
namespace {

// "MemTotal:       1024 kB" in bytes; -1.
int64_t MeminfoBytes(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, key) || !absl::ConsumePrefix(&line, ":")) continue;
    const bool kilo = absl::ConsumeSuffix(&line, " kB");
    int64_t value = 0;
    if (!kilo || !absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &value)) return -1;
    return value * 1024;
  }
  return -1;
}

}  // namespace

absl::StatusOr<int64_t> ParseBusyNanos(absl::string_view proc_stat, int64_t ticks_per_second) {
  const absl::Status bad = absl::DataLossError("/proc/stat has no line of all processors");
  const absl::string_view line = proc_stat.substr(0, proc_stat.find('\n'));
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
  // cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are in user
  // already.
  constexpr size_t kIdle = 4;
  constexpr size_t kIoWait = 5;
  constexpr size_t kSteal = 8;
  if (fields.size() <= kIdle || fields[0] != "cpu" || ticks_per_second <= 0) return bad;
  int64_t ticks = 0;
  for (size_t i = 1; i < std::min(fields.size(), kSteal + 1); ++i) {
    int64_t value = 0;
    if (!absl::SimpleAtoi(fields[i], &value)) return bad;
    if (i != kIdle && i != kIoWait && i != kSteal) ticks += value;
  }
  return ticks * (1'000'000'000 / ticks_per_second);
}

absl::StatusOr<int64_t> ParseUsedMemory(absl::string_view proc_meminfo) {
  const int64_t total = MeminfoBytes(proc_meminfo, "MemTotal");
  const int64_t available = MeminfoBytes(proc_meminfo, "MemAvailable");
  if (total < 0 || available < 0) return absl::DataLossError("/proc/meminfo lacks its totals");
  return std::max<int64_t>(total - available, 0);
}

}  // namespace swarm::agent
