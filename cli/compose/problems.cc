#include "cli/compose/problems.h"

#include <algorithm>

#include "common/strings.h"

namespace swarm::cli::compose {

void Problems::Invalid(std::string_view where, std::string_view path, std::string_view why) {
  invalid_.push_back(OneLine(StrCat(where, ": ", path, ": ", why)));
}

void Problems::NotBuilt(std::string_view where, std::string_view path) {
  not_built_.push_back({std::string(where), OneLine(path)});
}

void Problems::Warn(std::string_view where, std::string_view path, std::string_view what) {
  warnings_.push_back(OneLine(StrCat(where, ": ", path, " ", what)));
}

absl::Status Problems::ToStatus(bool not_built_passes) const {
  if (!invalid_.empty()) {
    std::string message = invalid_[0];
    if (invalid_.size() > 1) StrAppend(&message, " (and ", invalid_.size() - 1, " more)");
    return absl::InvalidArgumentError(ToAbsl(message));
  }
  if (not_built_.empty() || not_built_passes) return absl::OkStatus();
  std::string message = StrCat(not_built_[0].where, ": ", not_built_[0].path, " is not built yet");
  constexpr size_t kMostNamed = 10;
  const size_t named = std::min(not_built_.size(), kMostNamed);
  for (size_t i = 1; i < named; ++i) {
    StrAppend(&message, i == 1 ? "; nor are " : ", ", not_built_[i].path);
  }
  if (named < not_built_.size()) {
    StrAppend(&message, " and ", not_built_.size() - named, " more");
  }
  return absl::UnimplementedError(message);
}

}  // namespace swarm::cli::compose
