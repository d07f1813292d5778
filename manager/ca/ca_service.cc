#include "manager/ca/ca_service.h"

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <map>
#include <memory>
#include <utility>

#include "common/grpc/unary_call.h"
#include "common/mutex.h"
#include "common/token_bucket.h"
#include "swarm/v1/ca.grpc.pb.h"

namespace swarm::manager {
namespace {

using edge::PeerIdentity;
using IssueCall = edge::UnaryCall<v1::IssueNodeCertificateResponse>;

// Each node's own tokens, so that one that renews without end costs the others nothing.
class NodeQuotas {
 public:
  // Far more than a node needs, which renews at half of its certificate's life.
  static constexpr double kPerSecond = 0.1;
  static constexpr double kBurst = 10;
  // Above this the full buckets are dropped: a new one is full too.
  static constexpr size_t kMostKept = 20'000;

  bool Take(Id node, absl::Duration now) {
    MutexLock lock(mu_);
    if (buckets_.size() >= kMostKept) {
      std::erase_if(buckets_, [&](const auto& entry) {
        return now - entry.second.used >= absl::Seconds(kBurst / kPerSecond);
      });
    }
    auto [it, added] = buckets_.try_emplace(node);
    it->second.used = now;
    return it->second.bucket.Take(now);
  }

 private:
  struct Entry {
    TokenBucket bucket{kPerSecond, kBurst};
    absl::Duration used;
  };
  Mutex mu_;
  std::map<Id, Entry> buckets_ ABSL_GUARDED_BY(mu_);
};

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
    auto call = edge::UnaryCall<v1::RootCertificate>::Make(response);
    absl::Status allowed =
        Admit("/swarm.v1.CertificateAuthority/GetRootCertificate", edge::PeerOf(*context));
    if (!allowed.ok()) {
      call->Answer(std::move(allowed));
      return call.get();
    }
    env_.loop.Post([this, call, slot = Slot(waiting_)] {
      auto pem = ca_.RootPem();
      if (!pem.ok()) return call->Answer(pem.status());
      v1::RootCertificate root;
      root.set_pem(*std::move(pem));
      call->Answer(std::move(root));
    });
    return call.get();
  }

  ::grpc::ServerUnaryReactor* IssueNodeCertificate(
      ::grpc::CallbackServerContext* context, const v1::IssueNodeCertificateRequest* request,
      v1::IssueNodeCertificateResponse* response) override {
    auto call = IssueCall::Make(response);
    const PeerIdentity peer = edge::PeerOf(*context);
    absl::Status allowed = Admit("/swarm.v1.CertificateAuthority/IssueNodeCertificate", peer);
    if (allowed.ok() && request->token().empty() && !peer.IsLocal()) {
      allowed = absl::InvalidArgumentError("token: a join token is needed");
    }
    if (!allowed.ok()) {
      call->Answer(std::move(allowed));
      return call.get();
    }
    env_.loop.Post([this, request = *request, call, slot = Slot(waiting_)]() mutable {
      ClusterCa::IssueDone done = [call, slot = std::move(slot)](auto result) {
        call->Answer(std::move(result));
      };
      if (request.token().empty()) {
        ca_.IssueForThisManager(request, std::move(done));
      } else {
        ca_.IssueForToken(request, std::move(done));
      }
    });
    return call.get();
  }

 private:
  // One of the calls that wait for the loop and the journal. Their answers may come when the calls
  // are cancelled and this service is gone.
  class Slot {
   public:
    explicit Slot(std::shared_ptr<std::atomic<int>> waiting) : waiting_(std::move(waiting)) {
      ++*waiting_;
    }
    Slot(Slot&&) = default;
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (waiting_ != nullptr) --*waiting_;
    }

   private:
    std::shared_ptr<std::atomic<int>> waiting_;
  };

  absl::Status Admit(std::string_view method, const PeerIdentity& peer) {
    if (absl::Status status = authorizer_(method, peer); !status.ok()) return status;
    if (peer.IsLocal()) return absl::OkStatus();
    MutexLock lock(mu_);
    if (*waiting_ >= max_waiting_ || !bucket_.Take(env_.clock.MonotonicNow())) {
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
  const std::shared_ptr<std::atomic<int>> waiting_ = std::make_shared<std::atomic<int>>(0);
};

class CertificateRenewalService : public v1::CertificateRenewal::CallbackService {
 public:
  CertificateRenewalService(const Env& env, ClusterCa& ca, edge::Authorizer authorizer)
      : env_(env), ca_(ca), authorizer_(std::move(authorizer)) {}

  ::grpc::ServerUnaryReactor* RenewNodeCertificate(
      ::grpc::CallbackServerContext* context, const v1::RenewNodeCertificateRequest* request,
      v1::IssueNodeCertificateResponse* response) override {
    auto call = IssueCall::Make(response);
    const PeerIdentity peer = edge::PeerOf(*context);
    absl::Status allowed = authorizer_("/swarm.v1.CertificateRenewal/RenewNodeCertificate", peer);
    const Id node = Id::ParseOrZero(peer.certificate.name);
    if (allowed.ok() && (!peer.IsNode() || node.IsZero())) {
      allowed = absl::PermissionDeniedError("only a node renews its certificate");
    }
    if (allowed.ok() && !quotas_.Take(node, env_.clock.MonotonicNow())) {
      allowed = absl::ResourceExhaustedError("this node renews its certificate too often");
    }
    if (!allowed.ok()) {
      call->Answer(std::move(allowed));
      return call.get();
    }
    env_.loop.Post([this, node, role = peer.certificate.role, request = *request, call] {
      ca_.Renew(node, role, request, [call](auto result) { call->Answer(std::move(result)); });
    });
    return call.get();
  }

 private:
  const Env env_;
  ClusterCa& ca_;
  const edge::Authorizer authorizer_;
  NodeQuotas quotas_;
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
