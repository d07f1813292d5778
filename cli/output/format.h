// What --format asks for: a table for people, JSON for programs (one object a line), or a template.
//
//   ASSIGN_OR_RETURN(Format format, Format::Parse("{{.ID}}\t{{.Name}}"));
//
// Templates are Go's in their simplest form: text and {{.Field}}, {{.Field.Inner}}, {{json .}} and
// {{json .Field}}; \t and \n in the text stand for themselves; `table ` in front adds headings and
// columns. Everything else that Go has is refused by name. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_FORMAT_H_
#define SWARM_CLI_OUTPUT_FORMAT_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::cli {

struct TemplatePart {
  bool is_field = false;
  bool as_json = false;
  std::string text;               // not is_field
  std::vector<std::string> path;  // is_field; empty is the whole object
};

struct Format {
  enum class Kind { kTable, kJson, kTemplate };
  Kind kind = Kind::kTable;
  std::vector<TemplatePart> parts;  // kTemplate
  bool with_headings = false;       // kTemplate with `table `

  // "" and "table" are the table. InvalidArgument says what of a template is not supported.
  static absl::StatusOr<Format> Parse(std::string_view text);

  // The field's text, or its JSON; nullopt when there is no such field.
  using FieldOf = std::function<std::optional<std::string>(const TemplatePart& part)>;
  // The template once, without a line's end. InvalidArgument for a field that is not there, with
  // `known` as the ones that are.
  absl::StatusOr<std::string> Fill(const FieldOf& field_of, std::string_view known) const;
};

// Columns padded to their longest cell plus three spaces, as Docker prints; "\t" ends a cell.
std::string AlignColumns(const std::vector<std::string>& lines);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_FORMAT_H_
