#include "manager/api/containers_service.h"

#include <utility>

#include "common/strings.h"
#include "manager/api/grpc_loop_stream.h"
#include "swarm/v1/containers.grpc.pb.h"

namespace swarm::manager {
namespace {

using Context = ::grpc::CallbackServerContext;
using Kind = v1::ContainerInput::KindCase;

// What all kinds of a caller's calls have in common.
struct CallRpc {
  using In = v1::ContainerInput;
  using Out = v1::ContainerOutput;
};

struct DialogueRpc : CallRpc {  // Exec, Attach
  using Request = In;
  using Response = Out;
  using Reactor = ::grpc::ServerBidiReactor<Request, Response>;
  static In FromRequest(Request request) { return request; }
  static bool ToResponse(Out message, Response* response) {
    *response = std::move(message);
    return true;
  }
};

struct CopyToRpc : CallRpc {
  using Request = v1::CopyToRequest;
  using Response = v1::CopyToResponse;
  using Reactor = ::grpc::ServerReadReactor<Request>;
  static In FromRequest(Request request) {
    In in;
    if (request.has_start()) {
      *in.mutable_copy_to() = std::move(*request.mutable_start());
    } else {
      in.set_data(std::move(*request.mutable_data()));
    }
    return in;
  }
  static bool ToResponse(const Out&, Response*) { return false; }
};

struct CopyFromRpc : CallRpc {
  using Request = v1::CopyFromRequest;
  using Response = v1::CopyFromResponse;
  using Reactor = ::grpc::ServerWriteReactor<Response>;
  static In FromRequest(Request request) {
    In in;
    *in.mutable_copy_from() = std::move(*request.mutable_start());
    return in;
  }
  static bool ToResponse(Out message, Response* response) {
    if (!message.has_data()) return false;
    response->set_data(std::move(*message.mutable_data()));
    return true;
  }
};

struct TopRpc : CallRpc {
  using Request = v1::TopRequest;
  using Response = v1::TopResponse;
  using Reactor = ::grpc::ServerUnaryReactor;
  static In FromRequest(Request request) {
    In in;
    *in.mutable_top()->mutable_task() = std::move(*request.mutable_task());
    return in;
  }
  static bool ToResponse(Out message, Response* response) {
    *response = std::move(*message.mutable_top());
    return true;
  }
};

struct StatsRpc {
  using In = v1::StatsRequest;
  using Out = v1::StatsResponse;
  using Request = In;
  using Response = Out;
  using Reactor = ::grpc::ServerWriteReactor<Response>;
  static In FromRequest(Request request) { return request; }
  static bool ToResponse(Out message, Response* response) {
    *response = std::move(message);
    return true;
  }
};

struct ServeRpc {
  using In = v1::ServeRequest;
  using Out = v1::ContainerInput;
  using Request = In;
  using Response = Out;
  using Reactor = ::grpc::ServerBidiReactor<Request, Response>;
  static In FromRequest(Request request) { return request; }
  static bool ToResponse(Out message, Response* response) {
    *response = std::move(message);
    return true;
  }
};

class ContainersService final : public v1::Containers::CallbackService {
 public:
  ContainersService(const Env& env, CallBroker& calls, StatsBroker& stats,
                    edge::Authorizer authorizer)
      : env_(env), calls_(calls), stats_(stats), authorizer_(std::move(authorizer)) {}

  ::grpc::ServerBidiReactor<v1::ContainerInput, v1::ContainerOutput>* Exec(
      Context* context) override {
    return Call<DialogueRpc>("Exec", Kind::kExec, *context, nullptr, nullptr);
  }
  ::grpc::ServerBidiReactor<v1::ContainerInput, v1::ContainerOutput>* Attach(
      Context* context) override {
    return Call<DialogueRpc>("Attach", Kind::kAttach, *context, nullptr, nullptr);
  }
  ::grpc::ServerReadReactor<v1::CopyToRequest>* CopyTo(Context* context,
                                                       v1::CopyToResponse* response) override {
    return Call<CopyToRpc>("CopyTo", Kind::kCopyTo, *context, nullptr, response);
  }
  ::grpc::ServerWriteReactor<v1::CopyFromResponse>* CopyFrom(
      Context* context, const v1::CopyFromRequest* request) override {
    return Call<CopyFromRpc>("CopyFrom", Kind::kCopyFrom, *context, request, nullptr);
  }
  ::grpc::ServerUnaryReactor* Top(Context* context, const v1::TopRequest* request,
                                  v1::TopResponse* response) override {
    return Call<TopRpc>("Top", Kind::kTop, *context, request, response);
  }
  ::grpc::ServerWriteReactor<v1::StatsResponse>* Stats(Context* context,
                                                       const v1::StatsRequest* request) override {
    absl::Status allowed = authorizer_("/swarm.v1.Containers/Stats", edge::PeerOf(*context));
    if (!allowed.ok()) {
      return LoopStream<StatsRpc>::Refuse(env_.loop, *context, std::move(allowed));
    }
    return LoopStream<StatsRpc>::Start(env_.loop, *context, request, nullptr,
                                       [this](auto& caller) { return stats_.OnOpened(caller); });
  }

 private:
  template <typename Rpc>
  LoopStream<Rpc>* Call(std::string_view method, Kind kind, Context& context,
                        const typename Rpc::Request* request, typename Rpc::Response* response) {
    absl::Status allowed =
        authorizer_(StrCat("/swarm.v1.Containers/", method), edge::PeerOf(context));
    if (!allowed.ok()) return LoopStream<Rpc>::Refuse(env_.loop, context, std::move(allowed));
    return LoopStream<Rpc>::Start(
        env_.loop, context, request, response,
        [this, kind](auto& caller) { return calls_.OnOpened(kind, caller); });
  }

  const Env env_;
  CallBroker& calls_;
  StatsBroker& stats_;
  const edge::Authorizer authorizer_;
};

class ContainerStreamsService final : public v1::ContainerStreams::CallbackService {
 public:
  ContainerStreamsService(const Env& env, NodeStreams& streams, edge::Authorizer authorizer)
      : env_(env), streams_(streams), authorizer_(std::move(authorizer)) {}

  ::grpc::ServerBidiReactor<v1::ServeRequest, v1::ContainerInput>* Serve(
      Context* context) override {
    const edge::PeerIdentity peer = edge::PeerOf(*context);
    absl::Status allowed = authorizer_("/swarm.v1.ContainerStreams/Serve", peer);
    if (allowed.ok() && !peer.IsNode()) {
      allowed = absl::PermissionDeniedError("only nodes serve calls into containers");
    }
    if (!allowed.ok()) {
      return LoopStream<ServeRpc>::Refuse(env_.loop, *context, std::move(allowed));
    }
    const Id node = Id::ParseOrZero(peer.certificate.name);
    return LoopStream<ServeRpc>::Start(
        env_.loop, *context, nullptr, nullptr,
        [this, node](auto& end) { return streams_.OnOpened(node, end); });
  }

 private:
  const Env env_;
  NodeStreams& streams_;
  const edge::Authorizer authorizer_;
};

}  // namespace

std::unique_ptr<::grpc::Service> MakeContainersService(const Env& env, CallBroker& calls,
                                                       StatsBroker& stats,
                                                       edge::Authorizer authorizer) {
  return std::make_unique<ContainersService>(env, calls, stats, std::move(authorizer));
}

std::unique_ptr<::grpc::Service> MakeContainerStreamsService(const Env& env, NodeStreams& streams,
                                                             edge::Authorizer authorizer) {
  return std::make_unique<ContainerStreamsService>(env, streams, std::move(authorizer));
}

}  // namespace swarm::manager
