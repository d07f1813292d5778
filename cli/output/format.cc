#include "cli/output/format.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

absl::StatusOr<TemplatePart> ParseAction(std::string_view action) {
  const auto refuse = [action](std::string_view why) {
    return absl::InvalidArgumentError(
        StrCat("template {{", action, "}}: ", why,
               "; {{.Field}}, {{.Field.Inner}} and {{json .Field}} are"));
  };
  std::string_view text = ToStd(absl::StripAsciiWhitespace(ToAbsl(action)));
  TemplatePart part;
  part.is_field = true;
  if (text.starts_with("json ")) {
    part.as_json = true;
    text = ToStd(absl::StripAsciiWhitespace(ToAbsl(text.substr(5))));
  }
  if (!text.starts_with(".")) {
    const size_t end = text.find_first_of(" \t");
    return refuse(StrCat("\"", text.substr(0, end), "\" is not supported"));
  }
  text.remove_prefix(1);
  while (!text.empty()) {
    const size_t dot = std::min(text.find('.'), text.size());
    const std::string_view name = text.substr(0, dot);
    const bool fine = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isalnum(c) || c == '_' || c == '-';
    });
    if (!fine) return refuse("is not supported");
    part.path.emplace_back(name);
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  if (part.path.empty() && !part.as_json)
    return refuse("the whole object needs {{json .}}: that alone is not supported");
  return part;
}

std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == '\\' && (next == 't' || next == 'n')) {
      out += next == 't' ? '\t' : '\n';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Columns on the screen: UTF-8's continuation bytes take none.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::vector<std::string_view> Cells(std::string_view line) {
  std::vector<std::string_view> cells;
  for (size_t tab = 0; tab != std::string_view::npos;) {
    tab = line.find('\t');
    cells.push_back(line.substr(0, tab));
    if (tab != std::string_view::npos) line.remove_prefix(tab + 1);
  }
  return cells;
}

}  // namespace

absl::StatusOr<Format> Format::Parse(std::string_view text) {
  Format format;
  if (text.empty() || text == "table") return format;
  if (text == "json") {
    format.kind = Kind::kJson;
    return format;
  }
  format.kind = Kind::kTemplate;
  if (text.starts_with("table ")) {
    format.with_headings = true;
    text.remove_prefix(6);
  } else if (text.find("{{") == std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat("\"", text, "\" is neither table nor json nor a template with {{.Field}}"));
  }
  while (!text.empty()) {
    const size_t open = std::min(text.find("{{"), text.size());
    if (open > 0) format.parts.push_back({false, false, Unescape(text.substr(0, open)), {}});
    text.remove_prefix(open);
    if (text.empty()) break;
    const size_t close = text.find("}}");
    if (close == std::string_view::npos) {
      return absl::InvalidArgumentError("template: {{ is never closed");
    }
    ASSIGN_OR_RETURN(TemplatePart part, ParseAction(text.substr(2, close - 2)));
    format.parts.push_back(std::move(part));
    text.remove_prefix(close + 2);
  }
  return format;
}

absl::StatusOr<std::string> Format::Fill(const FieldOf& field_of, std::string_view known) const {
  std::string out;
  for (const TemplatePart& part : parts) {
    if (!part.is_field) {
      out += part.text;
      continue;
    }
    const std::optional<std::string> value = field_of(part);
    if (!value) {
      std::string path;
      for (const std::string& name : part.path) StrAppend(&path, ".", name);
      return absl::InvalidArgumentError(
          StrCat("template: there is no field ", path, "; there are ", known));
    }
    out += *value;
  }
  return out;
}

std::string AlignColumns(const std::vector<std::string>& lines) {
  std::vector<size_t> widths;
  for (const std::string& line : lines) {
    const std::vector<std::string_view> cells = Cells(line);
    widths.resize(std::max(widths.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], Width(cells[i]));
  }
  std::string out;
  for (const std::string& line : lines) {
    const std::vector<std::string_view> cells = Cells(line);
    std::string row;
    for (size_t i = 0; i < cells.size(); ++i) {
      row += cells[i];
      if (i + 1 < cells.size()) row.append(widths[i] - Width(cells[i]) + 3, ' ');
    }
    while (row.ends_with(' ')) row.pop_back();
    StrAppend(&out, row, "\n");
  }
  return out;
}

}  // namespace swarm::cli
