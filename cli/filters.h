// `--filter KEY=VALUE` of lists. Pure.
//
//   ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in.flags, {"id", "name", "label"}));
//   KeepFitting(volumes, filters, [](const v1::Volume& volume, const auto& key, const auto& value)
//   …);
#ifndef SWARM_CLI_FILTERS_H_
#define SWARM_CLI_FILTERS_H_

#include <google/protobuf/map.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/flags.h"

namespace swarm::cli {

using Filters = std::vector<std::pair<std::string, std::string>>;

// Each KEY is one of `known`; a usage error else, with the nearest.
absl::StatusOr<Filters> ParseFilters(const Flags& flags,
                                     std::initializer_list<std::string_view> known);

// "key" or "key=value" against labels.
bool HasLabel(const google::protobuf::Map<std::string, std::string>& labels,
              const std::string& filter);

// Of `prune`: every "label" is there and no "label!" is.
bool FitsPruneFilters(const Filters& filters,
                      const google::protobuf::Map<std::string, std::string>& labels);

// As docker: of one key any value will do, of labels all must be there, and every key must fit.
// `fits` gets a key and a value.
template <typename Fits>
bool FitsFilters(const Filters& filters, const Fits& fits) {
  return std::all_of(filters.begin(), filters.end(), [&](const auto& wanted) {
    if (wanted.first.ends_with("label")) return fits(wanted.first, wanted.second);
    return std::any_of(filters.begin(), filters.end(), [&](const auto& one) {
      return one.first == wanted.first && fits(one.first, one.second);
    });
  });
}

// Takes out what does not fit: `fits` gets one of them, a key and a value.
template <typename T, typename Fits>
void KeepFitting(std::vector<T>& all, const Filters& filters, const Fits& fits) {
  const auto unfit = [&](const T& one) {
    return !FitsFilters(filters, [&](const std::string& key, const std::string& value) {
      return fits(one, key, value);
    });
  };
  all.erase(std::remove_if(all.begin(), all.end(), unfit), all.end());
}

}  // namespace swarm::cli

#endif  // SWARM_CLI_FILTERS_H_
