#include "agent/network/kernel_namespace.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "agent/network/netlink_codes.h"
#include "agent/network/tunnel_state.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

uint8_t KernelFamily(IpAddress::Family family) {
  return family == IpAddress::Family::kV6 ? AF_INET6 : AF_INET;
}

std::string_view Bytes(const MacAddress& mac) {
  return {reinterpret_cast<const char*>(mac.bytes.data()), mac.bytes.size()};
}

// Keeps the first of many errors.
class Errors {
 public:
  void Add(const absl::Status& status) {
    if (status.ok()) return;
    if (first_.ok()) first_ = status;
    ++count_;
  }
  absl::Status status() const {
    if (count_ < 2) return first_;
    return absl::Status(first_.code(),
                        absl::StrCat(first_.message(), " (and ", count_ - 1, " more)"));
  }

 private:
  absl::Status first_;
  int count_ = 0;
};

void PutVethEnd(const KernelNamespace::VethEnd& end, int mtu, NetlinkMessage* message) {
  message->PutText(IFLA_IFNAME, end.name);
  message->Put(IFLA_ADDRESS, Bytes(end.mac));
  message->Put(IFLA_MTU, static_cast<uint32_t>(mtu));
  if (end.space >= 0) message->Put(IFLA_NET_NS_FD, static_cast<uint32_t>(end.space));
}

}  // namespace

absl::StatusOr<KernelNamespace> KernelNamespace::Open(const NetworkNamespace& space) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(space, NETLINK_ROUTE));
  return KernelNamespace(std::move(socket), space.fd());
}

absl::StatusOr<int> KernelNamespace::Index(const std::string& link) {
  const auto known = indexes_.find(link);
  if (known != indexes_.end()) return known->second;
  NetlinkMessage message(RTM_GETLINK, 0);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC});
  message.PutText(IFLA_IFNAME, link);
  int index = 0;
  const absl::Status asked = socket_.Ask(message, [&](const nlmsghdr* header) {
    index = static_cast<const ifinfomsg*>(NLMSG_DATA(header))->ifi_index;
  });
  RETURN_IF_ERROR(Annotate(asked, absl::StrCat("link ", link)));
  indexes_[link] = index;
  return index;
}

absl::Status KernelNamespace::MakeVeth(const VethEnd& one, const std::string& alias,
                                       const VethEnd& other, int mtu) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP});
  PutVethEnd(one, mtu, &message);
  nlattr* info = message.Begin(IFLA_LINKINFO);
  message.PutText(IFLA_INFO_KIND, "veth");
  nlattr* data = message.Begin(IFLA_INFO_DATA);
  nlattr* peer = message.Begin(VETH_INFO_PEER);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC});  // made first, alone: it cannot be up yet
  PutVethEnd(other, mtu, &message);
  message.End(peer);
  message.End(data);
  message.End(info);
  indexes_.erase(one.name);
  indexes_.erase(other.name);
  RETURN_IF_ERROR(Annotate(socket_.Send(message), absl::StrCat("make link ", one.name)));
  return alias.empty() ? absl::OkStatus() : SetAlias(one.name, alias);
}

// The kernel takes an alias for a link that is there, not for one that is made.
absl::Status KernelNamespace::SetAlias(const std::string& link, const std::string& alias) {
  NetlinkMessage name(RTM_SETLINK, 0);
  ASSIGN_OR_RETURN(const int index, Index(link));
  name.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = index});
  name.Put(IFLA_IFALIAS, std::string_view(alias));
  return Annotate(socket_.Send(name), absl::StrCat("name link ", link));
}

absl::Status KernelNamespace::MakeVxlan(const std::string& name, const VxlanLink& vxlan,
                                        int space) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP});
  message.PutText(IFLA_IFNAME, name);
  message.Put(IFLA_ADDRESS, Bytes(vxlan.mac));
  message.Put(IFLA_MTU, static_cast<uint32_t>(vxlan.mtu));
  message.Put(IFLA_NET_NS_FD, static_cast<uint32_t>(space));
  nlattr* info = message.Begin(IFLA_LINKINFO);
  message.PutText(IFLA_INFO_KIND, "vxlan");
  nlattr* data = message.Begin(IFLA_INFO_DATA);
  message.Put(IFLA_VXLAN_ID, vxlan.vni);
  message.Put(IFLA_VXLAN_PORT, htons(vxlan.port));
  message.Put(IFLA_VXLAN_LEARNING, uint8_t{0});
  if (!vxlan.local.empty()) {
    message.Put(vxlan.local.is_v6() ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL,
                std::string_view(vxlan.local.ToBytes()));
  }
  message.End(data);
  message.End(info);
  return Annotate(socket_.Send(message), absl::StrCat("make link ", name));
}

absl::Status KernelNamespace::PutVxlan(const std::string& name, const VxlanLink& vxlan,
                                       KernelNamespace* home) {
  indexes_.erase(name);
  if (home == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("link ", name, ": the way that its packets must go is not there"));
  }
  const absl::Status made = home->MakeVxlan(name, vxlan, space_);
  if (!absl::IsAlreadyExists(made)) return made;
  ASSIGN_OR_RETURN(const NamespaceState there, Read(name, false));
  const auto found = there.vxlans.find(name);
  if (found == there.vxlans.end() && !Index(name).ok()) {
    return absl::AlreadyExistsError(absl::StrCat(
        "VXLAN ", vxlan.vni, " at port ", vxlan.port,
        " is taken by another program of this host; give the network another id, or end that one"));
  }
  if (found != there.vxlans.end() && found->second.SameTunnel(vxlan)) {
    RETURN_IF_ERROR(ChangeLink(name, vxlan.mac, vxlan.mtu));
    return SetUp(name);
  }
  RETURN_IF_ERROR(RemoveLink(name));
  remade_ = true;
  return home->MakeVxlan(name, vxlan, space_);
}

absl::Status KernelNamespace::MakeWireguard(const std::string& name, int space) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC});
  message.PutText(IFLA_IFNAME, name);
  message.Put(IFLA_NET_NS_FD, static_cast<uint32_t>(space));
  nlattr* info = message.Begin(IFLA_LINKINFO);
  message.PutText(IFLA_INFO_KIND, "wireguard");
  message.End(info);
  return Annotate(socket_.Send(message), absl::StrCat("make WireGuard link ", name));
}

absl::Status KernelNamespace::SetMtu(const std::string& link, int mtu) {
  ASSIGN_OR_RETURN(const int index, Index(link));
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = index});
  message.Put(IFLA_MTU, static_cast<uint32_t>(mtu));
  return Annotate(socket_.Send(message), absl::StrCat("MTU of link ", link));
}

absl::Status KernelNamespace::SetUp(const std::string& link) {
  ASSIGN_OR_RETURN(const int index, Index(link));
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.Header(ifinfomsg{
      .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP});
  return Annotate(socket_.Send(message), absl::StrCat("link ", link, " up"));
}

// Kernels since 6.9 see to it when they are asked; before, it takes a millisecond or two.
absl::Status KernelNamespace::AwaitActive(const std::string& link) {
  for (int round = 0; round < 1000; ++round) {
    ASSIGN_OR_RETURN(const bool active, IsActive(link));
    if (active) return absl::OkStatus();
    poll(nullptr, 0, 1);
  }
  return absl::DeadlineExceededError(absl::StrCat("link ", link, " has no carrier"));
}

absl::Status KernelNamespace::AcceptLoopback6(const std::string& link) {
  ASSIGN_OR_RETURN(const int index, Index(link));
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  message.Header(rtmsg{.rtm_family = AF_INET6,
                       .rtm_dst_len = 128,
                       .rtm_table = RT_TABLE_LOCAL,
                       .rtm_protocol = kOurProtocol,
                       .rtm_scope = RT_SCOPE_UNIVERSE,
                       .rtm_type = RTN_LOCAL});
  message.Put(RTA_DST, std::string_view(IpAddress::Parse("::1").value().ToBytes()));
  message.Put(RTA_OIF, static_cast<uint32_t>(index));
  message.Put(RTA_PRIORITY, kAfterOwnLoopback);
  const absl::Status sent = socket_.Send(message);
  return absl::IsAlreadyExists(sent) ? absl::OkStatus()
                                     : Annotate(sent, absl::StrCat("route to ::1 by ", link));
}

absl::Status KernelNamespace::ChangeLink(const std::string& link, const MacAddress& mac, int mtu) {
  ASSIGN_OR_RETURN(const int index, Index(link));
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = index});
  message.Put(IFLA_ADDRESS, Bytes(mac));
  message.Put(IFLA_MTU, static_cast<uint32_t>(mtu));
  return Annotate(socket_.Send(message), absl::StrCat("change link ", link));
}

absl::Status KernelNamespace::RemoveLink(const std::string& link) {
  indexes_.erase(link);
  const auto index = Index(link);
  if (!index.ok()) return socket_.last_errno() == ENODEV ? absl::OkStatus() : index.status();
  indexes_.erase(link);
  NetlinkMessage message(RTM_DELLINK, 0);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = *index});
  const absl::Status removed = socket_.Send(message);
  return removed.ok() || socket_.last_errno() == ENODEV
             ? absl::OkStatus()
             : Annotate(removed, absl::StrCat("remove link ", link));
}

absl::Status KernelNamespace::Address(int type, const LinkAddress& address) {
  ASSIGN_OR_RETURN(const int index, Index(address.link));
  NetlinkMessage message(type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0);
  message.Header(ifaddrmsg{.ifa_family = KernelFamily(address.address.family),
                           .ifa_prefixlen = static_cast<uint8_t>(address.length),
                           .ifa_scope = RT_SCOPE_UNIVERSE,
                           .ifa_index = static_cast<uint32_t>(index)});
  const std::string bytes = address.address.ToBytes();
  message.Put(IFA_LOCAL, std::string_view(bytes));
  message.Put(IFA_ADDRESS, std::string_view(bytes));
  uint32_t flags = IFA_F_NOPREFIXROUTE;
  if (address.address.is_v6()) flags |= IFA_F_NODAD;
  message.Put(IFA_FLAGS, flags);
  return Annotate(socket_.Send(message),
                  absl::StrCat("address ", address.address.ToString(), " of ", address.link));
}

absl::Status KernelNamespace::RouteMessage(int type, const RouteKey& key, const Route& route) {
  NetlinkMessage message(type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_REPLACE : 0);
  const bool v6 = key.destination.base.is_v6();
  const bool near = route.via.empty() && !v6;
  message.Header(
      rtmsg{.rtm_family = KernelFamily(key.destination.base.family),
            .rtm_dst_len = static_cast<uint8_t>(key.destination.length),
            .rtm_table = RT_TABLE_UNSPEC,
            .rtm_protocol = type == RTM_NEWROUTE ? kOurProtocol : uint8_t{RTPROT_UNSPEC},
            .rtm_scope = type != RTM_NEWROUTE ? uint8_t{RT_SCOPE_NOWHERE}
                         : near               ? uint8_t{RT_SCOPE_LINK}
                                              : uint8_t{RT_SCOPE_UNIVERSE},
            .rtm_type = type == RTM_NEWROUTE ? uint8_t{RTN_UNICAST} : uint8_t{RTN_UNSPEC},
            .rtm_flags = route.via.empty() ? 0u : unsigned{RTNH_F_ONLINK}});
  message.Put(RTA_TABLE, key.table);
  if (key.destination.length > 0) {
    message.Put(RTA_DST, std::string_view(key.destination.base.ToBytes()));
  }
  if (type == RTM_NEWROUTE) {
    ASSIGN_OR_RETURN(const int index, Index(route.link));
    message.Put(RTA_OIF, static_cast<uint32_t>(index));
    if (!route.source.empty()) {
      message.Put(RTA_PREFSRC, std::string_view(route.source.ToBytes()));
    }
    if (!route.via.empty() && route.via.family == key.destination.base.family) {
      message.Put(RTA_GATEWAY, std::string_view(route.via.ToBytes()));
    } else if (!route.via.empty()) {
      const uint16_t family = KernelFamily(route.via.family);
      std::string via(reinterpret_cast<const char*>(&family), sizeof family);
      message.Put(RTA_VIA, std::string_view(via += route.via.ToBytes()));
    }
  }
  return Annotate(socket_.Send(message),
                  absl::StrCat("route to ", key.destination.ToString(), " by ", route.link));
}

absl::Status KernelNamespace::Neighbour(int type, const NamespaceState::NeighbourKey& key,
                                        const MacAddress& mac) {
  ASSIGN_OR_RETURN(const int index, Index(key.first));
  NetlinkMessage message(type, type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0);
  message.Header(ndmsg{.ndm_family = KernelFamily(key.second.family),
                       .ndm_ifindex = index,
                       .ndm_state = NUD_PERMANENT});
  message.Put(NDA_DST, std::string_view(key.second.ToBytes()));
  message.Put(NDA_LLADDR, Bytes(mac));
  return Annotate(socket_.Send(message),
                  absl::StrCat("neighbour ", key.second.ToString(), " on ", key.first));
}

absl::Status KernelNamespace::Forwarding(int type, const NamespaceState::ForwardingKey& key,
                                         const IpAddress& to) {
  ASSIGN_OR_RETURN(const int index, Index(key.first));
  NetlinkMessage message(type, type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0);
  message.Header(ndmsg{.ndm_family = AF_BRIDGE,
                       .ndm_ifindex = index,
                       .ndm_state = NUD_PERMANENT,
                       .ndm_flags = NTF_SELF});
  message.Put(NDA_LLADDR, Bytes(key.second));
  message.Put(NDA_DST, std::string_view(to.ToBytes()));
  return Annotate(socket_.Send(message),
                  absl::StrCat("forwarding to ", to.ToString(), " on ", key.first));
}

absl::Status KernelNamespace::Rule(int type, const MarkRule& rule) {
  NetlinkMessage message(type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0);
  message.Header(fib_rule_hdr{
      .family = KernelFamily(rule.family), .table = RT_TABLE_UNSPEC, .action = FR_ACT_TO_TBL});
  message.Put(FRA_TABLE, rule.mark);
  message.Put(FRA_FWMARK, rule.mark);
  message.Put(FRA_FWMASK, uint32_t{0xffffffff});
  message.Put(FRA_PRIORITY, kRulePriority);
  message.Put(FRA_PROTOCOL, kOurProtocol);
  const absl::Status sent = socket_.Send(message);
  return absl::IsAlreadyExists(sent) ? absl::OkStatus()
                                     : Annotate(sent, absl::StrCat("rule for mark ", rule.mark));
}

absl::Status KernelNamespace::Rule(int type, const SourceRule& rule) {
  NetlinkMessage message(type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0);
  message.Header(fib_rule_hdr{.family = KernelFamily(rule.source.family),
                              .src_len = static_cast<uint8_t>(rule.source.width()),
                              .table = RT_TABLE_UNSPEC,
                              .action = FR_ACT_TO_TBL});
  message.Put(FRA_SRC, std::string_view(rule.source.ToBytes()));
  message.Put(FRA_TABLE, rule.table);
  message.Put(FRA_PRIORITY, kRulePriority);
  message.Put(FRA_PROTOCOL, kOurProtocol);
  const absl::Status sent = socket_.Send(message);
  return absl::IsAlreadyExists(sent)
             ? absl::OkStatus()
             : Annotate(sent, absl::StrCat("rule for source ", rule.source.ToString()));
}

absl::Status KernelNamespace::Put(const NamespaceState& wanted, KernelNamespace* vxlan_home,
                                  KernelNamespace* tunnel) {
  Errors errors;
  for (const auto& [name, vxlan] : wanted.vxlans) {
    errors.Add(PutVxlan(name, vxlan, IsInnerAddress(vxlan.local) ? tunnel : vxlan_home));
  }
  for (const LinkAddress& address : wanted.addresses) errors.Add(Address(RTM_NEWADDR, address));
  for (const auto& [key, to] : wanted.forwarding) errors.Add(Forwarding(RTM_NEWNEIGH, key, to));
  for (const auto& [key, mac] : wanted.neighbours) errors.Add(Neighbour(RTM_NEWNEIGH, key, mac));
  // A route by way of a gateway needs the gateway's own first.
  for (const bool near : {true, false}) {
    for (const auto& [key, route] : wanted.routes) {
      if (route.via.empty() == near) errors.Add(RouteMessage(RTM_NEWROUTE, key, route));
    }
  }
  for (const MarkRule& rule : wanted.rules) errors.Add(Rule(RTM_NEWRULE, rule));
  for (const SourceRule& rule : wanted.source_rules) errors.Add(Rule(RTM_NEWRULE, rule));
  return errors.status();
}

absl::Status KernelNamespace::Remove(const NamespaceState& unwanted) {
  Errors errors;
  const auto add = [&](const absl::Status& status) {
    const int error = socket_.last_errno();
    const bool gone =
        error == ENODEV || error == ENOENT || error == ESRCH || error == EADDRNOTAVAIL;
    if (!gone) errors.Add(status);
  };
  for (const MarkRule& rule : unwanted.rules) add(Rule(RTM_DELRULE, rule));
  for (const SourceRule& rule : unwanted.source_rules) add(Rule(RTM_DELRULE, rule));
  for (const auto& [key, route] : unwanted.routes) add(RouteMessage(RTM_DELROUTE, key, route));
  for (const auto& [key, mac] : unwanted.neighbours) add(Neighbour(RTM_DELNEIGH, key, mac));
  for (const auto& [key, to] : unwanted.forwarding) add(Forwarding(RTM_DELNEIGH, key, to));
  for (const LinkAddress& address : unwanted.addresses) add(Address(RTM_DELADDR, address));
  for (const auto& [name, vxlan] : unwanted.vxlans) add(RemoveLink(name));
  return errors.status();
}

}  // namespace swarm::agent
