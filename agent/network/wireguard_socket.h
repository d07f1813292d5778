// WireguardSocket: keys, port and peers of WireGuard links of one network namespace, as the kernel
// has them (generic netlink; linux/wireguard.h). The links themselves are rtnetlink's.
//
// Blocking for as long as the kernel takes. One thread at a time.
#ifndef SWARM_AGENT_NETWORK_WIREGUARD_SOCKET_H_
#define SWARM_AGENT_NETWORK_WIREGUARD_SOCKET_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/netlink_socket.h"
#include "agent/network/tunnel_state.h"

namespace swarm::agent {

class WireguardSocket {
 public:
  static absl::StatusOr<WireguardSocket> Open(const NetworkNamespace& space);

  // The link's private key, port and peers; its MTU and address are not here. NotFound when there
  // is no such link.
  absl::StatusOr<TunnelState> Read(const std::string& link);
  // Key and port. Peers stay, and find by themselves that the key is another one.
  absl::Status SetLink(const std::string& link, const WireguardLink& wanted);
  // An address that another peer has goes over to this one.
  absl::Status PutPeer(const std::string& link, const std::string& key, const WireguardPeer& peer);
  // Missing is OK.
  absl::Status RemovePeer(const std::string& link, const std::string& key);

 private:
  explicit WireguardSocket(NetlinkSocket socket) : socket_(std::move(socket)) {}
  // The number by which this boot's kernel knows WireGuard; there once it has made a link.
  absl::StatusOr<int> Family();
  // `flags` of WireGuard's; null `peer`: the key alone.
  absl::Status ChangePeer(const std::string& link, const std::string& key, uint32_t flags,
                          const WireguardPeer* peer);

  NetlinkSocket socket_;
  int family_ = 0;  // 0: not asked yet
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_WIREGUARD_SOCKET_H_
