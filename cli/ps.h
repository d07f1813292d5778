// What lists and `inspect` share: their flags, filters and printing. One thread.
#ifndef SWARM_CLI_PS_H_
#define SWARM_CLI_PS_H_

#include <string>
#include <utility>
#include <vector>

#include "cli/app.h"

namespace swarm::cli {

// What a NODE argument means to the manager: "self" is this node's id, the rest stays.
absl::StatusOr<std::string> NodeRef(Invocation& in, const std::string& argument);

// --no-trunc --no-resolve --quiet --filter
std::vector<FlagRule> PsFlags();
// Prints the tasks as the flags say.
absl::Status PrintTasks(Invocation& in, std::vector<v1::Task> tasks);

// Of `service ls` and `stack services`: --quiet --filter
std::vector<FlagRule> ServiceListFlags();
// Prints the services as the flags say.
absl::Status PrintServices(Invocation& in, std::vector<v1::Service> services);

// `--filter KEY=VALUE`, each KEY one of `known`; a usage error else.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseFilters(
    const Flags& flags, std::initializer_list<std::string_view> known);

// "key" or "key=value" against labels.
bool HasLabel(const google::protobuf::Map<std::string, std::string>& labels,
              const std::string& filter);

// Docker's `-f` of `inspect`, `info` and `version`, where no filter takes the letter.
FlagRule FormatFlag();
// Of `inspect`: --pretty, --format.
std::vector<FlagRule> InspectFlags();

}  // namespace swarm::cli

#endif  // SWARM_CLI_PS_H_
