#include "agent/doctor/kernel_verdict.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/doctor/words.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

using Severity = Finding::Severity;
using absl::StrCat;

// "10.0.1.7 (web.2)", of an address that a task has.
std::string NameAddress(const NetworkState& state, const IpAddress& address) {
  for (const auto& [key, task] : state.tasks) {
    if (task.v4 != address && task.v6 != address) continue;
    return StrCat(address.ToString(), " (", ShortName(state, task.task_id), ")");
  }
  return address.ToString();
}

std::string NameDestination(const NetworkState& state, const IpPrefix& prefix) {
  return prefix.length == prefix.base.width() ? NameAddress(state, prefix.base) : prefix.ToString();
}

// Each thing that a state holds, in words.
std::vector<std::string> Things(const NetworkState& state, const NamespaceState& kernel) {
  std::vector<std::string> things;
  for (const auto& [link, vxlan] : kernel.vxlans) things.push_back(StrCat("the VXLAN link ", link));
  for (const LinkAddress& address : kernel.addresses) {
    things.push_back(StrCat("address ", address.address.ToString(), " of ", address.link));
  }
  for (const auto& [key, route] : kernel.routes) {
    things.push_back(StrCat("the route to ", NameDestination(state, key.destination)));
  }
  for (const auto& [key, mac] : kernel.neighbours) {
    things.push_back(StrCat("the hardware address of ", NameAddress(state, key.second)));
  }
  for (const auto& [key, to] : kernel.forwarding) {
    things.push_back(StrCat("the way of ", key.first, " to ", to.ToString()));
  }
  for (const MarkRule& rule : kernel.rules) {
    things.push_back(StrCat("the rule for mark ", absl::Hex(rule.mark)));
  }
  return things;
}

// What is wrong, one sentence a kind.
std::vector<std::string> Wrong(const NetworkState& state, const RouterComparison& comparison) {
  std::vector<std::string> wrong;
  const auto missing = [&](const std::vector<std::string>& things, const char* where) {
    if (things.empty()) return;
    wrong.push_back(
        StrCat(where, Some(things), things.size() == 1 ? " is" : " are", " missing or wrong"));
  };
  const auto bad = [&](const std::vector<std::string>& links, const char* where) {
    if (links.empty()) return;
    wrong.push_back(StrCat(where, "link ", Some(links), links.size() == 1 ? " is" : " are",
                           " missing or down"));
  };
  bad(comparison.bad_host_links, "in the host ");
  bad(comparison.bad_router_links, "in the router ");
  missing(Things(state, comparison.router.put), "in the router ");
  missing(Things(state, comparison.host.put), "in the host ");
  if (comparison.router_table_changed) {
    wrong.push_back("somebody changed the router's nftables rules");
  }
  if (comparison.host_table_changed) {
    wrong.push_back("somebody changed the nftables table inet swarm of the host");
  }
  if (comparison.forward4_off) wrong.push_back("the host does not forward IPv4 (ip_forward is 0)");
  if (comparison.forward6_off) wrong.push_back("the host does not forward IPv6");
  return wrong;
}

}  // namespace

Finding JudgeKernel(const NetworkState& state, const RouterComparison& comparison) {
  Finding finding{.check = Finding::Check::kKernelState};
  std::vector<std::string> wrong = Wrong(state, comparison);
  finding.severity = wrong.empty() ? Severity::kOk : Severity::kBroken;
  std::vector<std::string> extra = Things(state, comparison.router.remove);
  for (std::string& thing : Things(state, comparison.host.remove)) {
    extra.push_back(std::move(thing));
  }
  if (!extra.empty()) {
    if (wrong.empty()) finding.severity = Severity::kWarning;
    wrong.push_back(
        StrCat(Some(extra), extra.size() == 1 ? " is" : " are", " there and should not be"));
  }
  finding.message = wrong.empty() ? "the kernel holds what it should"
                                  : StrCat(absl::StrJoin(wrong, "; "), "; put right within 10 s");
  return finding;
}

std::vector<Finding> JudgeObstacles(const std::vector<std::string>& obstacles) {
  std::vector<Finding> findings;
  for (const std::string& obstacle : obstacles) {
    findings.push_back({.check = Finding::Check::kKernelState,
                        .severity = Severity::kWarning,
                        .message = obstacle});
  }
  return findings;
}

}  // namespace swarm::agent
