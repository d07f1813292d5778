#include "manager/api/logs_service.h"

#include <memory>
#include <utility>

#include "manager/api/grpc_loop_stream.h"
#include "manager/api/grpc_outbox.h"
#include "manager/api/node_publisher.h"
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

struct PublishRpc {
  using In = v1::PublishLogsRequest;
  using Out = v1::PublishLogsResponse;
  using Request = In;
  using Response = Out;
  using Reactor = ::grpc::ServerReadReactor<Request>;
  static In FromRequest(Request request) { return request; }
  static bool ToResponse(const Out&, Response*) { return false; }
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
    if (!allowed.ok()) {
      return LoopStream<PublishRpc>::Refuse(env_.loop, *context, std::move(allowed));
    }
    const Id node = Id::ParseOrZero(peer.certificate.name);
    return LoopStream<PublishRpc>::Start(
        env_.loop, *context, nullptr, response,
        [this, node](auto& end) { return NodePublisher::Open(broker_, node, end); });
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
