// NodeRoll: which nodes the cluster has, for gRPC's threads: a node that was removed still has a
// certificate that checks out.
//
//   NodeRoll roll;  roll.Start(store);          // on the loop
//   absl::Status s = roll.Admit(method, peer);  // any thread
#ifndef SWARM_MANAGER_API_NODE_ROLL_H_
#define SWARM_MANAGER_API_NODE_ROLL_H_

#include <memory>
#include <set>
#include <string_view>

#include "absl/status/status.h"
#include "common/grpc/peer.h"
#include "common/mutex.h"
#include "manager/store/store.h"

namespace swarm::manager {

class NodeRoll {
 public:
  // Takes what is there and watches: a removal counts at once, before it is durable.
  void Start(Store& store);

  // What the table of roles says; besides, PermissionDenied for a node that the cluster does not
  // have. Session and RenewNodeCertificate are let through: they tell the node that it was removed.
  absl::Status Admit(std::string_view method, const edge::PeerIdentity& peer) const;

 private:
  mutable Mutex mu_;
  std::set<Id> nodes_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<WatchHandle> watch_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_NODE_ROLL_H_
