// What nodes found out about networks, as `network doctor` shows it. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_FINDINGS_H_
#define SWARM_CLI_OUTPUT_FINDINGS_H_

#include <map>
#include <string>
#include <vector>

#include "cli/output/listing.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

struct FindingNames {
  std::map<std::string, std::string> nodes;     // by id
  std::map<std::string, std::string> networks;  // by id
};

struct FindingCounts {
  size_t checks = 0;  // findings, whatever they say
  size_t nodes = 0;   // that looked or should have
  size_t broken = 0;
  size_t warnings = 0;
  // Nodes that said nothing but why they or the manager could not look: all that is known of them
  // are findings of CHECK_NODE that are not OK.
  size_t unlooked = 0;
};

// Broken ones first; the same words of several nodes are one row. Those that are OK only with
// `all`.
Listing FindingListing(const std::vector<v1::NetworkFinding>& findings, const FindingNames& names,
                       bool all);
FindingCounts CountFindings(const std::vector<v1::NetworkFinding>& findings);
// "12 checks on 3 nodes, 0 broken", "12 checks on 3 nodes, 2 broken, 1 warning, 1 node not looked
// at".
std::string FindingSummary(const FindingCounts& counts);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_FINDINGS_H_
