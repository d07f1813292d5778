#include "manager/api/node_roll.h"

#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/role_table.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kTellTheNode[] = {"/swarm.v1.Dispatcher/Session",
                                             "/swarm.v1.CertificateRenewal/RenewNodeCertificate"};

}  // namespace

void NodeRoll::Start(Store& store) {
  watch_ = store.Watch(WatchSpeed::kApplied, [this](const ChangeSet& changes) {
    MutexLock lock(mu_);
    for (const Change& change : changes.changes) {
      if (!change.Is<Node>()) continue;
      if (Ref<Node> after = change.After<Node>()) {
        nodes_.insert(Id::ParseOrZero(after->id()));
      } else {
        nodes_.erase(Id::ParseOrZero(change.Before<Node>()->id()));
      }
    }
  });
  MutexLock lock(mu_);
  store.view().EachNode([&](const Ref<Node>& node) {
    nodes_.insert(Id::ParseOrZero(node->id()));
    return true;
  });
}

absl::Status NodeRoll::Admit(std::string_view method, const edge::PeerIdentity& peer) const {
  RETURN_IF_ERROR(Authorize(method, peer));
  if (!peer.IsNode()) return absl::OkStatus();
  for (std::string_view tells : kTellTheNode) {
    if (method == tells) return absl::OkStatus();
  }
  MutexLock lock(mu_);
  if (nodes_.contains(Id::ParseOrZero(peer.certificate.name))) return absl::OkStatus();
  return absl::PermissionDeniedError(StrCat(peer.ToString(), " was removed from the cluster"));
}

}  // namespace swarm::manager
