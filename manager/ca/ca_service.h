// gRPC in front of ClusterCa: CertificateAuthority for the join port and the local socket,
// CertificateRenewal for the control port. Thin: hops to the loop and back.
#ifndef SWARM_MANAGER_CA_CA_SERVICE_H_
#define SWARM_MANAGER_CA_CA_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "common/grpc/peer.h"
#include "manager/ca/cluster_ca.h"

namespace swarm::manager {

struct IssueLimits {
  double per_second = 50;  // IssueNodeCertificate calls; above it ResourceExhausted, try again
  double burst = 200;
  int max_waiting = 256;  // for the journal
};

// One object may serve the join port and the local socket together: an empty token is for local
// callers alone. `ca` and the loop outlive it.
std::unique_ptr<::grpc::Service> MakeCertificateAuthorityService(const Env& env, ClusterCa& ca,
                                                                 edge::Authorizer authorizer,
                                                                 IssueLimits limits = {});
// The caller's certificate names the node. Each node may renew 10 times at once and then every 10
// s; above it ResourceExhausted.
std::unique_ptr<::grpc::Service> MakeCertificateRenewalService(const Env& env, ClusterCa& ca,
                                                               edge::Authorizer authorizer);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_CA_CA_SERVICE_H_
