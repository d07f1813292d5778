#include "manager/ca/cluster_ca.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/join_token.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kShortestNodeLife = absl::Hours(1);
// How long a caller waits while the journal stalls; then Unavailable, and a retry is harmless.
constexpr absl::Duration kStallPatience = absl::Seconds(10);
// Bound into what is sealed: none opens as another.
constexpr std::string_view kAuthority = "authority";
constexpr std::string_view kWorkerToken = "worker token";
constexpr std::string_view kManagerToken = "manager token";

// The same words whatever is wrong, so that a guess teaches nothing.
absl::Status WrongToken() {
  return absl::PermissionDeniedError(
      "the join token is not valid: it is wrong, was rotated or has expired");
}

absl::Status CheckAvailability(v1::NodeSpec::Availability availability) {
  if (v1::NodeSpec::Availability_IsValid(availability)) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("availability: no such value: ", int{availability}));
}

absl::Status CheckClientName(std::string_view name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-";
  if (!name.empty() && name.size() <= 64 && name.find_first_not_of(kAllowed) == name.npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("name: 1 to 64 letters, digits, or any of . _ @ -");
}

tls::Role CertificateRole(v1::NodeSpec::Role role) {
  return role == v1::NodeSpec::ROLE_MANAGER ? tls::Role::kManager : tls::Role::kWorker;
}

Node NewNode(Id id, v1::NodeSpec::Role role, v1::NodeSpec::Availability availability) {
  Node node;
  node.set_id(id.ToString());
  node.mutable_spec()->set_role(role);
  node.mutable_spec()->set_availability(availability == v1::NodeSpec::AVAILABILITY_UNSPECIFIED
                                            ? v1::NodeSpec::AVAILABILITY_ACTIVE
                                            : availability);
  node.mutable_status()->set_state(v1::NodeStatus::STATE_UNKNOWN);
  node.mutable_status()->set_message("has not connected yet");
  return node;
}

// The worker that joined with this, not before `oldest`.
Ref<Node> FindJoined(const View& view, std::string_view join_digest, absl::Time oldest) {
  Ref<Node> found;
  view.EachNode([&](const Ref<Node>& node) {
    if (node->join_digest() == join_digest && node->spec().role() == v1::NodeSpec::ROLE_WORKER &&
        FromProto(node->meta().created_at()) >= oldest) {
      found = node;
    }
    return found == nullptr;
  });
  return found;
}

Ref<Node> FindThisManager(const View& view) {
  Ref<Node> found;
  view.EachNode([&](const Ref<Node>& node) {
    if (node->is_this_manager()) found = node;
    return found == nullptr;
  });
  return found;
}

}  // namespace

void ClusterCa::Bootstrap(BootstrapOptions options, Done done) {
  DCHECK(env_.loop.InLoop());
  if (store_.view().GetCluster() != nullptr) {
    return done(absl::FailedPreconditionError("this manager already has a cluster"));
  }
  auto authority = tls::MakeCertificateAuthority(env_.clock.WallNow());
  if (!authority.ok()) return done(authority.status());
  Cluster cluster;
  cluster.set_id(Id::Make(env_.random).ToString());
  *cluster.mutable_spec() = std::move(options.spec);
  if (cluster.spec().name().empty()) cluster.mutable_spec()->set_name("default");
  cluster.set_root_ca_pem(authority->certificate_pem);
  cluster.set_sealed_root_ca_key(vault_.SealText(kAuthority, authority->key_pem, env_.random));
  const auto new_token = [this](std::string_view about) {
    return vault_.SealText(about, tls::MakeTokenSecret(env_.random), env_.random);
  };
  cluster.mutable_worker_token()->set_sealed_secret(new_token(kWorkerToken));
  cluster.mutable_manager_token()->set_sealed_secret(new_token(kManagerToken));
  cluster.set_advertise_addr(std::move(options.advertise_addr));
  cluster.set_join_addr(std::move(options.join_addr));
  auto shared = std::make_shared<Done>(std::move(done));
  absl::Status status =
      store_.Update([&](WriteTx& tx) { return tx.Put(std::move(cluster)); },
                    [shared](absl::Status durable) { (*shared)(std::move(durable)); });
  if (!status.ok()) (*shared)(std::move(status));
}

absl::Status ClusterCa::SealWhatIsClear() {
  ASSIGN_OR_RETURN(const Ref<Cluster> cluster, ClusterOrError());
  if (cluster->root_ca_key_pem().empty()) return absl::OkStatus();
  Cluster sealed = *cluster;
  sealed.set_sealed_root_ca_key(vault_.SealText(kAuthority, sealed.root_ca_key_pem(), env_.random));
  sealed.clear_root_ca_key_pem();
  const auto seal = [this](std::string_view about, storage::v1::JoinTokenRecord& token) {
    token.set_sealed_secret(vault_.SealText(about, token.secret(), env_.random));
    token.clear_secret();
  };
  seal(kWorkerToken, *sealed.mutable_worker_token());
  seal(kManagerToken, *sealed.mutable_manager_token());
  return store_.Update([&](WriteTx& tx) { return tx.Put(std::move(sealed)); });
}

absl::Status ClusterCa::CheckKey() const {
  const Ref<Cluster> cluster = store_.view().GetCluster();
  if (cluster == nullptr || cluster->sealed_root_ca_key().empty()) return absl::OkStatus();
  return vault_.OpenText(kAuthority, cluster->sealed_root_ca_key()).status();
}

absl::StatusOr<tls::KeyPair> ClusterCa::Authority(const Cluster& cluster) const {
  ASSIGN_OR_RETURN(const SecretBytes key,
                   vault_.OpenText(kAuthority, cluster.sealed_root_ca_key()));
  return tls::KeyPair{cluster.root_ca_pem(), std::string(key.Reveal())};
}

absl::StatusOr<bool> ClusterCa::Matches(std::string_view about,
                                        const storage::v1::JoinTokenRecord& record,
                                        std::string_view secret) const {
  ASSIGN_OR_RETURN(const SecretBytes ours, vault_.OpenText(about, record.sealed_secret()));
  const bool equal = tls::SecretsEqual(ours.Reveal(), secret);
  return equal &&
         (!record.has_expires_at() || env_.clock.WallNow() < FromProto(record.expires_at()));
}

absl::StatusOr<std::string> ClusterCa::TokenText(std::string_view about, const Cluster& cluster,
                                                 const storage::v1::JoinTokenRecord& record) const {
  ASSIGN_OR_RETURN(const SecretBytes secret, vault_.OpenText(about, record.sealed_secret()));
  tls::JoinToken token;
  ASSIGN_OR_RETURN(token.ca_digest, tls::CertificateDigest(cluster.root_ca_pem()));
  token.secret = std::string(secret.Reveal());
  return token.ToString();
}

absl::StatusOr<Ref<Cluster>> ClusterCa::ClusterOrError() const {
  DCHECK(env_.loop.InLoop());
  Ref<Cluster> cluster = store_.view().GetCluster();
  if (cluster == nullptr) return absl::FailedPreconditionError("there is no cluster yet");
  return cluster;
}

absl::Duration ClusterCa::NodeCertificateLife(const Cluster& cluster) const {
  if (!cluster.spec().has_node_cert_expiry()) return tls::kMaxCertificateLife;
  return std::clamp(FromProto(cluster.spec().node_cert_expiry()), kShortestNodeLife,
                    tls::kMaxCertificateLife);
}

absl::StatusOr<v1::IssueNodeCertificateResponse> ClusterCa::Sign(const Cluster& cluster,
                                                                 const Node& node,
                                                                 std::string_view csr_pem) const {
  ASSIGN_OR_RETURN(const tls::KeyPair authority, Authority(cluster));
  v1::IssueNodeCertificateResponse response;
  ASSIGN_OR_RETURN(*response.mutable_certificate_pem(),
                   tls::SignCsr(authority, csr_pem,
                                {cluster.id(), CertificateRole(node.spec().role()), node.id()},
                                env_.clock.WallNow(), NodeCertificateLife(cluster)));
  response.set_node_id(node.id());
  response.set_role(node.spec().role());
  response.set_root_ca_pem(cluster.root_ca_pem());
  response.add_manager_addrs(cluster.advertise_addr());
  return response;
}

void ClusterCa::PutAndAnswer(Node node, std::string_view csr_pem, IssueDone done) {
  auto cluster = ClusterOrError();
  if (!cluster.ok()) return done(cluster.status());
  auto response = Sign(**cluster, node, csr_pem);  // first: a bad request makes no node
  if (!response.ok()) return done(response.status());
  auto life = tls::CertificateLifetime(response->certificate_pem());
  if (!life.ok()) return done(life.status());
  *node.mutable_certificate_expires_at() = swarm::ToProto(life->not_after);
  absl::Status status = store_.Update([&](WriteTx& tx) { return tx.Put(std::move(node)); });
  if (!status.ok()) return done(std::move(status));
  store_.WhenDurableWithin(
      store_.version(), kStallPatience,
      [done = std::move(done), response = *std::move(response)](absl::Status durable) mutable {
        if (!durable.ok()) return done(std::move(durable));
        done(std::move(response));
      });
}

void ClusterCa::IssueForToken(const v1::IssueNodeCertificateRequest& request, IssueDone done) {
  auto cluster = ClusterOrError();
  if (!cluster.ok()) return done(cluster.status());
  if (absl::Status s = CheckAvailability(request.availability()); !s.ok()) return done(s);
  auto token = tls::JoinToken::Parse(request.token());
  if (!token.ok()) return done(token.status());
  auto digest = tls::CertificateDigest((*cluster)->root_ca_pem());
  if (!digest.ok()) return done(digest.status());
  // All three, always: the time taken says nothing about which one failed.
  const bool ours = tls::SecretsEqual(*digest, token->ca_digest);
  const absl::StatusOr<bool> worker =
      Matches(kWorkerToken, (*cluster)->worker_token(), token->secret);
  const absl::StatusOr<bool> manager =
      Matches(kManagerToken, (*cluster)->manager_token(), token->secret);
  if (!worker.ok()) return done(worker.status());
  if (!manager.ok()) return done(manager.status());
  if (!ours || (!*worker && !*manager)) return done(WrongToken());
  if (*manager) {
    return done(absl::FailedPreconditionError(
        "joining as a second manager is not built yet: high availability is not built; use the "
        "worker token"));
  }
  auto joined_with = tls::CsrKeyDigest(request.csr_pem(), token->secret);
  if (!joined_with.ok()) return done(joined_with.status());
  if (Ref<Node> before =
          FindJoined(store_.view(), *joined_with, env_.clock.WallNow() - kRetryTime)) {
    return PutAndAnswer(*before, request.csr_pem(), std::move(done));
  }
  const Id id = Id::Make(env_.random);
  LogInfo("ca", StrCat("a new worker joins as node ", id.ToString()));
  Node node = NewNode(id, v1::NodeSpec::ROLE_WORKER, request.availability());
  node.set_join_digest(*std::move(joined_with));
  PutAndAnswer(std::move(node), request.csr_pem(), std::move(done));
}

void ClusterCa::IssueForThisManager(const v1::IssueNodeCertificateRequest& request,
                                    IssueDone done) {
  DCHECK(env_.loop.InLoop());
  if (absl::Status s = CheckAvailability(request.availability()); !s.ok()) return done(s);
  Node node;
  if (Ref<Node> existing = FindThisManager(store_.view()); existing != nullptr) {
    node = *existing;
  } else {
    node = NewNode(Id::Make(env_.random), v1::NodeSpec::ROLE_MANAGER, request.availability());
    node.set_is_this_manager(true);
  }
  PutAndAnswer(std::move(node), request.csr_pem(), std::move(done));
}

void ClusterCa::Renew(Id node, tls::Role role, const v1::RenewNodeCertificateRequest& request,
                      IssueDone done) {
  DCHECK(env_.loop.InLoop());
  Ref<Node> existing = store_.view().GetNode(node);
  if (existing == nullptr) {
    return done(absl::NotFoundError("this node was removed from the cluster"));
  }
  if (role != CertificateRole(existing->spec().role())) {
    return done(absl::PermissionDeniedError(
        "the certificate is for another role than the node has: join again"));
  }
  PutAndAnswer(*existing, request.csr_pem(), std::move(done));
}

absl::StatusOr<v1::JoinTokens> ClusterCa::Tokens() const {
  ASSIGN_OR_RETURN(Ref<Cluster> cluster, ClusterOrError());
  v1::JoinTokens tokens;
  ASSIGN_OR_RETURN(*tokens.mutable_worker(),
                   TokenText(kWorkerToken, *cluster, cluster->worker_token()));
  ASSIGN_OR_RETURN(*tokens.mutable_manager(),
                   TokenText(kManagerToken, *cluster, cluster->manager_token()));
  tokens.set_join_addr(cluster->join_addr());
  return tokens;
}

void ClusterCa::RotateToken(const v1::RotateJoinTokenRequest& request, TokensDone done) {
  auto cluster = ClusterOrError();
  if (!cluster.ok()) return done(cluster.status());
  const v1::NodeSpec::Role role = request.role();
  if (role != v1::NodeSpec::ROLE_WORKER && role != v1::NodeSpec::ROLE_MANAGER) {
    return done(absl::InvalidArgumentError("role: worker or manager"));
  }
  Cluster changed = **cluster;
  storage::v1::JoinTokenRecord record;
  const bool worker = role == v1::NodeSpec::ROLE_WORKER;
  record.set_sealed_secret(vault_.SealText(worker ? kWorkerToken : kManagerToken,
                                           tls::MakeTokenSecret(env_.random), env_.random));
  if (request.has_expiry()) {
    *record.mutable_expires_at() =
        swarm::ToProto(env_.clock.WallNow() + FromProto(request.expiry()));
  }
  *(worker ? changed.mutable_worker_token() : changed.mutable_manager_token()) = std::move(record);
  absl::Status status = store_.Update([&](WriteTx& tx) { return tx.Put(std::move(changed)); });
  if (!status.ok()) return done(std::move(status));
  store_.WhenDurableWithin(store_.version(), kStallPatience,
                           [this, done = std::move(done)](absl::Status durable) mutable {
                             if (!durable.ok()) return done(std::move(durable));
                             done(Tokens());
                           });
}

absl::StatusOr<v1::ClientCertificate> ClusterCa::IssueClient(
    const v1::CreateClientCertificateRequest& request) const {
  ASSIGN_OR_RETURN(Ref<Cluster> cluster, ClusterOrError());
  RETURN_IF_ERROR(CheckClientName(request.name()));
  tls::Role role = tls::Role::kNone;
  if (request.role() == v1::CreateClientCertificateRequest::ROLE_VIEWER) {
    role = tls::Role::kClientViewer;
  } else if (request.role() == v1::CreateClientCertificateRequest::ROLE_ADMIN) {
    role = tls::Role::kClientAdmin;
  } else {
    return absl::InvalidArgumentError("role: viewer or admin");
  }
  const absl::Duration life =
      request.has_expiry() ? FromProto(request.expiry()) : tls::kMaxCertificateLife;
  if (life <= absl::ZeroDuration() || life > tls::kMaxCertificateLife) {
    return absl::InvalidArgumentError("expiry: above 0 and at most 90 days");
  }
  ASSIGN_OR_RETURN(const tls::KeyPair authority, Authority(*cluster));
  ASSIGN_OR_RETURN(tls::KeyPair pair,
                   tls::MakeCertificate(authority, {cluster->id(), role, request.name()},
                                        env_.clock.WallNow(), life));
  v1::ClientCertificate certificate;
  certificate.set_ca_pem(cluster->root_ca_pem());
  certificate.set_cert_pem(std::move(pair.certificate_pem));
  certificate.set_key_pem(std::move(pair.key_pem));
  certificate.set_addr(cluster->advertise_addr());
  return certificate;
}

absl::StatusOr<std::string> ClusterCa::RootPem() const {
  ASSIGN_OR_RETURN(Ref<Cluster> cluster, ClusterOrError());
  return cluster->root_ca_pem();
}

absl::StatusOr<tls::KeyPair> ClusterCa::IssueServerCertificate() const {
  ASSIGN_OR_RETURN(Ref<Cluster> cluster, ClusterOrError());
  Ref<Node> node = FindThisManager(store_.view());
  const std::string name = node == nullptr ? "manager" : node->id();
  ASSIGN_OR_RETURN(const tls::KeyPair authority, Authority(*cluster));
  return tls::MakeCertificate(authority, {cluster->id(), tls::Role::kManager, name},
                              env_.clock.WallNow(), tls::kMaxCertificateLife);
}

}  // namespace swarm::manager
