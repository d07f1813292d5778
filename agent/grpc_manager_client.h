// The few calls that a node makes to a manager beside its session. Blocking, each with a deadline;
// call from the pool.
#ifndef SWARM_AGENT_GRPC_MANAGER_CLIENT_H_
#define SWARM_AGENT_GRPC_MANAGER_CLIENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "swarm/v1/ca.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

struct ClusterFacts {
  std::string cluster_id;
  std::string worker_token;
  std::string join_addr;
};

// At this node's own manager, over its socket.
absl::StatusOr<v1::IssueNodeCertificateResponse> IssueLocally(
    const std::string& socket, const v1::IssueNodeCertificateRequest& request);
// `spec`, when it says anything, becomes the cluster's.
absl::StatusOr<ClusterFacts> ConfigureCluster(const std::string& socket,
                                              const v1::ClusterSpec& spec);

// At the join port that belongs to `addr` (either port), after its authority was checked against
// the token. Unavailable when nobody answers; PermissionDenied for a foreign cluster or a wrong
// token.
absl::StatusOr<v1::IssueNodeCertificateResponse> IssueByToken(
    const std::string& addr, const v1::IssueNodeCertificateRequest& request, const Clock& clock);

struct OwnCertificate {
  std::string root_ca_pem, certificate_pem, key_pem;
};
// At a control port, with the certificate that is to be renewed.
absl::StatusOr<v1::IssueNodeCertificateResponse> RenewCertificate(const std::string& addr,
                                                                  const OwnCertificate& own,
                                                                  const std::string& csr_pem);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_GRPC_MANAGER_CLIENT_H_
