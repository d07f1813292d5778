// Clusters: the cluster's own settings, its join tokens and the certificates of people and
// programs. Loop thread only; replies as in services.h.
#ifndef SWARM_MANAGER_API_CLUSTERS_H_
#define SWARM_MANAGER_API_CLUSTERS_H_

#include "manager/api/reply.h"
#include "manager/ca/cluster_ca.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class Clusters {
 public:
  Clusters(const Env& env, Store& store, ClusterCa& ca) : env_(env), store_(store), ca_(ca) {}

  // Never holds tokens or keys.
  void Get(const v1::GetClusterRequest& request, Reply<v1::Cluster> reply);
  // The version is required.
  void Update(const v1::UpdateClusterRequest& request, Reply<v1::Cluster> reply);

  void GetJoinTokens(const v1::GetJoinTokensRequest& request, Reply<v1::JoinTokens> reply);
  void RotateJoinToken(const v1::RotateJoinTokenRequest& request, Reply<v1::JoinTokens> reply);
  void CreateClientCertificate(const v1::CreateClientCertificateRequest& request,
                               Reply<v1::ClientCertificate> reply);

 private:
  absl::StatusOr<v1::Cluster> GetNow() const;
  absl::Status WriteUpdate(const v1::UpdateClusterRequest& request);

  const Env env_;
  Store& store_;
  ClusterCa& ca_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CLUSTERS_H_
