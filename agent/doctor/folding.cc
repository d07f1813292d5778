#include "agent/doctor/folding.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/doctor/words.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using absl::StrCat;

// Findings that are OK, of one kind of check in one network.
struct Group {
  size_t findings = 0;
  size_t tasks = 0;
  absl::Duration round_trip;
};

bool CanFold(const Finding& finding) {
  const bool many = finding.check == Check::kPeer || finding.check == Check::kOverlay ||
                    finding.check == Check::kVirtualAddress ||
                    finding.check == Check::kPublishedPort;
  return many && finding.severity == Finding::Severity::kOk;
}

std::string Words(Check check, const std::string& network, const Group& group) {
  switch (check) {
    case Check::kPeer:
      return StrCat(group.findings, " nodes answer at their addresses");
    case Check::kOverlay:
      return StrCat(Count(group.tasks, "task", "tasks"), " on ", group.findings,
                    " nodes answer through network ", network);
    case Check::kVirtualAddress:
      return StrCat(group.findings, " virtual addresses in network ", network, " answer");
    default:
      return StrCat(group.findings, " published ports take connections");
  }
}

}  // namespace

std::vector<Finding> Folded(std::vector<Finding> findings, const NetworkState& state) {
  std::map<std::pair<Check, std::string>, Group> groups;
  for (const Finding& finding : findings) {
    if (!CanFold(finding)) continue;
    Group& group = groups[{finding.check, finding.network_id}];
    ++group.findings;
    group.tasks += finding.tasks;
    group.round_trip = std::max(group.round_trip, finding.round_trip);
  }
  std::vector<Finding> folded;
  for (Finding& finding : findings) {
    const auto group =
        CanFold(finding) ? groups.find({finding.check, finding.network_id}) : groups.end();
    if (group == groups.end() || group->second.findings == 1) {
      folded.push_back(std::move(finding));
    } else if (group->second.findings > 1) {
      folded.push_back(
          {.check = finding.check,
           .network_id = finding.network_id,
           .message = Words(finding.check, NetworkName(state, finding.network_id), group->second),
           .tasks = group->second.tasks,
           .round_trip = group->second.round_trip});
      group->second.findings = 0;  // said
    }
  }
  return folded;
}

}  // namespace swarm::agent
