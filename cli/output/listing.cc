#include "cli/output/listing.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// "DesiredState" is "DESIRED STATE", "ID" is "ID".
std::string HeadingOf(std::string_view field) {
  std::string heading;
  for (size_t i = 0; i < field.size(); ++i) {
    const bool begins_word =
        absl::ascii_isupper(field[i]) && i > 0 && absl::ascii_islower(field[i - 1]);
    if (begins_word) heading += ' ';
    heading += absl::ascii_toupper(field[i]);
  }
  return heading;
}

// A cell must not break the line or the column, nor tell the terminal anything: no C0, no DEL and,
// in UTF-8, no C1.
std::string OneLine(std::string text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) text[i] = ' ';
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      text.replace(i, 2, " ");
    }
  }
  return text;
}

}  // namespace

std::string JsonText(std::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Listing::Listing(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& column : columns_) {
    if (column.heading.empty()) column.heading = HeadingOf(column.field);
  }
}

void Listing::Add(std::vector<std::string> cells, std::vector<std::string> table_cells) {
  cells.resize(columns_.size());
  table_cells.resize(columns_.size());
  rows_.push_back({std::move(cells), std::move(table_cells)});
}

absl::StatusOr<std::string> Listing::Render(const Format& format) const {
  if (format.kind == Format::Kind::kTable) return Table();
  if (format.kind == Format::Kind::kTemplate) return FromTemplate(format);
  std::string out;
  for (const Row& row : rows_) StrAppend(&out, Json(row), "\n");
  return out;
}

std::string Listing::Table() const {
  std::vector<std::string> lines;
  const auto add = [&](auto cell_of) {
    std::string line;
    bool first = true;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (!columns_[i].in_table) continue;
      StrAppend(&line, first ? "" : "\t", OneLine(cell_of(i)));
      first = false;
    }
    lines.push_back(std::move(line));
  };
  add([this](size_t i) { return columns_[i].heading; });
  for (const Row& row : rows_) add([&row](size_t i) { return row.table_cells[i]; });
  return AlignColumns(lines);
}

std::string Listing::Json(const Row& row) const {
  std::string out = "{";
  for (size_t i = 0; i < columns_.size(); ++i) {
    StrAppend(&out, i == 0 ? "" : ",", JsonText(columns_[i].field), ":", JsonText(row.cells[i]));
  }
  return out + "}";
}

absl::StatusOr<std::string> Listing::FromTemplate(const Format& format) const {
  std::string known;
  for (const Column& column : columns_) {
    StrAppend(&known, known.empty() ? "." : ", .", column.field);
  }
  const auto field_of = [this](const TemplatePart& part, const Row* row) {
    if (part.path.empty()) return std::optional(row == nullptr ? "" : Json(*row));
    for (size_t i = 0; i < columns_.size() && part.path.size() == 1; ++i) {
      if (columns_[i].field != part.path[0]) continue;
      if (row == nullptr) return std::optional(columns_[i].heading);
      return std::optional(part.as_json ? JsonText(row->cells[i]) : row->cells[i]);
    }
    return std::optional<std::string>();
  };
  const auto fill = [&](const Row* row) {
    return format.Fill([&](const TemplatePart& part) { return field_of(part, row); }, known);
  };
  std::vector<std::string> lines;
  ASSIGN_OR_RETURN(std::string headings, fill(nullptr));  // also refuses fields that are not there
  if (format.with_headings) lines.push_back(std::move(headings));
  for (const Row& row : rows_) {
    ASSIGN_OR_RETURN(std::string line, fill(&row));
    lines.push_back(std::move(line));
  }
  if (format.with_headings) return AlignColumns(lines);
  std::string out;
  for (const std::string& line : lines) StrAppend(&out, line, "\n");
  return out;
}

}  // namespace swarm::cli
