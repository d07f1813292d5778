// Router, looking without repairing: for who wants to know what is wrong.
#include <utility>

#include "agent/network/router.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

template <typename Links>
void CheckLink(const Links& links, const std::string& name, std::vector<std::string>* bad) {
  const auto found = links.find(name);
  if (found == links.end() || !found->second.up) bad->push_back(name);
}

void CompareTunnel(const TunnelState& there, const TunnelState& wanted, RouterComparison* out) {
  const TunnelDifference difference = Difference(there, wanted);
  out->bad_tunnel_link = difference.put.link.has_value();
  out->extra_tunnel_link = difference.remove.link.has_value();
  for (const auto& [key, peer] : difference.put.peers) {
    out->bad_tunnel_peers.push_back(peer.address);
  }
  for (const auto& [key, peer] : difference.remove.peers) {
    out->extra_tunnel_peers.push_back(peer.address);
  }
}

}  // namespace

absl::StatusOr<RouterComparison> Router::Compare() {
  MutexLock lock(mu_);
  if (!told_) return absl::FailedPreconditionError("no networks are known yet");
  const RouterState wanted = planner_.Wanted();
  RouterComparison comparison;
  ASSIGN_OR_RETURN(const auto inside, router_kernel_.Links());
  ASSIGN_OR_RETURN(const auto outside, host_kernel_.Links());
  CheckLink(outside, options_.host_link, &comparison.bad_host_links);
  CheckLink(inside, kUplink, &comparison.bad_router_links);
  for (const auto& [link, vxlan] : wanted.router.vxlans) {
    CheckLink(inside, link, &comparison.bad_router_links);
  }
  for (const auto& [task_id, attachment] : planner_.attachments()) {
    if (!attachment.is_routed()) continue;
    CheckLink(inside, ContainerLinkName(task_id), &comparison.bad_router_links);
  }
  ASSIGN_OR_RETURN(const NamespaceState router, router_kernel_.Read("", false));
  comparison.router = Difference(router, wanted.router);
  ASSIGN_OR_RETURN(const NamespaceState host, host_kernel_.Read(options_.host_link, true));
  comparison.host = Difference(host, HostBase(planner_.facts()));
  TunnelState tunnel;  // nothing: none was made yet
  if (tunnel_ != nullptr) {
    ASSIGN_OR_RETURN(tunnel, tunnel_->Read());
  }
  CompareTunnel(tunnel, wanted.tunnel, &comparison);
  ASSIGN_OR_RETURN(comparison.router_table_changed, IsChanged(router_table_, &router_nft_));
  ASSIGN_OR_RETURN(comparison.host_table_changed, IsChanged(host_table_, &host_nft_));
  comparison.forward4_off = ForwardIsOff("ipv4/ip_forward", wanted.forward4);
  comparison.forward6_off = ForwardIsOff("ipv6/conf/all/forwarding", wanted.forward6);
  return comparison;
}

// A table of ours that we do not know is our own doing: the next Resync replaces it.
absl::StatusOr<bool> Router::IsChanged(const Table& table, NftContext* nft) {
  if (!table.generation) return false;
  ASSIGN_OR_RETURN(const uint32_t now, nft->Generation());
  if (*table.generation == now) return false;
  if (!table.shared) return true;
  const auto listing = nft->List(std::string(kNftTable));
  return !listing.ok() || *listing != table.listing;
}

bool Router::ForwardIsOff(const char* key, bool wanted) const {
  const auto value = host_namespace_.GetSysctl(key);
  return wanted && value.ok() && *value == "0";
}

}  // namespace swarm::agent
