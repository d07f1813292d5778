// Fields reads the values of one map of a stack file; what is wrong goes to Problems with its file,
// line and path, and the reader gets nothing. One thread; the map outlives it.
#ifndef SWARM_CLI_COMPOSE_FIELDS_H_
#define SWARM_CLI_COMPOSE_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cli/compose/document.h"
#include "cli/compose/problems.h"

namespace swarm::cli::compose {

class Fields {
 public:
  // `map` may be null: a section that is not there.
  Fields(const Value* map, std::string path, Problems& problems)
      : map_(map), path_(std::move(path)), problems_(problems) {}

  // Null when the key is missing or its value is.
  const Value* Get(std::string_view key) const;
  Fields Section(std::string_view key) const;
  std::string Path(std::string_view key) const;
  // "file:line: path: why" about the key's value.
  void Refuse(std::string_view key, std::string_view why) const;

  std::optional<std::string> Text(std::string_view key) const;
  std::optional<bool> Switch(std::string_view key) const;
  std::optional<int64_t> Number(std::string_view key, int64_t least, int64_t most) const;
  std::optional<absl::Duration> DurationOf(std::string_view key) const;
  std::optional<int64_t> Bytes(std::string_view key) const;
  std::optional<int64_t> NanoCpus(std::string_view key) const;
  // A list of words, or one word.
  std::vector<std::string> List(std::string_view key) const;
  // A list taken as it is, or one text split as a shell would.
  std::optional<std::vector<std::string>> CommandLine(std::string_view key) const;
  // Nothing for a null value.
  std::vector<std::pair<std::string, std::optional<std::string>>> Map(std::string_view key) const;

 private:
  const Value* map_;
  std::string path_;
  Problems& problems_;
};

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_FIELDS_H_
