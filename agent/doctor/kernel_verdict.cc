#include "agent/doctor/kernel_verdict.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/doctor/words.h"
#include "agent/network/tunnel_state.h"
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

// Each thing that a state holds.
void AddThings(const NetworkState& state, const NamespaceState& kernel, Named* things) {
  for (const auto& [link, vxlan] : kernel.vxlans) {
    things->Add([&, &link = link] { return StrCat("the VXLAN link ", link); });
  }
  for (const LinkAddress& address : kernel.addresses) {
    things->Add(
        [&] { return StrCat("address ", address.address.ToString(), " of ", address.link); });
  }
  for (const auto& [key, route] : kernel.routes) {
    things->Add([&, &key = key] {
      return StrCat("the route to ", NameDestination(state, key.destination));
    });
  }
  for (const auto& [key, mac] : kernel.neighbours) {
    things->Add([&, &key = key] {
      return StrCat("the hardware address of ", NameAddress(state, key.second));
    });
  }
  for (const auto& [key, to] : kernel.forwarding) {
    things->Add([&, &key = key, &to = to] {
      return StrCat("the way of ", key.first, " to ", to.ToString());
    });
  }
  for (const MarkRule& rule : kernel.rules) {
    things->Add([&] { return StrCat("the rule for mark ", absl::Hex(rule.mark)); });
  }
  for (const SourceRule& rule : kernel.source_rules) {
    things->Add(
        [&] { return StrCat("the rule for what ", NameAddress(state, rule.source), " sends"); });
  }
}

// Other nodes on the tunnel, by their inner addresses: said is where they are. Never keys.
void AddTunnelPeers(const NetworkState& state, const std::vector<IpAddress>& inner, Named* things) {
  for (const IpAddress& address : inner) {
    things->Add([&] {
      for (const auto& [key, peer] : state.peers) {
        if (InnerAddress(peer.node_id) == address) {
          return StrCat("the peer at ", peer.underlay.ToString());
        }
      }
      return StrCat("the peer ", address.ToString());
    });
  }
}

// What is wrong, one sentence a kind.
std::vector<std::string> Wrong(const NetworkState& state, const RouterComparison& comparison) {
  std::vector<std::string> wrong;
  const auto missing = [&](const Named& things, const char* where) {
    if (things.empty()) return;
    wrong.push_back(
        StrCat(where, things.Text(), things.size() == 1 ? " is" : " are", " missing or wrong"));
  };
  const auto bad = [&](const std::vector<std::string>& links, const char* where) {
    if (links.empty()) return;
    wrong.push_back(StrCat(where, "link ", Some(links), links.size() == 1 ? " is" : " are",
                           " missing or down"));
  };
  bad(comparison.bad_host_links, "in the host ");
  bad(comparison.bad_router_links, "in the router ");
  Named router, host, tunnel;
  AddThings(state, comparison.router.put, &router);
  missing(router, "in the router ");
  AddThings(state, comparison.host.put, &host);
  missing(host, "in the host ");
  if (comparison.bad_tunnel_link) tunnel.Add([] { return "this node's link"; });
  AddTunnelPeers(state, comparison.bad_tunnel_peers, &tunnel);
  missing(tunnel, "in WireGuard's tunnel ");
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
  Named extra;
  AddThings(state, comparison.router.remove, &extra);
  AddThings(state, comparison.host.remove, &extra);
  if (comparison.extra_tunnel_link) extra.Add([] { return "WireGuard's tunnel"; });
  AddTunnelPeers(state, comparison.extra_tunnel_peers, &extra);
  if (!extra.empty()) {
    if (wrong.empty()) finding.severity = Severity::kWarning;
    wrong.push_back(
        StrCat(extra.Text(), extra.size() == 1 ? " is" : " are", " there and should not be"));
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
