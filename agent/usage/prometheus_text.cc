#include "agent/usage/prometheus_text.h"

#include <cmath>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace swarm::agent {
namespace {

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == ':';
}

absl::string_view TakeName(absl::string_view* line) {
  size_t size = 0;
  while (size < line->size() && IsNameCharacter((*line)[size])) ++size;
  const absl::string_view name = line->substr(0, size);
  line->remove_prefix(size);
  return name;
}

// {name="value",…}; values may hold anything, with \" and \\ escaped. False when it does not end.
bool SkipLabels(absl::string_view* line) {
  if (line->empty() || (*line)[0] != '{') return true;
  bool quoted = false;
  for (size_t i = 1; i < line->size(); ++i) {
    const char c = (*line)[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == '}' && !quoted) {
      line->remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

void SkipSpace(absl::string_view* line) {
  while (!line->empty() && (line->front() == ' ' || line->front() == '\t')) line->remove_prefix(1);
}

// "1.5 1700000000000": a value and perhaps a timestamp.
std::optional<double> ReadValue(absl::string_view rest) {
  SkipSpace(&rest);
  size_t size = 0;
  while (size < rest.size() && rest[size] != ' ' && rest[size] != '\t') ++size;
  double value = 0;
  if (!absl::SimpleAtod(rest.substr(0, size), &value) || !std::isfinite(value)) return std::nullopt;
  rest.remove_prefix(size);
  rest = absl::StripAsciiWhitespace(rest);
  int64_t timestamp = 0;
  if (!rest.empty() && !absl::SimpleAtoi(rest, &timestamp)) return std::nullopt;
  return value;
}

}  // namespace

std::map<std::string, double> SumMetrics(absl::string_view text,
                                         const std::set<std::string>& names) {
  std::map<std::string, double> sums;
  std::set<std::string> bad;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    absl::string_view line = text.substr(0, end);
    text = end == absl::string_view::npos ? absl::string_view() : text.substr(end + 1);
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::string name(TakeName(&line));
    if (!names.contains(name)) continue;
    SkipSpace(&line);
    const std::optional<double> value = SkipLabels(&line) ? ReadValue(line) : std::nullopt;
    if (value.has_value()) {
      sums[name] += *value;
    } else {
      bad.insert(name);
    }
  }
  for (const std::string& name : bad) sums.erase(name);
  std::erase_if(sums, [](const auto& sum) { return !std::isfinite(sum.second); });
  return sums;
}

}  // namespace swarm::agent
