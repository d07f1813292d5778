// Clusters: the cluster's own settings, its join tokens and the certificates of people and
// programs. Loop thread only; replies as in services.h.
#ifndef SWARM_MANAGER_API_CLUSTERS_H_
#define SWARM_MANAGER_API_CLUSTERS_H_

#include "manager/api/reply.h"
#include "manager/ca/cluster_ca.h"
#include "manager/env.h"
#include "manager/key_keeper.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"
#include "swarm/v1/unlock.pb.h"

namespace swarm::manager {

class Clusters {
 public:
  // `keys` may be null: such a cluster's managers cannot be locked.
  Clusters(const Env& env, Store& store, ClusterCa& ca, KeyKeeper* keys = nullptr)
      : env_(env), store_(store), ca_(ca), keys_(keys) {}

  // Never holds tokens or keys.
  void Get(const v1::GetClusterRequest& request, Reply<v1::Cluster> reply);
  // The version is required. With auto_lock the key file is locked once somebody has confirmed to
  // hold its key; without, the answer comes when it is open.
  void Update(const v1::UpdateClusterRequest& request, Reply<v1::Cluster> reply);

  void GetJoinTokens(const v1::GetJoinTokensRequest& request, Reply<v1::JoinTokens> reply);
  void RotateJoinToken(const v1::RotateJoinTokenRequest& request, Reply<v1::JoinTokens> reply);
  void GetUnlockKey(const v1::GetUnlockKeyRequest& request, Reply<v1::UnlockKey> reply);
  void RotateUnlockKey(const v1::RotateUnlockKeyRequest& request, Reply<v1::UnlockKey> reply);
  void ConfirmUnlockKey(const v1::ConfirmUnlockKeyRequest& request,
                        Reply<v1::ConfirmUnlockKeyResponse> reply);
  void CreateClientCertificate(const v1::CreateClientCertificateRequest& request,
                               Reply<v1::ClientCertificate> reply);

 private:
  absl::StatusOr<v1::Cluster> GetNow() const;
  absl::StatusOr<KeyKeeper*> Keys() const;
  absl::Status WriteUpdate(const v1::UpdateClusterRequest& request);

  const Env env_;
  Store& store_;
  ClusterCa& ca_;
  KeyKeeper* const keys_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CLUSTERS_H_
