#include "cli/network_doctor.h"

#include <utility>

#include "absl/strings/str_join.h"
#include "cli/errors.h"
#include "cli/output/findings.h"
#include "cli/output/words.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);
constexpr absl::Duration kLeastTimeout = absl::Seconds(6);  // a look takes up to 5 s
constexpr absl::Duration kMostTimeout = absl::Seconds(60);
// Beyond the timeout, after which the manager ends the stream.
constexpr absl::Duration kPatience = absl::Seconds(30);

absl::StatusOr<v1::DiagnoseNetworksRequest> RequestFrom(const Invocation& in) {
  v1::DiagnoseNetworksRequest request;
  for (const std::string& ref : in.arguments()) request.add_network_refs(ref);
  for (const std::string& ref : in.flags.List("node")) request.add_node_refs(ref);
  ASSIGN_OR_RETURN(const auto timeout, in.flags.DurationOf("timeout"));
  SetDuration(timeout.value_or(kDefaultTimeout), request.mutable_timeout());
  if (timeout && (*timeout < kLeastTimeout || *timeout > kMostTimeout)) {
    return UsageError(StrCat("--timeout=", in.flags.Text("timeout"), ": must be 6s to 60s"));
  }
  return request;
}

absl::StatusOr<std::vector<v1::NetworkFinding>> Collect(
    ManagerClient& manager, const v1::DiagnoseNetworksRequest& request) {
  std::vector<v1::NetworkFinding> findings;
  const auto stream = manager.DiagnoseNetworks(request);
  while (true) {
    absl::StatusOr<std::optional<v1::NetworkFinding>> finding =
        stream->Next(ToDuration(request.timeout()) + kPatience);
    if (absl::IsOutOfRange(finding.status())) return findings;
    RETURN_IF_ERROR(finding.status());
    if (!finding->has_value()) {
      return WithExit(absl::DeadlineExceededError("the manager did not answer in time"),
                      kExitTimedOut);
    }
    findings.push_back(*std::move(*finding));
  }
}

absl::StatusOr<FindingNames> NamesFrom(ManagerClient& manager) {
  FindingNames names;
  ASSIGN_OR_RETURN(const std::vector<v1::Node> nodes, ListAllNodes(manager));
  names.nodes = NamesOfNodes(nodes);
  ASSIGN_OR_RETURN(const std::vector<v1::Network> networks, ListAllNetworks(manager));
  for (const v1::Network& network : networks) names.networks[network.id()] = network.spec().name();
  return names;
}

// What was not looked at is not known to be well.
absl::Status Verdict(const FindingCounts& counts) {
  std::vector<std::string> wrong;
  if (counts.broken > 0) {
    wrong.push_back(counts.broken == 1
                        ? "1 check of networks found something broken"
                        : StrCat(counts.broken, " checks of networks found something broken"));
  }
  if (counts.unlooked > 0) {
    wrong.push_back(counts.unlooked == 1 ? "1 node was not looked at"
                                         : StrCat(counts.unlooked, " nodes were not looked at"));
  }
  if (counts.checks == 0) wrong.push_back("no node looked at its networks");
  return wrong.empty() ? absl::OkStatus()
                       : absl::FailedPreconditionError(absl::StrJoin(wrong, "; "));
}

}  // namespace

std::vector<FlagRule> NetworkDoctorFlags() {
  return {
      {"node", 0, FlagKind::kList, "NODE", "let this node look (all); may be repeated"},
      {"timeout", 0, FlagKind::kText, "DURATION", "for nodes to answer, 6s to 60s (10s)"},
      {"verbose", 'v', FlagKind::kSwitch, "", "also what is as it should be"},
  };
}

absl::Status NetworkDoctor(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  ASSIGN_OR_RETURN(const v1::DiagnoseNetworksRequest request, RequestFrom(in));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const std::vector<v1::NetworkFinding> findings, Collect(*manager, request));
  ASSIGN_OR_RETURN(const FindingNames names, NamesFrom(*manager));
  const Listing listing = FindingListing(findings, names, in.flags.On("verbose"));
  const FindingCounts counts = CountFindings(findings);
  const bool for_people = format.kind == Format::Kind::kTable;
  if (listing.size() > 0 || !for_people) {
    ASSIGN_OR_RETURN(const std::string text, listing.Render(format));
    in.Out(text);
  }
  if (for_people) in.Out(StrCat(FindingSummary(counts), "\n"));
  return Verdict(counts);
}

}  // namespace swarm::cli
