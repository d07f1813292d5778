#include "cli/compose/words.h"

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

std::string_view WithoutByteOrderMark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

std::string_view Strip(std::string_view text) {
  return ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
}
std::string_view StripLeft(std::string_view text) {
  return ToStd(absl::StripLeadingAsciiWhitespace(ToAbsl(text)));
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + 1);
  }
  return lines;
}

absl::Status AtLine(size_t line, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("line ", line, ": ", OneLine(why)));
}

absl::Status CheckName(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("no variable name before =");
  for (char c : name) {
    if (absl::ascii_isspace(c)) {
      return absl::InvalidArgumentError(
          StrCat("variable name \"", name, "\" contains white space"));
    }
  }
  return absl::OkStatus();
}

// The value part of a .env line.
absl::StatusOr<std::string> DotEnvValue(std::string_view text) {
  text = Strip(text);
  if (text.empty() || (text[0] != '"' && text[0] != '\'')) {
    const size_t comment = text.find(" #");
    return std::string(Strip(text.substr(0, comment)));
  }
  const char quote = text[0];
  std::string out;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == quote) return out;
    if (quote == '"' && text[i] == '\\' && i + 1 < text.size()) {
      const char next = text[++i];
      if (next != 'n' && next != 't' && next != '"' && next != '\\' && next != '$') out += '\\';
      out += next == 'n' ? '\n' : next == 't' ? '\t' : next;
    } else {
      out += text[i];
    }
  }
  return absl::InvalidArgumentError(StrCat("a ", std::string(1, quote), " is never closed"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\'' || c == '"') {
      in_word = true;
      for (++i; i < text.size() && text[i] != c; ++i) {
        const bool escape =
            c == '"' && text[i] == '\\' && i + 1 < text.size() &&
            std::string_view("\"\\$`\n").find(text[i + 1]) != std::string_view::npos;
        if (escape) ++i;
        word += text[i];
      }
      if (i == text.size()) {
        return absl::InvalidArgumentError(
            StrCat("a ", std::string(1, c), " is never closed in: ", OneLine(text)));
      }
    } else if (c == '\\' && i + 1 < text.size()) {
      in_word = true;
      if (text[++i] != '\n') word += text[i];
    } else if (absl::ascii_isspace(c)) {
      if (in_word) words.push_back(std::exchange(word, ""));
      in_word = false;
    } else {
      in_word = true;
      word += c;
    }
  }
  if (in_word) words.push_back(word);
  return words;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseDotEnv(
    std::string_view text) {
  std::vector<std::pair<std::string, std::string>> variables;
  size_t number = 0;
  for (std::string_view line : Lines(WithoutByteOrderMark(text))) {
    ++number;
    line = Strip(line);
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("export ")) line.remove_prefix(7);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return AtLine(number, "expected NAME=value");
    const std::string_view name = Strip(line.substr(0, equals));
    if (absl::Status status = CheckName(name); !status.ok()) {
      return AtLine(number, ToStd(status.message()));
    }
    absl::StatusOr<std::string> value = DotEnvValue(line.substr(equals + 1));
    if (!value.ok()) return AtLine(number, ToStd(value.status().message()));
    variables.emplace_back(name, *std::move(value));
  }
  return variables;
}

absl::StatusOr<std::vector<std::string>> ParseEnvFile(std::string_view text) {
  std::vector<std::string> variables;
  size_t number = 0;
  for (std::string_view line : Lines(WithoutByteOrderMark(text))) {
    ++number;
    if (line.ends_with("\r")) line.remove_suffix(1);
    line = StripLeft(line);
    if (line.empty() || line[0] == '#') continue;
    if (absl::Status status = CheckName(line.substr(0, line.find('='))); !status.ok()) {
      return AtLine(number, ToStd(status.message()));
    }
    variables.emplace_back(line);
  }
  return variables;
}

}  // namespace swarm::cli::compose
