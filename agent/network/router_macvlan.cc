// Router, what it does for containers that stand on links of the host: it has the way to the host's
// namespace, and their packets never come to it.
#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/network/router.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

// Of the links that we made, by which we know them again.
constexpr char kVlanAlias[] = "swarm vlan";
constexpr size_t kLinksNamed = 10;
constexpr int kLastVlan = 4094;

// Of "eth0.50", whose link below is "eth0"; id 0: of another kind.
struct VlanName {
  std::string base;
  int id = 0;
};
VlanName ParseVlan(const std::string& name) {
  const size_t dot = name.rfind('.');
  VlanName vlan;
  if (dot == name.npos || !absl::SimpleAtoi(name.substr(dot + 1), &vlan.id)) return {};
  if (vlan.id < 1 || vlan.id > kLastVlan) return {};
  vlan.base = name.substr(0, dot);
  return vlan;
}

}  // namespace

absl::Status Router::FindParent(const std::string& parent) {
  ASSIGN_OR_RETURN(const auto links, host_kernel_.Links());
  if (links.contains(parent)) return absl::OkStatus();
  const VlanName vlan = ParseVlan(parent);
  if (vlan.id != 0 && links.contains(vlan.base)) {
    return host_kernel_.MakeVlan(parent, vlan.base, static_cast<uint16_t>(vlan.id), kVlanAlias);
  }
  std::vector<std::string> names;
  for (const auto& [name, link] : links) {
    if (name != "lo" && name != options_.host_link) names.push_back(name);
  }
  const bool more = names.size() > kLinksNamed;
  if (more) names.resize(kLinksNamed);
  return absl::FailedPreconditionError(
      absl::StrCat("this node has no link ", parent, " that macvlan could stand on; it has ",
                   names.empty() ? "none" : absl::StrJoin(names, ", "), more ? " and more" : ""));
}

absl::Status Router::MakeMacvlan(const MacvlanLink& link, const NetworkNamespace& container) {
  MutexLock lock(mu_);
  RETURN_IF_ERROR(FindParent(link.parent));
  return host_kernel_.MakeMacvlan({.name = kNewMacvlan,
                                   .parent = link.parent,
                                   .mode = link.mode,
                                   .mac = link.mac,
                                   .space = container.fd()});
}

bool Router::HasParent(const std::string& parent) {
  MutexLock lock(mu_);
  const auto links = host_kernel_.Links();
  return links.ok() && (links->contains(parent) || links->contains(ParseVlan(parent).base));
}

absl::Status Router::RemoveVlans() {
  ASSIGN_OR_RETURN(const auto links, host_kernel_.Links());
  absl::Status status;
  for (const auto& [name, link] : links) {
    if (link.kind == "vlan" && link.alias == kVlanAlias) {
      status.Update(host_kernel_.RemoveLink(name));
    }
  }
  return status;
}

}  // namespace swarm::agent
