#include "agent/network/tunnel.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr char kLink[] = "wireguard";
constexpr char kKind[] = "wireguard";

// Of the link: which peer a packet goes to is WireGuard's to know.
NamespaceState AddressAndRoute(const IpAddress& address) {
  NamespaceState state;
  state.addresses.insert({kLink, address, address.width()});
  state.routes[{kMainTable, InnerPrefix()}] = {.link = kLink, .source = address};
  return state;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tunnel>> Tunnel::Open(NetworkNamespace space) {
  ASSIGN_OR_RETURN(KernelNamespace kernel, KernelNamespace::Open(space));
  ASSIGN_OR_RETURN(WireguardSocket wireguard, WireguardSocket::Open(space));
  RETURN_IF_ERROR(kernel.SetUp("lo"));
  return std::unique_ptr<Tunnel>(
      new Tunnel(std::move(space), std::move(kernel), std::move(wireguard)));
}

absl::StatusOr<TunnelState> Tunnel::Read() {
  ASSIGN_OR_RETURN(const auto links, kernel_.Links());
  const auto link = links.find(kLink);
  if (link == links.end() || link->second.kind != kKind) return TunnelState();
  ASSIGN_OR_RETURN(TunnelState state, wireguard_.Read(kLink));
  ASSIGN_OR_RETURN(const NamespaceState there, kernel_.Read(kLink, false));
  for (const LinkAddress& address : there.addresses) {
    if (state.link && IsInnerAddress(address.address)) state.link->address = address.address;
  }
  if (!state.link) return state;
  const bool whole = link->second.up && there == AddressAndRoute(state.link->address);
  state.link->mtu = whole ? link->second.mtu : 0;
  return state;
}

absl::Status Tunnel::PutLink(const WireguardLink& wanted, KernelNamespace* host) {
  ASSIGN_OR_RETURN(const auto links, kernel_.Links());
  const auto there = links.find(kLink);
  if (there != links.end() && there->second.kind != kKind) {
    RETURN_IF_ERROR(kernel_.RemoveLink(kLink));
  }
  if (there == links.end() || there->second.kind != kKind) {
    RETURN_IF_ERROR(host->MakeWireguard(kLink, space_.fd()));
    kernel_.Forget(kLink);
  }
  RETURN_IF_ERROR(wireguard_.SetLink(kLink, wanted));
  RETURN_IF_ERROR(kernel_.SetMtu(kLink, wanted.mtu));
  absl::Status up = kernel_.SetUp(kLink);
  if (!up.ok()) {
    return Annotate(up, absl::StrCat("encrypted networks need UDP port ", wanted.port,
                                     " of this host (--wireguard-port, the same on every node)"));
  }
  const NamespaceState base = AddressAndRoute(wanted.address);
  ASSIGN_OR_RETURN(const NamespaceState is, kernel_.Read(kLink, false));
  const NamespaceDifference difference = Difference(is, base);
  RETURN_IF_ERROR(kernel_.Put(difference.put, nullptr));
  return kernel_.Remove(difference.remove);
}

absl::Status Tunnel::Put(const TunnelState& wanted, KernelNamespace* host) {
  absl::Status status;
  if (wanted.link) status.Update(PutLink(*wanted.link, host));
  for (const auto& [key, peer] : wanted.peers) status.Update(wireguard_.PutPeer(kLink, key, peer));
  return Annotate(status, "the tunnel of encrypted networks");
}

absl::Status Tunnel::Remove(const TunnelState& unwanted) {
  absl::Status status;
  if (unwanted.link) {
    status = kernel_.RemoveLink(kLink);  // and all peers
  } else {
    for (const auto& [key, peer] : unwanted.peers) {
      status.Update(wireguard_.RemovePeer(kLink, key));
    }
  }
  return Annotate(status, "the tunnel of encrypted networks");
}

absl::Status CheckWireguard() {
  ASSIGN_OR_RETURN(NetworkNamespace space, NetworkNamespace::MakeUnnamed());
  ASSIGN_OR_RETURN(const std::unique_ptr<Tunnel> tunnel, Tunnel::Open(std::move(space)));
  TunnelState tried;
  tried.link = {.private_key = std::string(32, '@'),  // a key as good as any: nobody is there
                .port = 1,
                .mtu = 1420,
                .address = InnerAddress("tried")};
  RETURN_IF_ERROR(tunnel->Put(tried, tunnel->kernel()));
  ASSIGN_OR_RETURN(const TunnelState there, tunnel->Read());
  if (there == tried) return absl::OkStatus();
  return absl::InternalError("the kernel's WireGuard link is not as it was made");
}

}  // namespace swarm::agent
