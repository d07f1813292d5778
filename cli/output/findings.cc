#include "cli/output/findings.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using Finding = v1::NetworkFinding;

// "CHECK_PUBLISHED_PORT" is "published port".
std::string CheckWord(Finding::Check check) {
  std::string word = absl::AsciiStrToLower(Finding::Check_Name(check));
  word.erase(0, std::string_view("check_").size());
  std::replace(word.begin(), word.end(), '_', ' ');
  return word;
}

std::string SeverityWord(Finding::Severity severity) {
  switch (severity) {
    case Finding::SEVERITY_BROKEN:
      return "BROKEN";
    case Finding::SEVERITY_WARNING:
      return "WARNING";
    default:
      return "OK";
  }
}

std::string NameOr(const std::map<std::string, std::string>& names, const std::string& id) {
  const auto found = names.find(id);
  return found == names.end() ? id : found->second;
}

std::string RoundTrip(const Finding& finding) {
  return finding.has_round_trip() ? absl::FormatDuration(ToDuration(finding.round_trip())) : "";
}

// The worst first, then in the order of the checks.
struct RowKey {
  int severity;  // negative
  int check;
  std::string network;
  std::string message;
  friend auto operator<=>(const RowKey&, const RowKey&) = default;
};
struct Row {
  const Finding* first = nullptr;
  std::set<std::string> nodes;
};

}  // namespace

Listing FindingListing(const std::vector<Finding>& findings, const FindingNames& names, bool all) {
  std::map<RowKey, Row> rows;
  for (const Finding& finding : findings) {
    if (!all && finding.severity() <= Finding::SEVERITY_OK) continue;
    Row& row = rows[{-static_cast<int>(finding.severity()), static_cast<int>(finding.check()),
                     NameOr(names.networks, finding.network_id()), finding.message()}];
    if (row.first == nullptr) row.first = &finding;
    row.nodes.insert(NameOr(names.nodes, finding.node_id()));
  }
  Listing listing({{"State"},
                   {"Check"},
                   {"Nodes", "FROM"},
                   {"Network"},
                   {"Message", "FOUND"},
                   {"Peer", "", false},
                   {"Service", "", false},
                   {"Task", "", false},
                   {"RoundTrip", "", false}});
  for (const auto& [key, row] : rows) {
    const Finding& finding = *row.first;
    listing.Add({SeverityWord(finding.severity()), CheckWord(finding.check()),
                 absl::StrJoin(row.nodes, ", "), key.network, key.message,
                 NameOr(names.nodes, finding.peer_node_id()), finding.service_id(),
                 finding.task_id(), RoundTrip(finding)});
  }
  return listing;
}

FindingCounts CountFindings(const std::vector<Finding>& findings) {
  FindingCounts counts;
  std::set<std::string> nodes, looked;
  for (const Finding& finding : findings) {
    ++counts.checks;
    if (!finding.node_id().empty()) nodes.insert(finding.node_id());
    const bool says_why_not =
        finding.check() == Finding::CHECK_NODE && finding.severity() > Finding::SEVERITY_OK;
    if (!finding.node_id().empty() && !says_why_not) looked.insert(finding.node_id());
    if (finding.severity() == Finding::SEVERITY_BROKEN) ++counts.broken;
    if (finding.severity() == Finding::SEVERITY_WARNING) ++counts.warnings;
  }
  counts.nodes = nodes.size();
  counts.unlooked = nodes.size() - looked.size();
  return counts;
}

std::string FindingSummary(const FindingCounts& counts) {
  const auto count = [](size_t n, const char* one) {
    return StrCat(n, " ", one, n == 1 ? "" : "s");
  };
  std::string text = StrCat(count(counts.checks, "check"), " on ", count(counts.nodes, "node"),
                            ", ", counts.broken, " broken");
  if (counts.warnings > 0) StrAppend(&text, ", ", count(counts.warnings, "warning"));
  if (counts.unlooked > 0) StrAppend(&text, ", ", count(counts.unlooked, "node"), " not looked at");
  return text;
}

}  // namespace swarm::cli
