#include "agent/network/wireguard_socket.h"

#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "agent/network/netlink_attributes.h"
#include "common/socket_address.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

// The kernel takes no attribute of attributes without it.
constexpr int Nest(int attribute) { return attribute | NLA_F_NESTED; }

// An attribute of attributes for as long as it lives.
class Nested {
 public:
  Nested(NetlinkMessage& message, int attribute)
      : message_(message), attribute_(message.Begin(Nest(attribute))) {}
  ~Nested() { message_.End(attribute_); }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  NetlinkMessage& message_;
  nlattr* attribute_;
};

void PutAllowed(const IpAddress& address, NetlinkMessage& message) {
  const Nested all(message, WGPEER_A_ALLOWEDIPS);
  const Nested only(message, 0);
  message.Put(WGALLOWEDIP_A_FAMILY, uint16_t{AF_INET6});
  message.Put(WGALLOWEDIP_A_IPADDR, std::string_view(address.ToBytes()));
  message.Put(WGALLOWEDIP_A_CIDR_MASK, static_cast<uint8_t>(address.width()));
}

void PutEndpoint(const WireguardPeer& peer, NetlinkMessage& message) {
  const SocketAddress endpoint = ToSocketAddress(peer.endpoint, peer.port);
  message.Put(WGPEER_A_ENDPOINT,
              std::string_view(reinterpret_cast<const char*>(&endpoint.storage), endpoint.size));
}

SocketAddress FromKernel(std::string_view bytes) {
  SocketAddress address;
  if (bytes.size() > sizeof address.storage) return address;
  std::memcpy(&address.storage, bytes.data(), bytes.size());
  address.size = static_cast<socklen_t>(bytes.size());
  return address;
}

// Both families have it at the same place.
uint16_t PortOf(const SocketAddress& address) {
  sockaddr_in in = {};
  std::memcpy(&in, &address.storage, sizeof in);
  return ntohs(in.sin_port);
}

// Empty when it is not exactly one address: as none of ours is.
IpAddress AllowedOf(const nlattr* all) {
  IpAddress found;
  int count = 0;
  int rest = 0;
  const nlattr* one = nullptr;
  nla_for_each_nested(one, all, rest) {
    const NetlinkAttributes allowed(one, WGALLOWEDIP_A_MAX);
    found = allowed.Address(WGALLOWEDIP_A_IPADDR);
    if (allowed.Number<uint8_t>(WGALLOWEDIP_A_CIDR_MASK) != found.width()) return {};
    ++count;
  }
  return count == 1 ? found : IpAddress();
}

void ReadPeers(const nlattr* all, TunnelState& state) {
  int rest = 0;
  const nlattr* one = nullptr;
  nla_for_each_nested(one, all, rest) {
    const NetlinkAttributes from(one, WGPEER_A_MAX);
    const SocketAddress endpoint = FromKernel(from.Bytes(WGPEER_A_ENDPOINT));
    WireguardPeer& peer = state.peers[std::string(from.Bytes(WGPEER_A_PUBLIC_KEY))];
    if (endpoint.size > 0) {
      peer.endpoint = FromSocketAddress(endpoint);
      peer.port = PortOf(endpoint);
    }
    if (from.Has(WGPEER_A_ALLOWEDIPS)) peer.address = AllowedOf(from[WGPEER_A_ALLOWEDIPS]);
  }
}

genlmsghdr SetCommand() { return {.cmd = WG_CMD_SET_DEVICE, .version = WG_GENL_VERSION}; }

}  // namespace

absl::StatusOr<WireguardSocket> WireguardSocket::Open(const NetworkNamespace& space) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(space, NETLINK_GENERIC));
  return WireguardSocket(std::move(socket));
}

absl::StatusOr<int> WireguardSocket::Family() {
  if (family_ != 0) return family_;
  NetlinkMessage message(GENL_ID_CTRL, 0);
  message.Header(genlmsghdr{.cmd = CTRL_CMD_GETFAMILY, .version = 1});
  message.PutText(CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
  int family = 0;
  RETURN_IF_ERROR(Annotate(socket_.Ask(message,
                                       [&](const nlmsghdr* header) {
                                         const NetlinkAttributes attributes(
                                             header, sizeof(genlmsghdr), CTRL_ATTR_MAX);
                                         family = attributes.Number<uint16_t>(CTRL_ATTR_FAMILY_ID);
                                       }),
                           "find WireGuard in the kernel"));
  return family_ = family;
}

absl::StatusOr<TunnelState> WireguardSocket::Read(const std::string& link) {
  ASSIGN_OR_RETURN(const int family, Family());
  NetlinkMessage message(family, NLM_F_DUMP);
  message.Header(genlmsghdr{.cmd = WG_CMD_GET_DEVICE, .version = WG_GENL_VERSION});
  message.PutText(WGDEVICE_A_IFNAME, link);
  TunnelState state;
  // Of many peers there are many messages, and the first alone has what is the link's.
  const absl::Status read = socket_.Ask(message, [&](const nlmsghdr* header) {
    const NetlinkAttributes device(header, sizeof(genlmsghdr), WGDEVICE_A_MAX);
    if (!state.link) state.link.emplace();
    if (device.Has(WGDEVICE_A_LISTEN_PORT)) {
      state.link->private_key = std::string(device.Bytes(WGDEVICE_A_PRIVATE_KEY));
      state.link->port = device.Number<uint16_t>(WGDEVICE_A_LISTEN_PORT);
    }
    if (device.Has(WGDEVICE_A_PEERS)) ReadPeers(device[WGDEVICE_A_PEERS], state);
  });
  RETURN_IF_ERROR(Annotate(read, absl::StrCat("read link ", link)));
  return state;
}

absl::Status WireguardSocket::SetLink(const std::string& link, const WireguardLink& wanted) {
  ASSIGN_OR_RETURN(const int family, Family());
  NetlinkMessage message(family, 0);
  message.Header(SetCommand());
  message.PutText(WGDEVICE_A_IFNAME, link);
  message.Put(WGDEVICE_A_PRIVATE_KEY, std::string_view(wanted.private_key));
  message.Put(WGDEVICE_A_LISTEN_PORT, wanted.port);
  return Annotate(socket_.Send(message), absl::StrCat("key and port of ", link));
}

absl::Status WireguardSocket::PutPeer(const std::string& link, const std::string& key,
                                      const WireguardPeer& peer) {
  return Annotate(ChangePeer(link, key, WGPEER_F_REPLACE_ALLOWEDIPS, &peer),
                  absl::StrCat("node ", peer.endpoint.ToString(), " on ", link));
}

absl::Status WireguardSocket::RemovePeer(const std::string& link, const std::string& key) {
  const absl::Status removed = ChangePeer(link, key, WGPEER_F_REMOVE_ME, nullptr);
  const int error = socket_.last_errno();
  if (removed.ok() || error == ENODEV || error == ENOENT) return absl::OkStatus();
  return Annotate(removed, absl::StrCat("a node that left ", link));
}

absl::Status WireguardSocket::ChangePeer(const std::string& link, const std::string& key,
                                         uint32_t flags, const WireguardPeer* peer) {
  ASSIGN_OR_RETURN(const int family, Family());
  NetlinkMessage message(family, 0);
  message.Header(SetCommand());
  message.PutText(WGDEVICE_A_IFNAME, link);
  {
    const Nested all(message, WGDEVICE_A_PEERS);
    const Nested one(message, 0);
    message.Put(WGPEER_A_PUBLIC_KEY, std::string_view(key));
    message.Put(WGPEER_A_FLAGS, flags);
    if (peer != nullptr) {
      PutEndpoint(*peer, message);
      PutAllowed(peer->address, message);
    }
  }
  return socket_.Send(message);
}

}  // namespace swarm::agent
