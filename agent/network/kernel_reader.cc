// KernelNamespace, the reading half.
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <functional>

#include "agent/network/kernel_namespace.h"
#include "agent/network/netlink_attributes.h"
#include "agent/network/netlink_codes.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

using Attributes = NetlinkAttributes;

template <typename T>
const T& HeaderOf(const nlmsghdr* header) {
  return *static_cast<const T*>(nlmsg_data(header));
}

bool MadeByTheKernel(const IpAddress& address) {
  if (address.is_v4()) return address.bytes[0] == 127;
  const bool link_local = address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
  return link_local || address == IpAddress::Parse("::1").value();
}

IpAddress::Family FamilyOf(int kernel_family) {
  return kernel_family == AF_INET6 ? IpAddress::Family::kV6 : IpAddress::Family::kV4;
}

VxlanLink ReadVxlan(const Attributes& link, const nlattr* data) {
  const Attributes vxlan(data, IFLA_VXLAN_MAX);
  IpAddress local = vxlan.Address(IFLA_VXLAN_LOCAL);
  if (local.empty()) local = vxlan.Address(IFLA_VXLAN_LOCAL6);
  return {.vni = vxlan.Number<uint32_t>(IFLA_VXLAN_ID),
          .port = ntohs(vxlan.Number<uint16_t>(IFLA_VXLAN_PORT)),
          .local = local,
          .mac = link.Mac(IFLA_ADDRESS),
          .mtu = static_cast<int>(link.Number<uint32_t>(IFLA_MTU))};
}

absl::Status Dump(NetlinkSocket* socket, int type, int family,
                  absl::FunctionRef<void(const nlmsghdr*)> visit) {
  NetlinkMessage message(type, NLM_F_DUMP);
  const auto kernel_family = static_cast<unsigned char>(family);
  // Each kind with its own: the kernel's log complains of what is behind a shorter one.
  switch (type) {
    case RTM_GETADDR:
      message.Header(ifaddrmsg{.ifa_family = kernel_family});
      break;
    case RTM_GETROUTE:
      message.Header(rtmsg{.rtm_family = kernel_family});
      break;
    case RTM_GETRULE:
      message.Header(fib_rule_hdr{.family = kernel_family});
      break;
    case RTM_GETNEIGH:
      message.Header(ndmsg{.ndm_family = kernel_family});
      break;
    default:
      message.Header(ifinfomsg{.ifi_family = kernel_family});
  }
  return socket->Ask(message, visit);
}

// Of one Read.
struct Reader {
  std::map<int, std::string> names;  // of the links that count
  bool our_routes_only = false;
  NamespaceState state;

  void Address(const nlmsghdr* header) {
    const auto& info = HeaderOf<ifaddrmsg>(header);
    const Attributes attributes(header, sizeof info, IFA_MAX);
    const auto name = names.find(static_cast<int>(info.ifa_index));
    IpAddress address = attributes.Address(IFA_LOCAL);
    if (address.empty()) address = attributes.Address(IFA_ADDRESS);
    if (name == names.end() || address.empty() || MadeByTheKernel(address)) return;
    state.addresses.insert({name->second, address, info.ifa_prefixlen});
  }

  void Route(const nlmsghdr* header) {
    const auto& info = HeaderOf<rtmsg>(header);
    const Attributes attributes(header, sizeof info, RTA_MAX);
    const auto table = attributes.Number<uint32_t>(RTA_TABLE, info.rtm_table);
    if (table == RT_TABLE_LOCAL || (info.rtm_flags & RTM_F_CLONED) != 0) return;
    if (info.rtm_protocol == RTPROT_KERNEL || info.rtm_protocol == RTPROT_REDIRECT) return;
    if (our_routes_only && info.rtm_protocol != kOurProtocol) return;
    const auto name = names.find(static_cast<int>(attributes.Number<uint32_t>(RTA_OIF)));
    if (name == names.end() && our_routes_only) return;
    RouteKey key{.table = table};
    key.destination.base = attributes.Address(RTA_DST);
    key.destination.base.family = FamilyOf(info.rtm_family);
    key.destination.length = info.rtm_dst_len;
    swarm::agent::Route route{.link = name == names.end() ? "" : name->second,
                              .via = attributes.Address(RTA_GATEWAY),
                              .source = attributes.Address(RTA_PREFSRC)};
    if (attributes.Has(RTA_VIA)) {
      route.via = IpAddress::FromBytes(attributes.Bytes(RTA_VIA).substr(sizeof(uint16_t)));
    }
    state.routes[key] = route;
  }

  void Neighbour(const nlmsghdr* header) {
    const auto& info = HeaderOf<ndmsg>(header);
    const Attributes attributes(header, sizeof info, NDA_MAX);
    const auto name = names.find(info.ndm_ifindex);
    if (name == names.end() || (info.ndm_state & NUD_PERMANENT) == 0) return;
    const IpAddress address = attributes.Address(NDA_DST);
    if (address.empty() || !attributes.Has(NDA_LLADDR)) return;
    if (info.ndm_family == AF_BRIDGE) {
      state.forwarding[{name->second, attributes.Mac(NDA_LLADDR)}] = address;
    } else {
      state.neighbours[{name->second, address}] = attributes.Mac(NDA_LLADDR);
    }
  }

  void Rule(const nlmsghdr* header) {
    const auto& info = HeaderOf<fib_rule_hdr>(header);
    const Attributes attributes(header, sizeof info, FRA_MAX);
    const auto mark = attributes.Number<uint32_t>(FRA_FWMARK);
    if (attributes.Number<uint8_t>(FRA_PROTOCOL) != kOurProtocol) return;
    if (mark != 0) state.rules.insert({FamilyOf(info.family), mark});
    const IpAddress source = attributes.Address(FRA_SRC);
    if (source.empty()) return;
    state.source_rules.insert({source, attributes.Number<uint32_t>(FRA_TABLE, info.table)});
  }
};

}  // namespace

absl::StatusOr<std::map<std::string, KernelNamespace::Link>> KernelNamespace::Links() {
  std::map<std::string, Link> links;
  RETURN_IF_ERROR(Dump(&socket_, RTM_GETLINK, AF_UNSPEC, [&](const nlmsghdr* header) {
    const auto& info = HeaderOf<ifinfomsg>(header);
    const Attributes attributes(header, sizeof info, IFLA_MAX);
    Link& link = links[attributes.Text(IFLA_IFNAME)];
    link = {.index = info.ifi_index,
            .up = (info.ifi_flags & IFF_UP) != 0,
            .mtu = static_cast<int>(attributes.Number<uint32_t>(IFLA_MTU)),
            .mac = attributes.Mac(IFLA_ADDRESS),
            .alias = attributes.Text(IFLA_IFALIAS)};
    link.enslaved = attributes.Has(IFLA_MASTER);
    if (attributes.Has(IFLA_LINKINFO)) {
      link.kind = Attributes(attributes[IFLA_LINKINFO], IFLA_INFO_MAX).Text(IFLA_INFO_KIND);
    }
  }));
  indexes_.clear();
  for (const auto& [name, link] : links) indexes_[name] = link.index;
  return links;
}

absl::StatusOr<bool> KernelNamespace::IsActive(const std::string& link) {
  NetlinkMessage message(RTM_GETLINK, 0);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC});
  message.PutText(IFLA_IFNAME, link);
  bool active = false;
  RETURN_IF_ERROR(socket_.Ask(message, [&](const nlmsghdr* header) {
    const Attributes attributes(header, sizeof(ifinfomsg), IFLA_MAX);
    active = attributes.Number<uint8_t>(IFLA_OPERSTATE) == IF_OPER_UP;
  }));
  return active;
}

absl::StatusOr<NamespaceState> KernelNamespace::Read(const std::string& link,
                                                     bool our_routes_only) {
  Reader reader{.our_routes_only = our_routes_only};
  RETURN_IF_ERROR(Dump(&socket_, RTM_GETLINK, AF_UNSPEC, [&](const nlmsghdr* header) {
    const auto& info = HeaderOf<ifinfomsg>(header);
    const Attributes attributes(header, sizeof info, IFLA_MAX);
    const std::string name = attributes.Text(IFLA_IFNAME);
    if (!link.empty() && name != link) return;
    reader.names[info.ifi_index] = name;
    if (!attributes.Has(IFLA_LINKINFO) || (info.ifi_flags & IFF_UP) == 0) return;
    const Attributes kind(attributes[IFLA_LINKINFO], IFLA_INFO_MAX);
    if (kind.Text(IFLA_INFO_KIND) != "vxlan" || !kind.Has(IFLA_INFO_DATA)) return;
    reader.state.vxlans[name] = ReadVxlan(attributes, kind[IFLA_INFO_DATA]);
  }));
  indexes_.clear();
  for (const auto& [index, name] : reader.names) indexes_[name] = index;
  for (const int family : {AF_INET, AF_INET6}) {
    RETURN_IF_ERROR(Dump(&socket_, RTM_GETADDR, family,
                         [&](const nlmsghdr* header) { reader.Address(header); }));
    RETURN_IF_ERROR(Dump(&socket_, RTM_GETROUTE, family,
                         [&](const nlmsghdr* header) { reader.Route(header); }));
    RETURN_IF_ERROR(
        Dump(&socket_, RTM_GETRULE, family, [&](const nlmsghdr* header) { reader.Rule(header); }));
  }
  for (const int family : {AF_INET, AF_INET6, AF_BRIDGE}) {
    RETURN_IF_ERROR(Dump(&socket_, RTM_GETNEIGH, family,
                         [&](const nlmsghdr* header) { reader.Neighbour(header); }));
  }
  return std::move(reader.state);
}

}  // namespace swarm::agent
