// Listing: rows with named fields, printed as --format asks. One thread.
//
//   Listing services({{"ID"}, {"Name"}, {"Mode"}, …});
//   services.Add({"x5k…", "web", "replicated"});
//   ASSIGN_OR_RETURN(std::string text, services.Render(format));
#ifndef SWARM_CLI_OUTPUT_LISTING_H_
#define SWARM_CLI_OUTPUT_LISTING_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/output/format.h"

namespace swarm::cli {

struct Column {
  std::string field;    // in JSON and templates: "DesiredState"
  std::string heading;  // "DESIRED STATE"; "" makes it from the field's name
  bool in_table = true;
};

class Listing {
 public:
  explicit Listing(std::vector<Column> columns);

  // One cell for each column; a table's row may differ from what programs get (indentation).
  void Add(std::vector<std::string> cells) { Add(cells, cells); }
  void Add(std::vector<std::string> cells, std::vector<std::string> table_cells);

  // A table has headings even without rows; JSON and templates print a line for each row.
  absl::StatusOr<std::string> Render(const Format& format) const;
  size_t size() const { return rows_.size(); }

 private:
  struct Row {
    std::vector<std::string> cells;
    std::vector<std::string> table_cells;
  };
  std::string Table() const;
  nlohmann::ordered_json Object(const std::vector<std::string>& cells) const;
  absl::Status CheckFields(const Template& body) const;
  absl::StatusOr<std::string> FromTemplate(const Format& format) const;

  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_LISTING_H_
