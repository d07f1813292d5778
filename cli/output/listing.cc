#include "cli/output/listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "cli/output/json.h"
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
  for (const Row& row : rows_) StrAppend(&out, Dump(Object(row.cells)), "\n");
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

nlohmann::ordered_json Listing::Object(const std::vector<std::string>& cells) const {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (size_t i = 0; i < columns_.size(); ++i) object[columns_[i].field] = cells[i];
  return object;
}

// What it names must be a column, even where there are no rows.
absl::Status Listing::CheckFields(const Template& body) const {
  std::string known;
  for (const Column& column : columns_) {
    StrAppend(&known, known.empty() ? "." : ", .", column.field);
  }
  const auto is_column = [this](std::string_view name) {
    return std::any_of(columns_.begin(), columns_.end(),
                       [name](const Column& column) { return column.field == name; });
  };
  for (const Template::Field& field : body.RootFields()) {
    if (field.path.empty() || is_column(field.path[0])) continue;
    if (field.path[0] == "Label" && field.takes_argument && is_column("Labels")) continue;
    return absl::InvalidArgumentError(StrCat("template position ", field.position,
                                             ": there is no field .", field.path[0], "; there are ",
                                             known));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Listing::FromTemplate(const Format& format) const {
  RETURN_IF_ERROR(CheckFields(*format.body));
  std::vector<std::string> lines;
  if (format.with_headings) {
    std::vector<std::string> headings;
    for (const Column& column : columns_) headings.push_back(column.heading);
    ASSIGN_OR_RETURN(std::string line, format.body->Execute(Object(headings), /*headings=*/true));
    lines.push_back(std::move(line));
  }
  for (const Row& row : rows_) {
    ASSIGN_OR_RETURN(std::string line, format.body->Execute(Object(row.cells)));
    lines.push_back(std::move(line));
  }
  if (format.with_headings) return AlignColumns(lines);
  std::string out;
  for (const std::string& line : lines) StrAppend(&out, line, "\n");
  return out;
}

}  // namespace swarm::cli
