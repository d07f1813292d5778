// What lists and `inspect` share: their flags, filters and printing. One thread.
#ifndef SWARM_CLI_PS_H_
#define SWARM_CLI_PS_H_

#include <string>
#include <utility>
#include <vector>

#include "cli/app.h"
#include "cli/filters.h"
#include "cli/output/listing.h"

namespace swarm::cli {

// What a NODE argument means to the manager: "self" is this node's id, the rest stays.
absl::StatusOr<std::string> NodeRef(Invocation& in, const std::string& argument);

// --no-trunc --no-resolve --quiet --filter
std::vector<FlagRule> PsFlags();
// Prints the tasks as the flags say.
absl::Status PrintTasks(Invocation& in, std::vector<v1::Task> tasks);

// Of `service ls` and `stack services`: --quiet --no-trunc --filter
std::vector<FlagRule> ServiceListFlags();
// Prints the services as the flags say.
absl::Status PrintServices(Invocation& in, std::vector<v1::Service> services);

// Of an `ls`: --quiet --filter, whose keys are in `keys`: "id, name or label".
std::vector<FlagRule> ListFlags(std::string_view keys, std::string_view quiet = "ids alone");
// Of one whose table cuts what is long: --no-trunc too.
std::vector<FlagRule> CuttingListFlags(std::string_view keys);
// One a line for --quiet; else `listing` as --format says.
absl::Status PrintListing(Invocation& in, const std::vector<std::string>& ids,
                          const Listing& listing);

// Docker's `-f` of `inspect`, `info` and `version`, where no filter takes the letter.
FlagRule FormatFlag();
// Of `inspect`: --pretty, --format.
std::vector<FlagRule> InspectFlags();

}  // namespace swarm::cli

#endif  // SWARM_CLI_PS_H_
