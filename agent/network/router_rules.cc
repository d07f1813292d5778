#include "agent/network/router_rules.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

IpPrefix Only(const IpAddress& address) { return {.base = address, .length = address.width()}; }

IpPrefix Everything(const IpAddress& like) {
  IpPrefix prefix;
  prefix.base.family = like.family;
  return prefix;
}

// Links: "c…" leads to a container, "vx<vni>" to the other nodes of a network, "uplink" to the
// host.
constexpr char kRouterRules[] = R"(
  set within4 { type ipv4_addr . ipv4_addr; flags interval; }
  set within6 { type ipv6_addr . ipv6_addr; flags interval; }
  set outward4 { type ipv4_addr; flags interval; }
  set outward6 { type ipv6_addr; flags interval; }
  set subnets4 { type ipv4_addr; flags interval; }
  set subnets6 { type ipv6_addr; flags interval; }
  set overlay4 { typeof iifname . ip saddr; flags interval; }
  set overlay6 { typeof iifname . ip6 saddr; flags interval; }
  set ingress_links { type ifname; }
  set ingress4 { type ipv4_addr; flags interval; }
  set ingress6 { type ipv6_addr; flags interval; }
  map gateways4 { type ipv4_addr : ipv4_addr; flags interval; }
  map gateways6 { type ipv6_addr : ipv6_addr; flags interval; }
  map entrances { type ether_addr : mark; }
  map vips4 { type ipv4_addr : verdict; }
  map vips6 { type ipv6_addr : verdict; }
  map ports4 { type inet_proto . inet_service : verdict; }
  map ports6 { type inet_proto . inet_service : verdict; }

  # 1. A container speaks with its own addresses only: those that are routed to its link. Another
  # node's containers with those of the network that they came by. What came by the ingress network
  # of another node remembers which, and its answers go back there.
  chain check {
    type filter hook prerouting priority mangle; policy accept;
    iifname "c*" fib saddr . iif oif missing drop
    iifname "c*" ct mark != 0 meta mark set ct mark
    iifname "c*" accept
    iifname "uplink" accept
    iifname @ingress_links ct state new ct mark set ether saddr map @entrances
    iifname @ingress_links accept
    iifname . ip saddr @overlay4 accept
    iifname . ip6 saddr @overlay6 accept
    iifname "vx*" drop
  }

  # 2. Published ports and virtual addresses become addresses of tasks; once per connection.
  chain destinations {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "uplink" ip daddr ROUTER4 meta l4proto . th dport vmap @ports4
    iifname "uplink" ip6 daddr ROUTER6 meta l4proto . th dport vmap @ports6
    iifname "c*" ip daddr vmap @vips4
    iifname "c*" ip6 daddr vmap @vips6
  }

  # 3. What is for the router itself: its gateways answer pings of their own networks.
  chain input {
    type filter hook input priority filter; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iifname "lo" accept
    iifname "uplink" meta l4proto { icmp, ipv6-icmp } accept
    meta l4proto icmp ip saddr . ip daddr @within4 accept
    meta l4proto ipv6-icmp ip6 saddr . ip6 daddr @within6 accept
    goto refused
  }

  # 4. What it forwards. An address of a network that no link leads to is nobody's: its task went, or
  # its service has none; known connections are told so too. Neither end of a connection knows the
  # links between (a node whose wire carries less may be the one that was entered): both are told
  # at its beginning, since ICMP that says so later is often lost.
  chain forward {
    type filter hook forward priority filter; policy drop;
    tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    oifname "uplink" ip daddr @subnets4 goto gone
    oifname "uplink" ip6 daddr @subnets6 goto gone
    ct state vmap { established : accept, related : accept, invalid : drop }
    iifname "c*" ct status dnat fib daddr . iif oif exists meta mark set HAIRPIN
    ip saddr . ip daddr @within4 accept
    ip6 saddr . ip6 daddr @within6 accept
    iifname "c*" oifname "uplink" ip saddr @outward4 accept
    iifname "c*" oifname "uplink" ip6 saddr @outward6 accept
    iifname "uplink" ct status dnat accept
    iifname @ingress_links ip daddr @ingress4 ip saddr != @subnets4 accept
    iifname @ingress_links ip6 daddr @ingress6 ip6 saddr != @subnets6 accept
    goto refused
  }

  # 5. A task that reached itself through its service must see another address than its own, or it
  # would answer without the router.
  chain sources {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark HAIRPIN snat ip to ip saddr map @gateways4
    meta mark HAIRPIN snat ip6 to ip6 saddr map @gateways6
    iifname "c*" oifname "uplink" meta nfproto ipv4 snat ip to ROUTER4
    iifname "c*" oifname "uplink" meta nfproto ipv6 snat ip6 to ROUTER6
  }

  chain gone {
    meta l4proto tcp reject with tcp reset
    reject with icmpx host-unreachable
  }
  chain refused {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }
)";

// The host keeps the client's address: only what could not be answered otherwise (its own loopback,
// and the router's own address come back) gets the host's end of the pair as its source.
constexpr char kHostRules[] = R"(
  set ports4 { type inet_proto . inet_service; }
  set ports6 { type inet_proto . inet_service; }

  chain arriving {
    type nat hook prerouting priority dstnat; policy accept;
    meta nfproto ipv4 meta l4proto . th dport @ports4 fib daddr type local dnat ip to ROUTER4
    meta nfproto ipv6 meta l4proto . th dport @ports6 fib daddr type local dnat ip6 to ROUTER6
  }
  chain own {
    type nat hook output priority -100; policy accept;
    meta nfproto ipv4 meta l4proto . th dport @ports4 fib daddr type local dnat ip to ROUTER4
    meta nfproto ipv6 meta l4proto . th dport @ports6 fib daddr type local dnat ip6 to ROUTER6
  }
  chain leaving {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "HOSTLINK" ip saddr { 127.0.0.0/8, ROUTER4 } snat ip to HOST4
    oifname "HOSTLINK" ip6 saddr { ::1, ROUTER6 } snat ip6 to HOST6
    oifname != "HOSTLINK" ip saddr ROUTER4 masquerade
    oifname != "HOSTLINK" ip6 saddr ROUTER6 masquerade
  }
)";

// Without IPv6 in the kernel the rules that name the pair's addresses of it are left out.
std::string Fill(const char* text, const RouterFacts& facts) {
  const std::vector<std::pair<absl::string_view, std::string>> values = {
      {"ROUTER4", facts.router4.ToString()}, {"ROUTER6", facts.router6.ToString()},
      {"HOST4", facts.host4.ToString()},     {"HOST6", facts.host6.ToString()},
      {"HOSTLINK", facts.host_link},         {"HAIRPIN", "0x48000001"}};
  std::string filled;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (facts.router6.empty() && absl::StrContains(line, "ROUTER6")) continue;
    absl::StrAppend(&filled, absl::StrReplaceAll(line, values), "\n");
  }
  return filled;
}

}  // namespace

MacAddress HostMac() {
  MacAddress mac = kRouterMac;
  mac.bytes[5] = 2;
  return mac;
}

NamespaceState RouterBase(const RouterFacts& facts) {
  NamespaceState state;
  for (const auto& [own, host] :
       {std::pair(facts.router4, facts.host4), std::pair(facts.router6, facts.host6)}) {
    if (own.empty()) continue;
    state.addresses.insert({kUplink, own, own.width()});
    state.neighbours[{kUplink, host}] = HostMac();
    state.routes[{kMainTable, Everything(own)}] = {.link = kUplink, .via = host, .source = own};
  }
  return state;
}

NamespaceState HostBase(const RouterFacts& facts) {
  NamespaceState state;
  for (const auto& [own, router] :
       {std::pair(facts.host4, facts.router4), std::pair(facts.host6, facts.router6)}) {
    if (own.empty()) continue;
    state.addresses.insert({facts.host_link, own, own.width()});
    state.neighbours[{facts.host_link, router}] = kRouterMac;
    state.routes[{kMainTable, Only(router)}] = {.link = facts.host_link, .source = own};
  }
  return state;
}

std::string RouterRules(const RouterFacts& facts) { return Fill(kRouterRules, facts); }
std::string HostRules(const RouterFacts& facts) { return Fill(kHostRules, facts); }

}  // namespace swarm::agent
