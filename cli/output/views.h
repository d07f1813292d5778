// The lists of `ls` and `ps`, with Docker's own columns and field names. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_VIEWS_H_
#define SWARM_CLI_OUTPUT_VIEWS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/output/listing.h"
#include "swarm/v1/node_local.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

// The order of the lists below, for those who print ids alone: services by name, nodes by host
// name, tasks by service name, run (the newest first) and slot, newest first in a slot.
void SortForListing(std::vector<v1::Service>& services);
void SortForListing(std::vector<v1::Node>& nodes);
void SortForListing(std::vector<v1::Task>& tasks);

// `now` says how long it is to the next run of a cron job.
Listing ServiceListing(std::vector<v1::Service> services, bool whole_ids, absl::Time now);

// The revisions of `service` that are kept, newest first.
Listing HistoryListing(const v1::Service& service, std::vector<v1::Revision> revisions,
                       absl::Time now, bool whole);

// `self` is marked with a star; may be empty.
Listing NodeListing(std::vector<v1::Node> nodes, const std::string& self);

struct TaskView {
  absl::Time now;
  bool whole = false;                             // --no-trunc
  std::map<std::string, std::string> node_names;  // id to hostname; empty: ids are shown
  std::map<std::string, std::string> ports;       // what a task's node answers for it, by its id
};
// Older tasks of a slot are indented in the table.
Listing TaskListing(std::vector<v1::Task> tasks, const TaskView& view);

// An image as people write it: without docker.io/library/.
std::string FamiliarName(std::string reference);
Listing ImageListing(const std::vector<v1::Image>& images, absl::Time now, bool whole_ids);

// Stack name to number of services.
Listing StackListing(const std::map<std::string, size_t>& stacks);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_VIEWS_H_
