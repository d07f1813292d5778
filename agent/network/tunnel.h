// Tunnel: the network namespace between VXLAN and WireGuard. In it are this node's WireGuard link
// and the UDP sockets of the VXLAN links of encrypted networks, and nothing else:
//
//   router:  … container's link ─ routes ─ vx4097 ┐
//   tunnel:                                       └ VXLAN's UDP ─ route ─ wireguard ┐
//   host:                                                     WireGuard's UDP ┘─ the underlay
//
// No link in it leads anywhere but into WireGuard, so what is in an encrypted network never leaves
// the node in clear: without the link, a peer or a key there is no way out at all (S11). It is not
// the router's namespace, because that one has a default route to the host, and because the
// router's NAT would take VXLAN's packets over IPv6 for those of the connection inside of them.
//
// It outlives the process, as the router does. Blocking; one thread at a time.
#ifndef SWARM_AGENT_NETWORK_TUNNEL_H_
#define SWARM_AGENT_NETWORK_TUNNEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/kernel_namespace.h"
#include "agent/network/network_namespace.h"
#include "agent/network/tunnel_state.h"
#include "agent/network/wireguard_socket.h"

namespace swarm::agent {

// Its name in the folder of namespaces; no task is called that.
inline constexpr char kTunnelFile[] = "tunnel";

class Tunnel {
 public:
  // In `space`, which may be as an earlier process left it.
  static absl::StatusOr<std::unique_ptr<Tunnel>> Open(NetworkNamespace space);

  // What is there. A link that is not up, or has not its address and route, has the MTU 0.
  absl::StatusOr<TunnelState> Read();
  // The link's UDP socket is in the namespace of `host`. Goes on after an error, and says the
  // first.
  absl::Status Put(const TunnelState& wanted, KernelNamespace* host);
  // What is not there any more is fine.
  absl::Status Remove(const TunnelState& unwanted);

  const NetworkNamespace& space() const { return space_; }
  KernelNamespace* kernel() { return &kernel_; }

 private:
  Tunnel(NetworkNamespace space, KernelNamespace kernel, WireguardSocket wireguard)
      : space_(std::move(space)), kernel_(std::move(kernel)), wireguard_(std::move(wireguard)) {}
  absl::Status PutLink(const WireguardLink& wanted, KernelNamespace* host);

  const NetworkNamespace space_;
  KernelNamespace kernel_;
  WireguardSocket wireguard_;
};

// Whether this kernel can do all of it: tries, in a namespace of its own that goes again. An error
// says what it lacks. Takes some milliseconds, and longer when the kernel loads a module for it.
absl::Status CheckWireguard();

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_TUNNEL_H_
