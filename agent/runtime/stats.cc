#include "agent/runtime/stats.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace swarm::agent {
namespace {

using Words = std::vector<absl::string_view>;

int64_t Number(absl::string_view text) {
  int64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

// The value behind "key=".
absl::string_view Value(const Words& words, absl::string_view key) {
  for (absl::string_view word : words) {
    if (absl::ConsumePrefix(&word, key)) return word;
  }
  return "";
}

double Percent(absl::string_view text) {
  double value = 0;
  return absl::SimpleAtod(text, &value) ? value : 0;
}

}  // namespace

std::optional<PressureStats> ParsePressure(absl::string_view resource, absl::string_view text) {
  PressureStats stats;
  stats.resource = std::string(resource);
  bool some = false;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const Words words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    if (words[0] == "some") {
      some = true;
      stats.some_percent = Percent(Value(words, "avg10="));
      stats.some_total_usec = Number(Value(words, "total="));
    } else if (words[0] == "full") {
      stats.full_percent = Percent(Value(words, "avg10="));
    }
  }
  if (!some) return std::nullopt;
  return stats;
}

void AddBlockIo(absl::string_view text, ContainerStats* stats) {
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const Words words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() == 3 && words[1] == "Read") stats->read_bytes += Number(words[2]);
    if (words.size() == 3 && words[1] == "Write") stats->write_bytes += Number(words[2]);
    stats->read_bytes += Number(Value(words, "rbytes="));
    stats->write_bytes += Number(Value(words, "wbytes="));
  }
}

void AddNetwork(absl::string_view net_dev, ContainerStats* stats) {
  constexpr size_t kReceived = 0;
  constexpr size_t kSent = 8;
  for (const absl::string_view line : absl::StrSplit(net_dev, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const Words counts = absl::StrSplit(parts.second, ' ', absl::SkipEmpty());
    if (counts.size() <= kSent || absl::StripAsciiWhitespace(parts.first) == "lo") continue;
    stats->received_bytes += Number(counts[kReceived]);
    stats->sent_bytes += Number(counts[kSent]);
  }
}

}  // namespace swarm::agent
