// Nodes: what the API does to nodes. Loop thread only; replies as in services.h.
#ifndef SWARM_MANAGER_API_NODES_H_
#define SWARM_MANAGER_API_NODES_H_

#include "manager/api/reply.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class Nodes {
 public:
  Nodes(const Env& env, Store& store) : env_(env), store_(store) {}

  void Get(const v1::GetNodeRequest& request, Reply<v1::Node> reply);
  void List(const v1::ListNodesRequest& request, Reply<v1::ListNodesResponse> reply);
  // Labels and availability. A role that is given and differs is FailedPrecondition: promotion and
  // demotion are not built. The version is required; a stale one is Aborted.
  void Update(const v1::UpdateNodeRequest& request, Reply<v1::Node> reply);
  // FailedPrecondition unless the node is DOWN or `force`; managers never. Its tasks become
  // ORPHANED in the same write, and its certificate names nobody from then on.
  void Delete(const v1::DeleteNodeRequest& request, Reply<v1::DeleteNodeResponse> reply);

 private:
  absl::StatusOr<Id> WriteUpdate(const v1::UpdateNodeRequest& request);
  absl::Status WriteDelete(const v1::DeleteNodeRequest& request);

  const Env env_;
  Store& store_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_NODES_H_
