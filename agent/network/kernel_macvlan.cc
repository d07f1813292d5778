// KernelNamespace: links on top of links of the host.
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "agent/network/kernel_namespace.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

std::string_view Bytes(const MacAddress& mac) {
  return {reinterpret_cast<const char*>(mac.bytes.data()), mac.bytes.size()};
}

uint32_t KernelMode(MacvlanMode mode) {
  switch (mode) {
    case MacvlanMode::kBridge:
      return MACVLAN_MODE_BRIDGE;
    case MacvlanMode::kPrivate:
      return MACVLAN_MODE_PRIVATE;
    case MacvlanMode::kVepa:
      return MACVLAN_MODE_VEPA;
    case MacvlanMode::kPassthru:
      return MACVLAN_MODE_PASSTHRU;
  }
  return MACVLAN_MODE_BRIDGE;
}

}  // namespace

absl::Status KernelNamespace::MakeMacvlan(const Macvlan& macvlan) {
  ASSIGN_OR_RETURN(const int parent, Index(macvlan.parent));
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC});
  message.PutText(IFLA_IFNAME, macvlan.name);
  message.Put(IFLA_LINK, static_cast<uint32_t>(parent));
  if (macvlan.mac != MacAddress()) message.Put(IFLA_ADDRESS, Bytes(macvlan.mac));
  if (macvlan.space >= 0) message.Put(IFLA_NET_NS_FD, static_cast<uint32_t>(macvlan.space));
  nlattr* info = message.Begin(IFLA_LINKINFO);
  message.PutText(IFLA_INFO_KIND, "macvlan");
  nlattr* data = message.Begin(IFLA_INFO_DATA);
  message.Put(IFLA_MACVLAN_MODE, KernelMode(macvlan.mode));
  message.End(data);
  message.End(info);
  const absl::Status made = socket_.Send(message);
  const std::string doing = absl::StrCat("make a macvlan link on ", macvlan.parent);
  if (made.ok() || absl::IsAlreadyExists(made)) return Annotate(made, doing);
  switch (socket_.last_errno()) {
    case EBUSY:
      // The kernel says so of a link that is in a bridge, and of passthru beside others.
      return absl::FailedPreconditionError(absl::StrCat(
          doing,
          ": it is in use by another link on top of it (a bridge, a bond, or a macvlan link "
          "of mode passthru, which wants it alone)"));
    case EINVAL:
      return absl::FailedPreconditionError(absl::StrCat(
          doing,
          ": the kernel takes none there: mode passthru wants the link alone, and a link "
          "that has no hardware addresses cannot carry any"));
    case EOPNOTSUPP:
      return absl::FailedPreconditionError(
          absl::StrCat(doing, ": this node's kernel has no macvlan"));
    default:
      return Annotate(made, doing);
  }
}

absl::Status KernelNamespace::MakeVlan(const std::string& name, const std::string& base,
                                       uint16_t id, const std::string& alias) {
  ASSIGN_OR_RETURN(const int below, Index(base));
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP});
  message.PutText(IFLA_IFNAME, name);
  message.Put(IFLA_LINK, static_cast<uint32_t>(below));
  nlattr* info = message.Begin(IFLA_LINKINFO);
  message.PutText(IFLA_INFO_KIND, "vlan");
  nlattr* data = message.Begin(IFLA_INFO_DATA);
  message.Put(IFLA_VLAN_ID, id);
  message.End(data);
  message.End(info);
  indexes_.erase(name);
  const absl::Status made = socket_.Send(message);
  if (!made.ok() && socket_.last_errno() == EOPNOTSUPP) {
    return absl::FailedPreconditionError(
        absl::StrCat("make link ", name, ": this node's kernel has no VLANs (module 8021q)"));
  }
  RETURN_IF_ERROR(Annotate(made, absl::StrCat("make link ", name)));
  return SetAlias(name, alias);
}

absl::Status KernelNamespace::Rename(const std::string& link, const std::string& name) {
  ASSIGN_OR_RETURN(const int index, Index(link));
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = index});
  message.PutText(IFLA_IFNAME, name);
  indexes_.erase(link);
  indexes_.erase(name);
  return Annotate(socket_.Send(message), absl::StrCat("name link ", name));
}

// A link that gets the hardware address that it has tells its neighbours.
absl::Status KernelNamespace::Announce(const std::string& link, const MacAddress& mac) {
  if (mac == MacAddress()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int index, Index(link));
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = index});
  message.Put(IFLA_ADDRESS, Bytes(mac));
  return Annotate(socket_.Send(message), absl::StrCat("announce link ", link));
}

}  // namespace swarm::agent
