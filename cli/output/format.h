// What --format asks for: a table for people, JSON for programs (one object a line), or a template.
//
//   ASSIGN_OR_RETURN(Format format, Format::Parse("{{.ID}}\t{{.Name}}"));
//
// Templates are Go's (cli/template); `table ` in front adds headings and columns. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_FORMAT_H_
#define SWARM_CLI_OUTPUT_FORMAT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/template/template.h"

namespace swarm::cli {

struct Format {
  enum class Kind { kTable, kJson, kTemplate };
  Kind kind = Kind::kTable;
  std::optional<Template> body;  // kTemplate
  bool with_headings = false;    // kTemplate with `table `

  // "" and "table" are the table. InvalidArgument says where and what is wrong with a template.
  static absl::StatusOr<Format> Parse(std::string_view text);
};

// Columns padded to their longest cell plus three spaces, as Docker prints; "\t" ends a cell.
std::string AlignColumns(const std::vector<std::string>& lines);

// Columns on the screen: UTF-8's continuation bytes take none.
size_t ScreenWidth(std::string_view text);
// As much of it as fits into so many columns.
std::string CutToWidth(std::string_view text, size_t columns);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_FORMAT_H_
