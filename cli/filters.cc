#include "cli/filters.h"

#include "cli/compose/nearest.h"
#include "cli/errors.h"
#include "common/strings.h"

namespace swarm::cli {

absl::StatusOr<Filters> ParseFilters(const Flags& flags,
                                     std::initializer_list<std::string_view> known) {
  Filters filters;
  for (const std::string& text : flags.List("filter")) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return UsageError(StrCat("--filter ", text, ": must be KEY=VALUE"));
    }
    const std::string key = text.substr(0, equals);
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      std::string names;
      for (std::string_view name : known) StrAppend(&names, names.empty() ? "" : ", ", name);
      const std::string nearest = Nearest(key, absl::MakeConstSpan(known.begin(), known.size()));
      return UsageError(StrCat("--filter ", text, ": the keys are ", names,
                               nearest.empty() ? "" : StrCat("; did you mean ", nearest, "?")));
    }
    filters.emplace_back(key, text.substr(equals + 1));
  }
  return filters;
}

bool HasLabel(const google::protobuf::Map<std::string, std::string>& labels,
              const std::string& filter) {
  const size_t equals = filter.find('=');
  const auto it = labels.find(filter.substr(0, equals));
  if (it == labels.end()) return false;
  return equals == std::string::npos || it->second == filter.substr(equals + 1);
}

bool FitsPruneFilters(const Filters& filters,
                      const google::protobuf::Map<std::string, std::string>& labels) {
  return std::all_of(filters.begin(), filters.end(), [&labels](const auto& filter) {
    return HasLabel(labels, filter.second) == (filter.first == "label");
  });
}

}  // namespace swarm::cli
