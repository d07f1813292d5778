#include "manager/api/clusters.h"

#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"
#include "manager/api/render.h"
#include "manager/api/validation.h"

namespace swarm::manager {

absl::StatusOr<v1::Cluster> Clusters::GetNow() const {
  Ref<Cluster> cluster = store_.view().GetCluster();
  if (cluster == nullptr) return absl::FailedPreconditionError("there is no cluster yet");
  return RenderCluster(*cluster);
}

void Clusters::Get(const v1::GetClusterRequest&, Reply<v1::Cluster> reply) {
  DCHECK(env_.loop.InLoop());
  ReplyRead<v1::Cluster>(store_, GetNow(), std::move(reply));
}

void Clusters::Update(const v1::UpdateClusterRequest& request, Reply<v1::Cluster> reply) {
  DCHECK(env_.loop.InLoop());
  absl::Status written = WriteUpdate(request);
  if (!written.ok()) return ReplyWhenDurable<v1::Cluster>(store_, written, std::move(reply));
  ReplyWhenDurable<v1::Cluster>(
      store_, GetNow(),
      [this, reply = std::move(reply)](absl::StatusOr<v1::Cluster> answer) mutable {
        if (!answer.ok() || keys_ == nullptr) return reply(std::move(answer));
        const bool auto_lock = answer->spec().auto_lock();
        keys_->Follow(auto_lock, [answer = std::move(answer),
                                  reply = std::move(reply)](absl::Status followed) mutable {
          if (!followed.ok()) answer = Annotate(followed, "the key file");
          reply(std::move(answer));
        });
      });
}

absl::StatusOr<KeyKeeper*> Clusters::Keys() const {
  if (keys_ != nullptr) return keys_;
  return absl::UnimplementedError("this manager cannot be locked");
}

void Clusters::GetUnlockKey(const v1::GetUnlockKeyRequest&, Reply<v1::UnlockKey> reply) {
  DCHECK(env_.loop.InLoop());
  auto get = [&]() -> absl::StatusOr<v1::UnlockKey> {
    ASSIGN_OR_RETURN(KeyKeeper* const keys, Keys());
    v1::UnlockKey key;
    ASSIGN_OR_RETURN(*key.mutable_key(), keys->UnlockKey());
    return key;
  };
  ReplyRead<v1::UnlockKey>(store_, get(), std::move(reply));
}

void Clusters::RotateUnlockKey(const v1::RotateUnlockKeyRequest&, Reply<v1::UnlockKey> reply) {
  DCHECK(env_.loop.InLoop());
  auto rotate = [&]() -> absl::StatusOr<v1::UnlockKey> {
    ASSIGN_OR_RETURN(KeyKeeper* const keys, Keys());
    v1::UnlockKey key;
    ASSIGN_OR_RETURN(*key.mutable_key(), keys->Rotate());
    return key;
  };
  ReplyRead<v1::UnlockKey>(store_, rotate(), std::move(reply));
}

void Clusters::ConfirmUnlockKey(const v1::ConfirmUnlockKeyRequest& request,
                                Reply<v1::ConfirmUnlockKeyResponse> reply) {
  DCHECK(env_.loop.InLoop());
  const absl::StatusOr<KeyKeeper*> keys = Keys();
  if (!keys.ok()) return reply(keys.status());
  (*keys)->Confirm(request.key(), [reply = std::move(reply)](absl::Status confirmed) mutable {
    if (!confirmed.ok()) return reply(std::move(confirmed));
    reply(v1::ConfirmUnlockKeyResponse());
  });
}

absl::Status Clusters::WriteUpdate(const v1::UpdateClusterRequest& request) {
  RETURN_IF_ERROR(ValidateClusterSpec(request.spec()));
  if (request.spec().auto_lock() && keys_ == nullptr) {
    return FieldError("auto_lock", "this manager cannot be locked");
  }
  Ref<Cluster> cluster = store_.view().GetCluster();
  if (cluster == nullptr) return absl::FailedPreconditionError("there is no cluster yet");
  if (request.version() == 0) {
    return FieldError("version", "is required: read the cluster and send its version");
  }
  if (request.version() != cluster->meta().version()) {
    return absl::AbortedError(StrCat("the cluster was changed meanwhile: version ",
                                     cluster->meta().version(), ", you read ", request.version(),
                                     "; read it again"));
  }
  return store_.Update([&](WriteTx& tx) {
    Cluster changed = *cluster;
    *changed.mutable_spec() = request.spec();
    return tx.Put(std::move(changed));
  });
}

void Clusters::GetJoinTokens(const v1::GetJoinTokensRequest&, Reply<v1::JoinTokens> reply) {
  DCHECK(env_.loop.InLoop());
  ReplyRead<v1::JoinTokens>(store_, ca_.Tokens(), std::move(reply));
}

void Clusters::RotateJoinToken(const v1::RotateJoinTokenRequest& request,
                               Reply<v1::JoinTokens> reply) {
  DCHECK(env_.loop.InLoop());
  if (request.role() != v1::NodeSpec::ROLE_WORKER && request.role() != v1::NodeSpec::ROLE_MANAGER) {
    return reply(FieldError("role", "is neither worker nor manager"));
  }
  if (request.has_expiry()) {
    absl::Status valid = ValidateDuration("expiry", request.expiry());
    if (valid.ok() && request.expiry().seconds() == 0 && request.expiry().nanos() == 0) {
      valid = FieldError("expiry", "is zero: nobody could join with the token");
    }
    if (!valid.ok()) return reply(valid);
  }
  ca_.RotateToken(request, std::move(reply));
}

void Clusters::CreateClientCertificate(const v1::CreateClientCertificateRequest& request,
                                       Reply<v1::ClientCertificate> reply) {
  DCHECK(env_.loop.InLoop());
  auto issue = [&]() -> absl::StatusOr<v1::ClientCertificate> {
    RETURN_IF_ERROR(ValidateName("name", request.name()));
    if (request.role() != v1::CreateClientCertificateRequest::ROLE_VIEWER &&
        request.role() != v1::CreateClientCertificateRequest::ROLE_ADMIN) {
      return FieldError("role", "is neither viewer nor admin");
    }
    if (request.has_expiry()) RETURN_IF_ERROR(ValidateDuration("expiry", request.expiry()));
    return ca_.IssueClient(request);
  };
  ReplyRead<v1::ClientCertificate>(store_, issue(), std::move(reply));
}

}  // namespace swarm::manager
