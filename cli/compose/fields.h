// Fields reads the values of one map of a stack file; what is wrong goes to Problems with its file,
// line and path, and the reader gets nothing. One thread; the map outlives it.
#ifndef SWARM_CLI_COMPOSE_FIELDS_H_
#define SWARM_CLI_COMPOSE_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/compose/document.h"
#include "cli/compose/problems.h"
#include "common/strings.h"

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
  // The map itself; null for a section that is not there. Of Items it may be any value.
  const Value* value() const { return map_; }
  // "file:line: path: why" about the key's value.
  void Refuse(std::string_view key, std::string_view why) const;
  // About one item of the key's value.
  void RefuseAt(std::string_view key, const Value& item, std::string_view why) const;
  // About one entry of this map.
  void RefuseAt(const Entry& entry, std::string_view why) const;

  std::optional<std::string> Text(std::string_view key) const;
  std::optional<bool> Switch(std::string_view key) const;
  std::optional<int64_t> Number(std::string_view key, int64_t least, int64_t most) const;
  std::optional<absl::Duration> DurationOf(std::string_view key) const;
  std::optional<int64_t> Bytes(std::string_view key) const;
  std::optional<int64_t> NanoCpus(std::string_view key) const;
  // What `parse` makes of the text; it gives a StatusOr.
  template <typename Parse>
  auto With(std::string_view key, Parse parse) const {
    using Parsed = std::invoke_result_t<Parse, const std::string&>;
    std::optional<typename Parsed::value_type> result;
    const std::optional<std::string> text = Text(key);
    if (!text) return result;
    Parsed parsed = parse(*text);
    if (parsed.ok()) {
      result = *std::move(parsed);
    } else {
      Refuse(key, ToStd(parsed.status().message()));
    }
    return result;
  }
  // Into what `field` gives, a google::protobuf::Duration*; only asked for when there is a value.
  template <typename Field>
  void SetDuration(std::string_view key, Field field) const {
    const std::optional<absl::Duration> duration = DurationOf(key);
    if (!duration) return;
    auto* to = field();
    to->set_seconds(absl::ToInt64Seconds(*duration));
    to->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(*duration - absl::Seconds(to->seconds()))));
  }
  // One for each item of a list, with "key[0]" as its path.
  std::vector<Fields> Items(std::string_view key) const;
  // The items of a list of texts, or one text: where each stands.
  std::vector<const Value*> Texts(std::string_view key) const;
  // What they say.
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
