// EventFilter: `events --filter`, as far as the manager has not done it. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_EVENT_FILTER_H_
#define SWARM_CLI_OUTPUT_EVENT_FILTER_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "swarm/v1/control.pb.h"

namespace swarm::cli {

// What any of is wanted; an empty one wants all.
struct EventFilter {
  std::set<std::string> types;    // "task"
  std::set<std::string> actions;  // "create", "update", "remove"
  // Ids, their beginnings or names. A service's events and its tasks'; a node's and of the tasks
  // on it; a network's.
  std::vector<std::string> services;
  std::vector<std::string> nodes;
  std::vector<std::string> networks;
  std::vector<std::string> stacks;  // names: all that is of the stack

  bool Fits(const v1::WatchEvent& event) const;
  // Nodes' names by id, for tasks, which know the id alone.
  std::map<std::string, std::string> node_names;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_EVENT_FILTER_H_
