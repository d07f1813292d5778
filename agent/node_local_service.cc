#include "agent/node_local_service.h"

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <optional>
#include <utility>

#include "agent/image_upload.h"
#include "agent/on_pool.h"
#include "common/file_system.h"
#include "common/grpc/status.h"
#include "common/grpc/unary_reply.h"
#include "common/mutex.h"
#include "common/oci/reference.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "swarm/v1/node_local.grpc.pb.h"

namespace swarm::agent {
namespace {

using Context = ::grpc::CallbackServerContext;
using edge::UnaryReply;

v1::Image ToProto(const StoredImage& stored) {
  v1::Image image;
  for (const std::string& reference : stored.references) image.add_references(reference);
  image.set_digest(stored.digest);
  image.set_id(stored.config_digest);
  image.set_size_bytes(stored.size_bytes);
  *image.mutable_created_at() = swarm::ToProto(stored.created_at);
  image.mutable_platform()->set_os(stored.os);
  image.mutable_platform()->set_architecture(stored.architecture);
  image.mutable_platform()->set_variant(stored.variant);
  return image;
}

// What the reactors share. Outlives the server.
struct Shared {
  Env env;
  NodeLocalPools pools;
  Node& node;
  ClusterMembership& membership;
  ImageStore& images;
  NodeLocalOptions options;
};

// One archive. Each piece is written by the pool before the next is read, so that a slow disk slows
// the sender. Deleted in OnDone.
class LoadReactor : public ::grpc::ServerReadReactor<v1::LoadImageRequest> {
 public:
  LoadReactor(Shared& shared, const Context& context, v1::LoadImageResponse* response)
      : shared_(shared), context_(context), response_(response) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    // Off gRPC's thread.
    Run(ok ? &LoadReactor::Keep : &LoadReactor::Load);
  }
  void OnCancel() override {}
  void OnDone() override { delete this; }

 private:
  void Run(void (LoadReactor::*work)()) {
    const absl::Status taken = shared_.pools.uploads.Submit([this, work] { (this->*work)(); });
    if (!taken.ok()) Finish(edge::ToGrpc(absl::UnavailableError("too many transfers: try again")));
  }

  void Keep() {
    const absl::Status kept = KeepPiece();
    if (!kept.ok()) return Finish(edge::ToGrpc(kept));
    StartRead(&request_);
  }
  absl::Status KeepPiece() {
    if (!upload_.has_value()) {
      reference_ = request_.reference();
      ASSIGN_OR_RETURN(ImageUpload upload, ImageUpload::Begin(shared_.options.upload_dir,
                                                              shared_.options.disk_reserve_bytes));
      upload_.emplace(std::move(upload));
    }
    return upload_->Append(request_.data());
  }

  void Load() {
    if (context_.IsCancelled()) {
      upload_.reset();
      return Finish(::grpc::Status::CANCELLED);
    }
    if (!upload_.has_value() || upload_->size() == 0) {
      return Finish(edge::ToGrpc(absl::InvalidArgumentError("the archive is empty")));
    }
    auto loaded = shared_.images.Load(upload_->path(), reference_);
    upload_.reset();
    if (!loaded.ok()) return Finish(edge::ToGrpc(loaded.status()));
    for (const StoredImage& image : *loaded) *response_->add_images() = ToProto(image);
    shared_.env.loop.Post(
        [this] { shared_.node.RefreshImages([this] { Finish(::grpc::Status::OK); }); });
  }

  Shared& shared_;
  const Context& context_;
  v1::LoadImageResponse* response_;
  v1::LoadImageRequest request_;
  std::string reference_;
  std::optional<ImageUpload> upload_;
};

// One pull with its progress: the newest, when the reader is slow. Deleted in OnDone.
class PullReactor : public ::grpc::ServerWriteReactor<v1::PullImageProgress> {
 public:
  PullReactor(Shared& shared, const std::string& reference) : shared_(shared) {
    const absl::Status taken =
        shared_.pools.transfers.Submit([this, reference] { Ended(Pull(reference)); });
    if (!taken.ok()) Finish(edge::ToGrpc(absl::UnavailableError("too many transfers: try again")));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) cancelled_ = true;
    bool finish = false;
    {
      MutexLock lock(mu_);
      writing_ = false;
      finish = !next_.has_value() || !ok;
      if (!finish) current_ = *std::exchange(next_, std::nullopt);
      if (finish && !ended_.has_value()) return;
      if (!finish) writing_ = true;
    }
    if (!finish) return StartWrite(&current_);
    FinishOnce();
  }
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  absl::Status Pull(const std::string& text) {
    ASSIGN_OR_RETURN(oci::Reference reference, oci::Reference::Parse(text));
    auto progress = [this, name = reference.Familiar()](const ImageProgress& at) {
      v1::PullImageProgress message;
      message.set_status(StrCat("pulling ", name));
      message.set_done_bytes(at.done_bytes);
      message.set_total_bytes(at.total_bytes);
      Tell(std::move(message));
    };
    ASSIGN_OR_RETURN(StoredImage image,
                     shared_.images.Pull(reference, reference.digest, progress, cancelled_));
    RETURN_IF_ERROR(shared_.images.Unpack(image.digest).status());
    last_.set_status("done");
    *last_.mutable_image() = ToProto(image);
    return absl::OkStatus();
  }

  void Tell(v1::PullImageProgress message) {
    {
      MutexLock lock(mu_);
      if (writing_) {
        next_ = std::move(message);
        return;
      }
      writing_ = true;
      current_ = std::move(message);
    }
    StartWrite(&current_);
  }

  // On the pool; then by way of the loop, so that the manager knows the image too.
  void Ended(absl::Status status) {
    shared_.env.loop.Post([this, status = std::move(status)] {
      if (!status.ok()) return EndWith(status);
      shared_.node.RefreshImages([this] {
        Tell(std::move(last_));
        EndWith(absl::OkStatus());
      });
    });
  }
  void EndWith(absl::Status status) {
    {
      MutexLock lock(mu_);
      ended_ = std::move(status);
      if (writing_) return;  // OnWriteDone goes on
    }
    FinishOnce();
  }
  void FinishOnce() {
    absl::Status status;
    {
      MutexLock lock(mu_);
      if (std::exchange(finished_, true)) return;
      status = *ended_;
    }
    Finish(edge::ToGrpc(status));
  }

  Shared& shared_;
  std::atomic<bool> cancelled_ = false;
  v1::PullImageProgress last_;
  v1::PullImageProgress current_;  // the one being written
  Mutex mu_;
  std::optional<v1::PullImageProgress> next_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

class NodeLocalService final : public v1::NodeLocal::CallbackService {
 public:
  explicit NodeLocalService(Shared shared) : shared_(std::move(shared)) {}

  ::grpc::ServerUnaryReactor* InitCluster(Context* context, const v1::InitClusterRequest* request,
                                          v1::InitClusterResponse* response) override {
    auto* reactor = context->DefaultReactor();
    shared_.env.loop.Post(
        [this, request = *request, reply = UnaryReply(reactor, response)]() mutable {
          shared_.membership.Init(request, [reply = std::move(reply)](auto result) mutable {
            reply.Send(std::move(result));
          });
        });
    return reactor;
  }

  ::grpc::ServerUnaryReactor* JoinCluster(Context* context, const v1::JoinClusterRequest* request,
                                          v1::JoinClusterResponse* response) override {
    auto* reactor = context->DefaultReactor();
    shared_.env.loop.Post(
        [this, request = *request, reply = UnaryReply(reactor, response)]() mutable {
          shared_.membership.Join(request, [reply = std::move(reply)](auto result) mutable {
            reply.Send(std::move(result));
          });
        });
    return reactor;
  }

  ::grpc::ServerUnaryReactor* LeaveCluster(Context* context, const v1::LeaveClusterRequest* request,
                                           v1::LeaveClusterResponse* response) override {
    auto* reactor = context->DefaultReactor();
    shared_.env.loop.Post(
        [this, force = request->force(), reply = UnaryReply(reactor, response)]() mutable {
          shared_.membership.Leave(force, [reply = std::move(reply)](absl::Status status) mutable {
            if (!status.ok()) return reply.Send(status);
            reply.Send(v1::LeaveClusterResponse());
          });
        });
    return reactor;
  }

  ::grpc::ServerUnaryReactor* GetNodeInfo(Context* context, const v1::GetNodeInfoRequest*,
                                          v1::NodeInfo* response) override {
    auto* reactor = context->DefaultReactor();
    shared_.env.loop.Post([this, reply = UnaryReply(reactor, response)]() mutable {
      v1::NodeInfo info;
      shared_.node.FillInfo(info);
      info.set_manager_socket(shared_.membership.manager_socket());
      reply.Send(std::move(info));
    });
    return reactor;
  }

  ::grpc::ServerReadReactor<v1::LoadImageRequest>* LoadImage(
      Context* context, v1::LoadImageResponse* response) override {
    return new LoadReactor(shared_, *context, response);
  }

  ::grpc::ServerWriteReactor<v1::PullImageProgress>* PullImage(
      Context*, const v1::PullImageRequest* request) override {
    return new PullReactor(shared_, request->reference());
  }

  ::grpc::ServerUnaryReactor* ListImages(Context* context, const v1::ListImagesRequest*,
                                         v1::ListImagesResponse* response) override {
    auto* reactor = context->DefaultReactor();
    Work<v1::ListImagesResponse>(UnaryReply(reactor, response),
                                 [this]() -> absl::StatusOr<v1::ListImagesResponse> {
                                   v1::ListImagesResponse result;
                                   for (const StoredImage& image : shared_.images.List())
                                     *result.add_images() = ToProto(image);
                                   return result;
                                 });
    return reactor;
  }

  ::grpc::ServerUnaryReactor* RemoveImage(Context* context, const v1::RemoveImageRequest* request,
                                          v1::RemoveImageResponse* response) override {
    auto* reactor = context->DefaultReactor();
    shared_.env.loop.Post([this, request = *request,
                           reply = UnaryReply(reactor, response)]() mutable {
      Work<v1::RemoveImageResponse>(
          std::move(reply),
          [this, request, used = shared_.node.ImagesInUse()]() { return Remove(request, used); });
    });
    return reactor;
  }

 private:
  // On the pool, the answer by way of the loop.
  template <typename Response>
  void Work(UnaryReply<Response> reply, absl::AnyInvocable<absl::StatusOr<Response>()> work) {
    OnPool<absl::StatusOr<Response>>(
        shared_.env.loop, shared_.env.pool, std::move(work),
        [reply = std::move(reply)](auto result) mutable { reply.Send(std::move(result)); });
  }

  absl::StatusOr<v1::RemoveImageResponse> Remove(const v1::RemoveImageRequest& request,
                                                 const std::set<std::string>& used) {
    ASSIGN_OR_RETURN(
        ImageStore::Removal removal,
        shared_.images.Remove(request.ref(), request.force(), [&used](const std::string& digest) {
          return used.contains(digest);
        }));
    v1::RemoveImageResponse response;
    for (const std::string& name : removal.untagged) response.add_untagged(name);
    for (const std::string& digest : removal.deleted) response.add_deleted(digest);
    shared_.env.loop.Post([&node = shared_.node] { node.RefreshImages(); });
    return response;
  }

  Shared shared_;
};

}  // namespace

std::unique_ptr<::grpc::Service> MakeNodeLocalService(const Env& env, NodeLocalPools pools,
                                                      Node& node, ClusterMembership& membership,
                                                      ImageStore& images,
                                                      NodeLocalOptions options) {
  // What an agent before us was still receiving.
  (void)RemoveTree(options.upload_dir);
  (void)MakeDirectories(options.upload_dir, 0700);
  return std::make_unique<NodeLocalService>(
      Shared{env, pools, node, membership, images, std::move(options)});
}

}  // namespace swarm::agent
