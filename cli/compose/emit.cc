#include <cctype>

#include "absl/strings/ascii.h"
#include "cli/compose/document.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// Words that YAML reads as something other than text.
bool ReadsAsOther(std::string_view text) {
  const std::string lower = absl::AsciiStrToLower(ToAbsl(text));
  for (std::string_view word : {"", "~", "null", "true", "false", "yes", "no", "on", "off"}) {
    if (lower == word) return true;
  }
  return std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '.' || text[0] == '+';
}

bool PlainIsSafe(std::string_view text, bool was_quoted) {
  if (text.empty() || (was_quoted && ReadsAsOther(text))) return false;
  if (text[0] == '-' || text[0] == '@' || text[0] == ':' || text[0] == '=') return false;
  if (text.back() == ':') return false;
  for (char c : text) {
    if (!std::isalnum(static_cast<unsigned char>(c)) &&
        std::string_view("_-./@:=+").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      StrAppend(&out, "\\", std::string(1, c));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      StrAppend(&out, "\\x", absl::Hex(byte, absl::kZeroPad2));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string Word(std::string_view text, bool quoted) {
  return PlainIsSafe(text, quoted) ? std::string(text) : Quote(text);
}

bool IsInline(const Value& value) {
  return value.IsScalar() || value.IsNull() || (value.IsList() && value.items.empty()) ||
         (value.IsMap() && value.entries.empty());
}

std::string Inline(const Value& value) {
  if (value.IsScalar()) return Word(value.text, value.quoted);
  if (value.IsList()) return "[]";
  return value.IsMap() ? "{}" : "null";
}

// `first` is what stands before the first line: the indentation, or "- " of a list.
void Emit(const Value& value, size_t level, std::string first, std::string& out) {
  const std::string indent(level * 2, ' ');
  const auto child = [&](std::string head, const Value& v) {
    if (IsInline(v)) {
      StrAppend(&out, head, " ", Inline(v), "\n");
    } else {
      StrAppend(&out, head, "\n");
      Emit(v, level + 1, std::string((level + 1) * 2, ' '), out);
    }
  };
  for (const Entry& entry : value.entries) {
    child(StrCat(first, Word(entry.key, true), ":"), entry.value);
    first = indent;
  }
  for (const Value& item : value.items) {
    if (IsInline(item)) {
      StrAppend(&out, first, "- ", Inline(item), "\n");
    } else {
      Emit(item, level + 1, StrCat(first, "- "), out);
    }
    first = indent;
  }
}

}  // namespace

std::string ToYaml(const Value& root) {
  if (IsInline(root)) return StrCat(Inline(root), "\n");
  std::string out;
  Emit(root, 0, "", out);
  return out;
}

}  // namespace swarm::cli::compose
