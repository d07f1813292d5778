// Router, what carries encrypted networks.
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/network/router.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {

std::string Router::TunnelPath() const {
  return absl::StrCat(options_.netns_dir, "/", kTunnelFile);
}

absl::Status Router::OpenTunnel() {
  if (tunnel_ != nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(NetworkNamespace space, NetworkNamespace::OpenOrMake(TunnelPath()));
  ASSIGN_OR_RETURN(tunnel_, Tunnel::Open(std::move(space)));
  return absl::OkStatus();
}

// The networks that are not encrypted have nothing to do with it: no call fails by it, or each one
// would for as long as, say, another program has the port. Said once.
void Router::NoteTunnel(const absl::Status& status) {
  if (status.ok() || tunnel_trouble_ == status.message()) return;
  tunnel_trouble_ = ToStd(status.message());
  LogError("networks", tunnel_trouble_);
}

absl::Status Router::PutTunnel(const TunnelState& wanted) {
  if (wanted.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(OpenTunnel());
  return tunnel_->Put(wanted, &host_kernel_);
}

absl::Status Router::RemoveTunnel(const TunnelState& unwanted) {
  return tunnel_ == nullptr ? absl::OkStatus() : tunnel_->Remove(unwanted);
}

absl::Status Router::ResyncTunnel(const TunnelState& wanted) {
  if (tunnel_ == nullptr && wanted.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(OpenTunnel());
  if (!NetworkNamespace::Open(TunnelPath()).ok()) {
    RETURN_IF_ERROR(tunnel_->space().Bind(TunnelPath()));
  }
  ASSIGN_OR_RETURN(const TunnelState there, tunnel_->Read());
  const TunnelDifference difference = Difference(there, wanted);
  absl::Status status = tunnel_->Put(difference.put, &host_kernel_);
  if (told_) status.Update(tunnel_->Remove(difference.remove));
  return status;
}

}  // namespace swarm::agent
