#include "manager/allocator/network_planner.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/network_rules.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kPools4[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"};
constexpr int kLength4 = 24;
constexpr int kLength6 = 64;
constexpr int kMostRoutesLookedAt = 100'000;  // some 20 ms of the loop

IpPrefix MustParse(std::string_view text) { return *IpPrefix::Parse(text); }

std::vector<IpPrefix> Pools4() {
  std::vector<IpPrefix> pools;
  for (const std::string_view text : kPools4) pools.push_back(MustParse(text));
  return pools;
}

// fd, then 40 bits that other clusters do not have.
IpPrefix Pool6(const View& view) {
  std::string bytes(16, '\0');
  bytes[0] = static_cast<char>(0xfd);
  if (const Ref<Cluster> cluster = view.GetCluster(); cluster != nullptr) {
    const std::string id = Id::ParseOrZero(cluster->id()).ToBytes();
    for (size_t i = 0; i < 5 && i < id.size(); ++i) bytes[i + 1] = id[id.size() - 1 - i];
  }
  return {IpAddress::FromBytes(bytes), 48};
}

std::vector<IpPrefix> SubnetsOfNetworks(const View& view) {
  std::vector<IpPrefix> taken;
  view.EachNetwork([&](const Ref<Network>& network) {
    for (const auto family : {IpAddress::Family::kV4, IpAddress::Family::kV6}) {
      if (const IpPrefix subnet = SubnetOf(*network, family); !subnet.empty()) {
        taken.push_back(subnet);
      }
    }
    return true;
  });
  return taken;
}

// Of all nodes, without the default route, which leads everywhere and says nothing.
std::vector<IpPrefix> RoutesOfNodes(const View& view) {
  std::set<std::string> texts;
  int looked_at = 0;
  view.EachNode([&](const Ref<Node>& node) {
    texts.insert(node->description().routes().begin(), node->description().routes().end());
    looked_at += node->description().routes_size();
    return looked_at < kMostRoutesLookedAt;
  });
  std::vector<IpPrefix> routes;
  for (const std::string& text : texts) {
    if (const auto route = IpPrefix::Parse(text); route.ok() && route->length > 0) {
      routes.push_back(*route);
    }
  }
  return routes;
}

// In order, without those that lie in another one: no two of them touch.
void Sort(std::vector<IpPrefix>& taken) {
  std::sort(taken.begin(), taken.end());
  std::vector<IpPrefix> apart;
  for (const IpPrefix& prefix : taken) {
    if (apart.empty() || !apart.back().Overlaps(prefix)) apart.push_back(prefix);
  }
  taken = std::move(apart);
}

bool IsIn(const IpPrefix& inner, const IpPrefix& outer) {
  return outer.length <= inner.length && outer.Contains(inner.base);
}

// What a subnet is looked for beside, at most in kRounds. Routes are wishes: a
// company's 10.0.0.0/8, or a VPN's half of everything, or what a hostile node says must not leave
// the cluster without networks. So all count at first, then those that leave something of every
// pool, then none.
constexpr int kRounds = 3;
std::vector<IpPrefix> Beside(const std::vector<IpPrefix>& networks,
                             const std::vector<IpPrefix>& routes,
                             const std::vector<IpPrefix>& pools, int round) {
  std::vector<IpPrefix> beside = networks;
  for (const IpPrefix& route : routes) {
    const bool wide = std::any_of(pools.begin(), pools.end(),
                                  [&](const IpPrefix& pool) { return IsIn(pool, route); });
    if (round == 0 || (round == 1 && !wide)) beside.push_back(route);
  }
  Sort(beside);
  return beside;
}

// The first subnet of `length` bits from `from` on, up to the end of `pool`, that touches nothing
// of `taken`, which is sorted.
std::optional<IpPrefix> FirstFree(const IpPrefix& pool, int length, const IpAddress& from,
                                  const std::vector<IpPrefix>& taken) {
  IpPrefix subnet{from, length};
  while (pool.Contains(subnet.base)) {
    const auto hit =
        std::lower_bound(taken.begin(), taken.end(), subnet.base,
                         [](const IpPrefix& t, const IpAddress& a) { return t.Last() < a; });
    if (hit == taken.end() || !hit->Overlaps(subnet)) return subnet;
    const IpAddress last = std::max(hit->Last(), subnet.Last());
    subnet.base = last.Plus(1);
    if (subnet.base <= last) break;  // wrapped at the end of the family
  }
  return std::nullopt;
}

// As above, from behind `last` on and then round.
std::optional<IpPrefix> NextFree(const IpPrefix& pool, int length, const IpAddress& last,
                                 const std::vector<IpPrefix>& taken) {
  if (pool.Contains(last)) {
    if (const auto subnet = FirstFree(pool, length, last.Plus(1), taken)) return subnet;
  }
  return FirstFree(pool, length, pool.base, taken);
}

// Others than the ingress network get its usual subnet only when there is no other.
std::optional<IpPrefix> NextFree4(const IpAddress& last, bool ingress,
                                  const std::vector<IpPrefix>& taken) {
  const IpPrefix first = IpPrefix{MustParse(kPools4[0]).base, kLength4};
  if (ingress) {
    if (const auto subnet = FirstFree(first, kLength4, first.base, taken)) return subnet;
  }
  std::vector<IpPrefix> others = taken;
  others.push_back(first);
  Sort(others);
  std::vector<IpPrefix> pools = Pools4();
  // Where the last one came from, then the pools before it.
  const auto current = std::find_if(pools.begin(), pools.end(),
                                    [&](const auto& pool) { return pool.Contains(last); });
  if (current != pools.end()) std::rotate(pools.begin(), current, pools.end());
  for (const IpPrefix& pool : pools) {
    if (const auto subnet = NextFree(pool, kLength4, last, others)) return subnet;
  }
  return FirstFree(first, kLength4, first.base, taken);
}

// Where an earlier life of the manager came to, or further.
IpAddress LastOfPool(const std::vector<IpPrefix>& taken) {
  const IpPrefix pool = MustParse(kPools4[0]);
  IpAddress last;
  for (const IpPrefix& prefix : taken) {
    if (prefix.length == kLength4 && pool.Contains(prefix.base))
      last = std::max(last, prefix.Last());
  }
  return last;
}

absl::Status Overlaps(size_t index, const IpPrefix& subnet, const IpPrefix& other,
                      const Network& network) {
  return absl::InvalidArgumentError(StrCat("ipam[", index, "].subnet: ", subnet.ToString(),
                                           " overlaps ", other.ToString(), " of network ",
                                           network.spec().name()));
}

absl::Status CheckOverlaps(const View& view, size_t index, const IpPrefix& subnet) {
  absl::Status status;
  view.EachNetwork([&](const Ref<Network>& network) {
    const IpPrefix other = SubnetOf(*network, subnet.base.family);
    if (other.Overlaps(subnet) && !other.empty()) status = Overlaps(index, subnet, other, *network);
    return status.ok();
  });
  return status;
}

absl::StatusOr<uint32_t> NextVni(const View& view, uint32_t last) {
  std::set<uint32_t> used;
  view.EachNetwork([&](const Ref<Network>& network) {
    if (network->vni() != 0) used.insert(network->vni());
    return true;
  });
  if (last == 0) last = used.empty() ? NetworkPlanner::kFirstVni - 1 : *used.rbegin();
  for (uint32_t vni = last + 1; vni <= NetworkPlanner::kLastVni; ++vni) {
    if (!used.contains(vni)) return vni;
  }
  for (uint32_t vni = NetworkPlanner::kFirstVni; vni < last; ++vni) {
    if (!used.contains(vni)) return vni;
  }
  return absl::ResourceExhaustedError("no VXLAN network identifier is free");
}

absl::Status Exhausted(std::string_view family) {
  return absl::ResourceExhaustedError(
      StrCat("no subnet of the ", family,
             " pool is free: every one overlaps a network; remove a network, or give one by "
             "ipam.subnet"));
}

}  // namespace

IpAddress GatewayOf(const v1::IpamConfig& ipam) {
  if (!ipam.gateway().empty()) return IpAddress::Parse(ipam.gateway()).value_or(IpAddress{});
  const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(ipam.subnet());
  if (!subnet.ok()) return {};
  std::set<IpAddress> others;
  for (const auto& [name, text] : ipam.aux_addresses()) {
    if (const auto address = IpAddress::Parse(text); address.ok()) others.insert(*address);
  }
  for (uint64_t i = 1; i + 1 < subnet->Size(); ++i) {
    const IpAddress address = subnet->base.Plus(i);
    if (!others.contains(address)) return address;
  }
  return {};
}

absl::Status NetworkPlanner::PlanSubnets(const View& view, Network& network) {
  const v1::NetworkSpec& spec = network.spec();
  bool has4 = false;
  bool has6 = false;
  std::vector<v1::IpamConfig*> open;  // without a subnet, IPv4 first
  for (int i = 0; i < network.ipam_size(); ++i) {
    v1::IpamConfig& ipam = *network.mutable_ipam(i);
    if (ipam.subnet().empty()) {
      open.push_back(&ipam);
      continue;
    }
    ASSIGN_OR_RETURN(const IpPrefix subnet, IpPrefix::Parse(ipam.subnet()));
    RETURN_IF_ERROR(CheckOverlaps(view, static_cast<size_t>(i), subnet));
    (subnet.base.is_v4() ? has4 : has6) = true;
  }
  const bool wants6 = spec.enable_ipv6() && !has6;
  if (has4 && !wants6) return absl::OkStatus();
  const std::vector<IpPrefix> networks = SubnetsOfNetworks(view);
  if (!has4 && last_v4_.empty()) last_v4_ = LastOfPool(networks);
  const std::vector<IpPrefix> routes = RoutesOfNodes(view);
  const auto give = [&](const IpPrefix& subnet) {
    v1::IpamConfig* ipam = open.empty() ? network.add_ipam() : open.front();
    if (!open.empty()) open.erase(open.begin());
    ipam->set_subnet(subnet.ToString());
  };
  if (!has4) {
    std::optional<IpPrefix> subnet;
    for (int round = 0; round < kRounds && !subnet.has_value(); ++round) {
      subnet = NextFree4(last_v4_, spec.ingress(), Beside(networks, routes, Pools4(), round));
    }
    if (!subnet.has_value()) return Exhausted("IPv4");
    if (!spec.ingress()) last_v4_ = subnet->Last();
    give(*subnet);
  }
  if (wants6) {
    const IpPrefix pool = Pool6(view);
    std::optional<IpPrefix> subnet;
    for (int round = 0; round < kRounds && !subnet.has_value(); ++round) {
      subnet = NextFree(pool, kLength6, last_v6_, Beside(networks, routes, {pool}, round));
    }
    if (!subnet.has_value()) return Exhausted("IPv6");
    last_v6_ = subnet->Last();
    give(*subnet);
  }
  return absl::OkStatus();
}

absl::StatusOr<Network> NetworkPlanner::Plan(const View& view, const v1::NetworkSpec& spec) {
  Network network;
  *network.mutable_spec() = spec;
  *network.mutable_ipam() = spec.ipam();
  RETURN_IF_ERROR(PlanSubnets(view, network));
  for (int i = 0; i < network.ipam_size(); ++i) {
    v1::IpamConfig& ipam = *network.mutable_ipam(i);
    const IpAddress gateway = GatewayOf(ipam);
    if (gateway.empty()) {
      return absl::InvalidArgumentError(
          StrCat("ipam[", i, "].aux_addresses: leave no address for the gateway"));
    }
    ipam.set_gateway(gateway.ToString());
  }
  if (IsOverlay(spec)) {
    ASSIGN_OR_RETURN(last_vni_, NextVni(view, last_vni_));
    network.set_vni(last_vni_);
  }
  return network;
}

}  // namespace swarm::manager
