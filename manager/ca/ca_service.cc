#include "manager/ca/ca_service.h"

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <utility>

#include "common/grpc/unary_reply.h"
#include "common/mutex.h"
#include "common/token_bucket.h"
#include "swarm/v1/ca.grpc.pb.h"

namespace swarm::manager {
namespace {

using edge::PeerIdentity;
using edge::UnaryReply;
using IssueReply = UnaryReply<v1::IssueNodeCertificateResponse>;

// ClusterCa's `done`, holding the call's answer.
ClusterCa::IssueDone Answer(IssueReply reply) {
  return [reply = std::move(reply)](absl::StatusOr<v1::IssueNodeCertificateResponse> r) mutable {
    reply.Send(std::move(r));
  };
}

class CertificateAuthorityService : public v1::CertificateAuthority::CallbackService {
 public:
  CertificateAuthorityService(const Env& env, ClusterCa& ca, edge::Authorizer authorizer,
                              IssueLimits limits)
      : env_(env),
        ca_(ca),
        authorizer_(std::move(authorizer)),
        bucket_(limits.per_second, limits.burst),
        max_waiting_(limits.max_waiting) {}

  ::grpc::ServerUnaryReactor* GetRootCertificate(::grpc::CallbackServerContext* context,
                                                 const v1::GetRootCertificateRequest*,
                                                 v1::RootCertificate* response) override {
    auto* reactor = context->DefaultReactor();
    UnaryReply<v1::RootCertificate> reply(reactor, response);
    absl::Status allowed =
        Admit("/swarm.v1.CertificateAuthority/GetRootCertificate", edge::PeerOf(*context));
    if (!allowed.ok()) {
      reply.Send(std::move(allowed));
      return reactor;
    }
    env_.loop.Post([this, reply = std::move(reply), slot = Slot(*this)]() mutable {
      auto pem = ca_.RootPem();
      if (!pem.ok()) return reply.Send(pem.status());
      v1::RootCertificate root;
      root.set_pem(*std::move(pem));
      reply.Send(std::move(root));
    });
    return reactor;
  }

  ::grpc::ServerUnaryReactor* IssueNodeCertificate(
      ::grpc::CallbackServerContext* context, const v1::IssueNodeCertificateRequest* request,
      v1::IssueNodeCertificateResponse* response) override {
    auto* reactor = context->DefaultReactor();
    IssueReply reply(reactor, response);
    const PeerIdentity peer = edge::PeerOf(*context);
    absl::Status allowed = Admit("/swarm.v1.CertificateAuthority/IssueNodeCertificate", peer);
    if (allowed.ok() && request->token().empty() && !peer.IsLocal()) {
      allowed = absl::InvalidArgumentError("token: a join token is needed");
    }
    if (!allowed.ok()) {
      reply.Send(std::move(allowed));
      return reactor;
    }
    env_.loop.Post(
        [this, request = *request, reply = std::move(reply), slot = Slot(*this)]() mutable {
          ClusterCa::IssueDone done = [answer = Answer(std::move(reply)), slot = std::move(slot)](
                                          auto result) mutable { answer(std::move(result)); };
          if (request.token().empty()) {
            ca_.IssueForThisManager(request, std::move(done));
          } else {
            ca_.IssueForToken(request, std::move(done));
          }
        });
    return reactor;
  }

 private:
  // One of the calls that wait for the loop and the journal.
  class Slot {
   public:
    explicit Slot(CertificateAuthorityService& service) : service_(&service) {
      ++service_->waiting_;
    }
    Slot(Slot&& other) noexcept : service_(std::exchange(other.service_, nullptr)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (service_ != nullptr) --service_->waiting_;
    }

   private:
    CertificateAuthorityService* service_;
  };

  absl::Status Admit(std::string_view method, const PeerIdentity& peer) {
    if (absl::Status status = authorizer_(method, peer); !status.ok()) return status;
    if (peer.IsLocal()) return absl::OkStatus();
    MutexLock lock(mu_);
    if (waiting_ >= max_waiting_ || !bucket_.Take(env_.clock.MonotonicNow())) {
      return absl::ResourceExhaustedError("too many nodes are joining: try again in a moment");
    }
    return absl::OkStatus();
  }

  const Env env_;
  ClusterCa& ca_;
  const edge::Authorizer authorizer_;
  Mutex mu_;
  TokenBucket bucket_ ABSL_GUARDED_BY(mu_);
  const int max_waiting_;
  std::atomic<int> waiting_ = 0;
};

class CertificateRenewalService : public v1::CertificateRenewal::CallbackService {
 public:
  CertificateRenewalService(const Env& env, ClusterCa& ca, edge::Authorizer authorizer)
      : env_(env), ca_(ca), authorizer_(std::move(authorizer)) {}

  ::grpc::ServerUnaryReactor* RenewNodeCertificate(
      ::grpc::CallbackServerContext* context, const v1::RenewNodeCertificateRequest* request,
      v1::IssueNodeCertificateResponse* response) override {
    auto* reactor = context->DefaultReactor();
    IssueReply reply(reactor, response);
    const PeerIdentity peer = edge::PeerOf(*context);
    absl::Status allowed = authorizer_("/swarm.v1.CertificateRenewal/RenewNodeCertificate", peer);
    const Id node = Id::ParseOrZero(peer.certificate.name);
    if (allowed.ok() && (!peer.IsNode() || node.IsZero())) {
      allowed = absl::PermissionDeniedError("only a node renews its certificate");
    }
    if (!allowed.ok()) {
      reply.Send(std::move(allowed));
      return reactor;
    }
    env_.loop.Post([this, node, role = peer.certificate.role, request = *request,
                    reply = std::move(reply)]() mutable {
      ca_.Renew(node, role, request, Answer(std::move(reply)));
    });
    return reactor;
  }

 private:
  const Env env_;
  ClusterCa& ca_;
  const edge::Authorizer authorizer_;
};

}  // namespace

std::unique_ptr<::grpc::Service> MakeCertificateAuthorityService(const Env& env, ClusterCa& ca,
                                                                 edge::Authorizer authorizer,
                                                                 IssueLimits limits) {
  return std::make_unique<CertificateAuthorityService>(env, ca, std::move(authorizer), limits);
}

std::unique_ptr<::grpc::Service> MakeCertificateRenewalService(const Env& env, ClusterCa& ca,
                                                               edge::Authorizer authorizer) {
  return std::make_unique<CertificateRenewalService>(env, ca, std::move(authorizer));
}

}  // namespace swarm::manager
