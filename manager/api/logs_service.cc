#include "manager/api/logs_service.h"

#include <utility>

#include "common/grpc/status.h"
#include "common/mutex.h"
#include "manager/api/grpc_outbox.h"
#include "swarm/v1/logs.grpc.pb.h"

namespace swarm::manager {
namespace {

using Context = ::grpc::CallbackServerContext;

class LogsService final : public v1::Logs::CallbackService {
 public:
  LogsService(const Env& env, LogBroker& broker, edge::Authorizer authorizer,
              std::shared_ptr<ByteBudget> budget)
      : env_(env),
        broker_(broker),
        authorizer_(std::move(authorizer)),
        budget_(std::move(budget)) {}

  ::grpc::ServerWriteReactor<v1::LogMessage>* Subscribe(
      Context* context, const v1::SubscribeLogsRequest* request) override {
    auto stream = OutboxReactor<v1::LogMessage>::Make({env_.loop, *context, budget_});
    absl::Status allowed = authorizer_("/swarm.v1.Logs/Subscribe", edge::PeerOf(*context));
    if (!allowed.ok()) {
      stream->Close(std::move(allowed));
      return stream.get();
    }
    // Set on the loop by the first post, read there by the later ones.
    auto id = std::make_shared<LogBroker::SubscriptionId>(0);
    stream->SetHooks(
        [this, id] { env_.loop.Post([this, id] { broker_.OnDrained(*id); }); },
        [this, id, keep = std::weak_ptr(stream)] {
          // The broker may push until it is told, so the stream lives until then.
          env_.loop.Post([this, id, stream = keep.lock()] { broker_.Unsubscribe(*id); });
        });
    env_.loop.Post([this, id, stream, request = *request] {
      auto subscribed = broker_.Subscribe(request, *stream);
      if (!subscribed.ok()) return stream->Close(subscribed.status());
      *id = *subscribed;
    });
    return stream.get();
  }

 private:
  const Env env_;
  LogBroker& broker_;
  const edge::Authorizer authorizer_;
  const std::shared_ptr<ByteBudget> budget_;
};

// One node's stream. ReadNext and Finish come from the loop; gRPC's threads only finish a stream
// whose read failed, and then no message is at the broker, so that ReadNext never races Finish.
class PublishReactor final : public ::grpc::ServerReadReactor<v1::PublishLogsRequest>,
                             public PublisherStream {
 public:
  static PublishReactor* Start(const Env& env, LogBroker& broker, Id node,
                               v1::PublishLogsResponse*) {
    std::shared_ptr<PublishReactor> made(new PublishReactor(env, broker));
    made->self_ = made;
    env.loop.Post([made, node] { made->id_ = made->broker_.OnPublisherOpened(node, *made); });
    made->StartRead(&made->message_);
    return made.get();
  }
  static PublishReactor* Refuse(const Env& env, LogBroker& broker, absl::Status status) {
    std::shared_ptr<PublishReactor> made(new PublishReactor(env, broker));
    made->self_ = made;
    made->Finish(std::move(status));
    return made.get();
  }

  void ReadNext() override {
    if (!finished()) StartRead(&message_);
  }
  void Finish(absl::Status status) override {
    if (TakeFinish()) ServerReadReactor::Finish(edge::ToGrpc(status));
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(absl::OkStatus());
    loop_.Post([self = self_, message = std::move(message_)]() mutable {
      if (!self->finished()) self->broker_.OnPublished(self->id_, std::move(message));
    });
  }
  void OnDone() override {
    loop_.Post([self = std::move(self_)] { self->broker_.OnPublisherClosed(self->id_); });
  }

 private:
  PublishReactor(const Env& env, LogBroker& broker) : loop_(env.loop), broker_(broker) {}
  bool TakeFinish() {
    MutexLock lock(mu_);
    return !std::exchange(finished_, true);
  }
  bool finished() {
    MutexLock lock(mu_);
    return finished_;
  }

  EventLoop& loop_;
  LogBroker& broker_;
  LogBroker::PublisherId id_ = 0;  // on the loop; 0 is never a publisher's
  v1::PublishLogsRequest message_;
  std::shared_ptr<PublishReactor> self_;
  Mutex mu_;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

class LogPublisherService final : public v1::LogPublisher::CallbackService {
 public:
  LogPublisherService(const Env& env, LogBroker& broker, edge::Authorizer authorizer)
      : env_(env), broker_(broker), authorizer_(std::move(authorizer)) {}

  ::grpc::ServerReadReactor<v1::PublishLogsRequest>* Publish(
      Context* context, v1::PublishLogsResponse* response) override {
    const edge::PeerIdentity peer = edge::PeerOf(*context);
    absl::Status allowed = authorizer_("/swarm.v1.LogPublisher/Publish", peer);
    if (allowed.ok() && !peer.IsNode()) {
      allowed = absl::PermissionDeniedError("only nodes publish logs");
    }
    if (!allowed.ok()) return PublishReactor::Refuse(env_, broker_, std::move(allowed));
    return PublishReactor::Start(env_, broker_, Id::ParseOrZero(peer.certificate.name), response);
  }

 private:
  const Env env_;
  LogBroker& broker_;
  const edge::Authorizer authorizer_;
};

}  // namespace

std::unique_ptr<::grpc::Service> MakeLogsService(const Env& env, LogBroker& broker,
                                                 edge::Authorizer authorizer,
                                                 std::shared_ptr<ByteBudget> budget) {
  return std::make_unique<LogsService>(env, broker, std::move(authorizer), std::move(budget));
}

std::unique_ptr<::grpc::Service> MakeLogPublisherService(const Env& env, LogBroker& broker,
                                                         edge::Authorizer authorizer) {
  return std::make_unique<LogPublisherService>(env, broker, std::move(authorizer));
}

}  // namespace swarm::manager
