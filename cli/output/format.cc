#include "cli/output/format.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

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
  constexpr std::string_view kTable = "table ";
  Format format;
  if (text.empty() || text == "table") return format;
  if (text == "json") {
    format.kind = Kind::kJson;
    return format;
  }
  format.kind = Kind::kTemplate;
  format.with_headings = text.starts_with(kTable);
  if (!format.with_headings && text.find("{{") == std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat("\"", text, "\" is neither table nor json nor a template with {{.Field}}"));
  }
  const size_t offset = format.with_headings ? kTable.size() : 0;
  ASSIGN_OR_RETURN(format.body, Template::Parse(text.substr(offset), offset));
  return format;
}

size_t ScreenWidth(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), Continues));
}

std::string CutToWidth(std::string_view text, size_t columns) {
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    if (!Continues(text[end]) && seen++ == columns) break;
  }
  return std::string(text.substr(0, end));
}

std::string AlignColumns(const std::vector<std::string>& lines) {
  std::vector<size_t> widths;
  for (const std::string& line : lines) {
    const std::vector<std::string_view> cells = Cells(line);
    widths.resize(std::max(widths.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i) {
      widths[i] = std::max(widths[i], ScreenWidth(cells[i]));
    }
  }
  std::string out;
  for (const std::string& line : lines) {
    const std::vector<std::string_view> cells = Cells(line);
    std::string row;
    for (size_t i = 0; i < cells.size(); ++i) {
      row += cells[i];
      if (i + 1 < cells.size()) row.append(widths[i] - ScreenWidth(cells[i]) + 3, ' ');
    }
    while (row.ends_with(' ')) row.pop_back();
    StrAppend(&out, row, "\n");
  }
  return out;
}

}  // namespace swarm::cli
