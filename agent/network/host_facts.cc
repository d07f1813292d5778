#include "agent/network/host_facts.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/network/kernel_namespace.h"
#include "agent/network/network_namespace.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

// Links of ours have an alias that says so.
bool IsOurs(const KernelNamespace::Link& link) { return absl::StartsWith(link.alias, "swarm "); }

// Others would not travel in messages.
bool IsNameable(const std::string& link) {
  return std::all_of(link.begin(), link.end(),
                     [](unsigned char c) { return absl::ascii_isgraph(c); });
}

// Other machines are on it: a link of the hardware, or one made on such. The rest (pairs, tunnels,
// bridges) comes after it, and what programs make by the hundred not at all.
int RankOf(const std::string& kind) {
  if (kind.empty() || kind == "vlan" || kind == "bond" || kind == "team") return 0;
  return kind == "veth" || kind == "tun" ? 2 : 1;
}

bool IsOfTheLink(const IpPrefix& prefix) {
  const auto& bytes = prefix.base.bytes;
  return prefix.base.is_v4() ? bytes[0] == 127 || bytes[0] >= 224
                             : (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) || bytes[0] == 0xff;
}

}  // namespace

std::vector<std::string> ChooseLinks(std::vector<HostLink> found) {
  const bool few = found.size() <= HostFacts::kMostLinks;
  if (!few) std::erase_if(found, [](const HostLink& link) { return RankOf(link.kind) == 2; });
  std::stable_sort(found.begin(), found.end(), [](const HostLink& a, const HostLink& b) {
    return RankOf(a.kind) < RankOf(b.kind);
  });
  if (found.size() > HostFacts::kMostLinks) found.resize(HostFacts::kMostLinks);
  std::vector<std::string> names;
  for (HostLink& link : found) names.push_back(std::move(link.name));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<HostFacts> ReadHostFacts() {
  ASSIGN_OR_RETURN(const NetworkNamespace space, NetworkNamespace::Current());
  ASSIGN_OR_RETURN(KernelNamespace kernel, KernelNamespace::Open(space));
  ASSIGN_OR_RETURN(const auto links, kernel.Links());
  ASSIGN_OR_RETURN(const NamespaceState there, kernel.Read("", false));
  HostFacts facts;
  std::set<std::string> ours;
  std::vector<HostLink> found;
  for (const auto& [name, link] : links) {
    if (IsOurs(link)) ours.insert(name);
    const bool may_carry = name != "lo" && !IsOurs(link) && !link.enslaved && IsNameable(name);
    if (may_carry) found.push_back({name, link.kind});
  }
  facts.links = ChooseLinks(std::move(found));
  std::set<IpPrefix> routes;
  for (const LinkAddress& address : there.addresses) {
    // The kernel's own routes to what is on the link itself are not read.
    if (ours.contains(address.link)) continue;
    const auto prefix =
        IpPrefix::Parse(absl::StrCat(address.address.ToString(), "/", address.length));
    if (prefix.ok()) routes.insert(*prefix);
  }
  for (const auto& [key, route] : there.routes) {
    if (key.table == kMainTable && key.destination.length > 0 && !ours.contains(route.link)) {
      routes.insert(key.destination);
    }
  }
  for (const IpPrefix& route : routes) {
    if (IsOfTheLink(route) || facts.routes.size() >= HostFacts::kMostRoutes) continue;
    facts.routes.push_back(route);
  }
  return facts;
}

}  // namespace swarm::agent
