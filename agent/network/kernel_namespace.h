// KernelNamespace: the links, addresses, routes, neighbours and rules of one network namespace as
// they are in the kernel (rtnetlink): reads them as a NamespaceState, and brings them to another.
//
// Blocking for as long as the kernel takes. One thread at a time.
#ifndef SWARM_AGENT_NETWORK_KERNEL_NAMESPACE_H_
#define SWARM_AGENT_NETWORK_KERNEL_NAMESPACE_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/namespace_state.h"
#include "agent/network/netlink_socket.h"
#include "agent/network/network_state.h"

namespace swarm::agent {

class KernelNamespace {
 public:
  struct Link {
    int index = 0;
    bool up = false;
    int mtu = 0;
    MacAddress mac;
    std::string alias;
    std::string kind;       // "veth", "vxlan"; empty for `lo`
    bool enslaved = false;  // to a bridge, a bond or the like: it carries for that one alone
  };
  struct Macvlan {
    std::string name;    // in this namespace nothing may have it, either
    std::string parent;  // of this namespace
    MacvlanMode mode = MacvlanMode::kBridge;
    MacAddress mac;  // of zeros: the parent's, as passthru needs it
    int space = -1;  // descriptor of the namespace it goes to
  };
  // One end of a pair.
  struct VethEnd {
    std::string name;
    MacAddress mac;
    int space = -1;  // file descriptor of the namespace it goes to; -1: this one
  };

  static absl::StatusOr<KernelNamespace> Open(const NetworkNamespace& space);

  absl::StatusOr<std::map<std::string, Link>> Links();
  // What is there beside what the kernel makes by itself; `link` alone when it is not empty. Of
  // routes all, or those alone that this class put there.
  absl::StatusOr<NamespaceState> Read(const std::string& link, bool our_routes_only);

  // Makes, or gives new values to, everything in `wanted`. Goes on after an error, and says the
  // first and how many there were. VXLAN links are made by way of `vxlan_home`: the namespace that
  // their packets come and go by; those of encrypted networks, whose own address is an inner one
  // (tunnel_state.h), by way of `tunnel` and never otherwise.
  absl::Status Put(const NamespaceState& wanted, KernelNamespace* vxlan_home,
                   KernelNamespace* tunnel = nullptr);
  // What is not there any more is fine.
  absl::Status Remove(const NamespaceState& unwanted);
  // A VXLAN link had to be made anew since the last call: what was on it is lost.
  bool TakeRemade() { return std::exchange(remade_, false); }

  // Says that another one made `link` anew.
  void Forget(const std::string& link) { indexes_.erase(link); }
  // `one` is up, `other` is down until SetUp in its namespace. AlreadyExists.
  absl::Status MakeVeth(const VethEnd& one, const std::string& alias, const VethEnd& other,
                        int mtu);
  // Down, with the parent's MTU. AlreadyExists; NotFound: no such parent.
  absl::Status MakeMacvlan(const Macvlan& macvlan);
  // Up, on top of `base`.
  absl::Status MakeVlan(const std::string& name, const std::string& base, uint16_t id,
                        const std::string& alias);
  // Says on the wire that the link's addresses are here (where arp_notify and ndisc_notify are on).
  absl::Status Announce(const std::string& link, const MacAddress& mac);
  // Of a link that is down.
  absl::Status Rename(const std::string& link, const std::string& name);
  // In `space`; its UDP socket is in this namespace. Down. AlreadyExists.
  absl::Status MakeWireguard(const std::string& name, int space);
  absl::Status SetUp(const std::string& link);
  absl::Status SetMtu(const std::string& link, int mtu);
  // Until a pair's end that was up before the other one takes packets: the kernel sees to that some
  // time after the other one is up, and drops what is sent meanwhile. DeadlineExceeded after 1 s.
  absl::Status AwaitActive(const std::string& link);
  // Packets that come by `link` may be for ::1 (once NAT is undone), as route_localnet allows it
  // for 127.0.0.0/8. Goes with the link.
  absl::Status AcceptLoopback6(const std::string& link);
  // Missing is OK. Both ends of a pair go.
  absl::Status RemoveLink(const std::string& link);
  absl::Status ChangeLink(const std::string& link, const MacAddress& mac, int mtu);

 private:
  KernelNamespace(NetlinkSocket socket, int space) : socket_(std::move(socket)), space_(space) {}
  absl::StatusOr<int> Index(const std::string& link);
  absl::StatusOr<bool> IsActive(const std::string& link);
  // Null `home`: FailedPrecondition.
  absl::Status PutVxlan(const std::string& name, const VxlanLink& vxlan, KernelNamespace* home);
  absl::Status MakeVxlan(const std::string& name, const VxlanLink& vxlan, int space);
  absl::Status Address(int type, const LinkAddress& address);
  absl::Status RouteMessage(int type, const RouteKey& key, const Route& route);
  absl::Status Neighbour(int type, const NamespaceState::NeighbourKey& key, const MacAddress& mac);
  absl::Status Forwarding(int type, const NamespaceState::ForwardingKey& key, const IpAddress& to);
  absl::Status Rule(int type, const MarkRule& rule);
  absl::Status Rule(int type, const SourceRule& rule);
  absl::Status SetAlias(const std::string& link, const std::string& alias);

  NetlinkSocket socket_;
  int space_;  // descriptor of the namespace, owned by the caller of Open
  std::map<std::string, int> indexes_;
  bool remade_ = false;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_KERNEL_NAMESPACE_H_
