// Router, what does not depend on networks: the pair of links between host and router, and the
// kernel's switches in both.
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/network/router.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kUplinkAlias[] = "swarm router";

// In the router, before any link is in it. Links of containers and of VXLAN take the defaults.
constexpr std::pair<const char*, const char*> kRouterSysctls[] = {
    {"ipv4/ip_forward", "1"},
    // Answers leave by another link than the question came by; rules check sources (router_rules).
    {"ipv4/conf/all/rp_filter", "0"},
    {"ipv4/conf/default/rp_filter", "0"},
    // Every node's router has the same gateways: ICMP of another one comes from an address of ours.
    {"ipv4/conf/default/accept_local", "1"},
    {"ipv4/conf/all/send_redirects", "0"},
    {"ipv4/conf/default/send_redirects", "0"},
    {"ipv4/conf/all/accept_redirects", "0"},
    {"ipv6/conf/default/addr_gen_mode", "1"},
    {"ipv6/conf/default/accept_ra", "0"},
    {"ipv6/conf/all/forwarding", "1"},
    {"netfilter/nf_conntrack_tcp_be_liberal", "1"},
};

// Kernels without IPv6 or without connection tracking yet have not got every switch.
absl::Status SetIfThere(const NetworkNamespace& space, const std::string& key,
                        const std::string& value) {
  const absl::Status set = space.SetSysctl(key, value);
  return absl::IsNotFound(set) ? absl::OkStatus() : set;
}

}  // namespace

absl::Status Router::Prepare() {
  RETURN_IF_ERROR(PrepareRouter());
  RETURN_IF_ERROR(PrepareUplink());
  return PrepareHost();
}

absl::Status Router::PrepareRouter() {
  const std::string path = absl::StrCat(options_.netns_dir, "/router");
  if (!NetworkNamespace::Open(path).ok()) RETURN_IF_ERROR(router_namespace_.Bind(path));
  for (const auto& [key, value] : kRouterSysctls) {
    RETURN_IF_ERROR(SetIfThere(router_namespace_, key, value));
  }
  return absl::OkStatus();
}

absl::Status Router::PrepareUplink() {
  ASSIGN_OR_RETURN(const auto inside, router_kernel_.Links());
  ASSIGN_OR_RETURN(const auto outside, host_kernel_.Links());
  for (const auto& [name, link] : inside) {
    if (!link.up) RETURN_IF_ERROR(router_kernel_.SetUp(name));
  }
  const auto host_link = outside.find(options_.host_link);
  if (host_link != outside.end() && host_link->second.alias != kUplinkAlias) {
    return absl::FailedPreconditionError(
        absl::StrCat("link ", options_.host_link,
                     " of this host belongs to another program; choose another name for ours"));
  }
  if (host_link != outside.end() && inside.contains(kUplink)) {
    return host_link->second.up ? absl::OkStatus() : host_kernel_.SetUp(options_.host_link);
  }
  RETURN_IF_ERROR(host_kernel_.RemoveLink(options_.host_link));
  RETURN_IF_ERROR(router_kernel_.RemoveLink(kUplink));
  const KernelNamespace::VethEnd ours{.name = options_.host_link, .mac = HostMac()};
  const KernelNamespace::VethEnd routers{
      .name = kUplink, .mac = kRouterMac, .space = router_namespace_.fd()};
  RETURN_IF_ERROR(
      host_kernel_.MakeVeth(ours, kUplinkAlias, routers, planner_.facts().underlay_mtu));
  RETURN_IF_ERROR(router_kernel_.SetUp(kUplink));
  return host_kernel_.AwaitActive(options_.host_link);
}

absl::Status Router::PrepareHost() {
  // The host's own loopback may speak to published ports.
  RETURN_IF_ERROR(SetIfThere(
      host_namespace_, absl::StrCat("ipv4/conf/", options_.host_link, "/route_localnet"), "1"));
  if (!planner_.facts().host6.empty()) {
    RETURN_IF_ERROR(host_kernel_.AcceptLoopback6(options_.host_link));
  }
  ASSIGN_OR_RETURN(const NamespaceState there, host_kernel_.Read(options_.host_link, true));
  const NamespaceDifference difference = Difference(there, HostBase(planner_.facts()));
  RETURN_IF_ERROR(host_kernel_.Put(difference.put, nullptr));
  return host_kernel_.Remove(difference.remove);
}

absl::Status Router::Forward(bool v4, bool v6) {
  if (v4) RETURN_IF_ERROR(SetIfThere(host_namespace_, "ipv4/ip_forward", "1"));
  if (v6) RETURN_IF_ERROR(Forward6());
  if (!v4 && !v6) return absl::OkStatus();
  // A container is worth having without a way out; the next Resync tries again.
  const absl::Status followed = firewall_.Follow(host_namespace_, &host_nft_);
  if (!followed.ok()) {
    LogWarning("networks", StrCat("other firewalls of this host: ", followed.message()));
  }
  return absl::OkStatus();
}

absl::Status Router::Forward6() {
  const auto now = host_namespace_.GetSysctl("ipv6/conf/all/forwarding");
  if (!now.ok() || *now == "1") return absl::OkStatus();
  RETURN_IF_ERROR(KeepRouterAdvertisements());
  return host_namespace_.SetSysctl("ipv6/conf/all/forwarding", "1");
}

// A link with accept_ra 1 would forget its default route once the host forwards.
absl::Status Router::KeepRouterAdvertisements() {
  ASSIGN_OR_RETURN(const auto links, host_kernel_.Links());
  for (const auto& [name, link] : links) {
    const std::string key = absl::StrCat("ipv6/conf/", name, "/accept_ra");
    const auto value = host_namespace_.GetSysctl(key);
    if (value.ok() && *value == "1") RETURN_IF_ERROR(SetIfThere(host_namespace_, key, "2"));
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
