// ClusterCa: the cluster's identity. Makes the authority and the join tokens, turns a token into a
// node with a certificate, renews, and makes certificates for people and programs.
//
// Loop thread only. What it changes is in the store; `done` runs on the loop once that is durable,
// and no certificate leaves before. The authority's key and the tokens are in the cluster record,
// sealed.
#ifndef SWARM_MANAGER_CA_CLUSTER_CA_H_
#define SWARM_MANAGER_CA_CLUSTER_CA_H_

#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/tls/certificates.h"
#include "manager/env.h"
#include "manager/secret_vault.h"
#include "manager/store/store.h"
#include "swarm/v1/ca.pb.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class ClusterCa {
 public:
  using IssueDone = absl::AnyInvocable<void(absl::StatusOr<v1::IssueNodeCertificateResponse>)>;
  using TokensDone = absl::AnyInvocable<void(absl::StatusOr<v1::JoinTokens>)>;
  using Done = absl::AnyInvocable<void(absl::Status)>;
  // How long a node that asks again (its answer got lost) is known by what it joined with.
  static constexpr absl::Duration kRetryTime = absl::Minutes(10);

  struct BootstrapOptions {
    v1::ClusterSpec spec;
    std::string advertise_addr;  // host:port of the control port
    std::string join_addr;       // host:port of the join port
  };

  // The vault outlives it.
  ClusterCa(const Env& env, Store& store, const SecretVault& vault)
      : env_(env), store_(store), vault_(vault) {}

  // Makes the ClusterRecord with its authority and both tokens. FailedPrecondition when there is
  // one.
  void Bootstrap(BootstrapOptions options, Done done);
  // What an earlier version left in the clear. Before any other change: the journal leaves nothing
  // on the disk of what the first one over an earlier version's takes the place of.
  absl::Status SealWhatIsClear();
  // DataLoss when the vault's key is not the one that the authority's key was sealed with.
  absl::Status CheckKey() const;

  // A new node of the token's role; the same one again for a retry, that is for the same key and
  // token within kRetryTime. PermissionDenied for a wrong or expired token (the words are the same
  // for both); FailedPrecondition for the manager token, because high availability is not built.
  void IssueForToken(const v1::IssueNodeCertificateRequest& request, IssueDone done);
  // This manager's own node (made at the first call; later calls issue again for the same id).
  void IssueForThisManager(const v1::IssueNodeCertificateRequest& request, IssueDone done);
  // Same id, same role. NotFound once the node was removed.
  void Renew(Id node, tls::Role role, const v1::RenewNodeCertificateRequest& request,
             IssueDone done);

  // FailedPrecondition before Bootstrap; so are all below.
  absl::StatusOr<v1::JoinTokens> Tokens() const;
  // Nodes that have joined are not touched; the old token is worth nothing from now on. The expiry
  // was checked; without one the new token is good for ever.
  void RotateToken(const v1::RotateJoinTokenRequest& request, TokensDone done);
  // Writes nothing. Expiry above 90 days: InvalidArgument.
  absl::StatusOr<v1::ClientCertificate> IssueClient(
      const v1::CreateClientCertificateRequest& request) const;
  absl::StatusOr<std::string> RootPem() const;
  // Key and certificate for this manager's own servers; a new one at each start, and again before
  // half of its life is over.
  absl::StatusOr<tls::KeyPair> IssueServerCertificate() const;

 private:
  absl::StatusOr<Ref<Cluster>> ClusterOrError() const;
  absl::StatusOr<tls::KeyPair> Authority(const Cluster& cluster) const;
  // Not when it has expired.
  absl::StatusOr<bool> Matches(std::string_view about, const storage::v1::JoinTokenRecord& record,
                               std::string_view secret) const;
  absl::StatusOr<std::string> TokenText(std::string_view about, const Cluster& cluster,
                                        const storage::v1::JoinTokenRecord& record) const;
  absl::Duration NodeCertificateLife(const Cluster& cluster) const;
  absl::StatusOr<v1::IssueNodeCertificateResponse> Sign(const Cluster& cluster, const Node& node,
                                                        std::string_view csr_pem) const;
  // Writes the node, then answers.
  void PutAndAnswer(Node node, std::string_view csr_pem, IssueDone done);

  const Env env_;
  Store& store_;
  const SecretVault& vault_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_CA_CLUSTER_CA_H_
