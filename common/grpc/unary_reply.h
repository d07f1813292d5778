// UnaryReply: the one answer of a unary callback call, carried to another thread and back.
//
//   auto* reactor = context->DefaultReactor();
//   loop.Post([reply = UnaryReply<Pong>(reactor, response)]() mutable { reply.Send(Work()); });
//   return reactor;
//
// Move-only. A reply that is dropped unsent (a loop that has stopped destroys what is posted)
// answers Unavailable, so that no call hangs and the server can shut down. Any thread.
#ifndef SWARM_COMMON_GRPC_UNARY_REPLY_H_
#define SWARM_COMMON_GRPC_UNARY_REPLY_H_

#include <grpcpp/support/server_callback.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/grpc/status.h"

namespace swarm::edge {

template <typename Response>
class UnaryReply {
 public:
  UnaryReply(::grpc::ServerUnaryReactor* reactor, Response* response)
      : reactor_(reactor), response_(response) {}
  UnaryReply(UnaryReply&& other) noexcept
      : reactor_(std::exchange(other.reactor_, nullptr)), response_(other.response_) {}
  UnaryReply& operator=(UnaryReply&&) = delete;
  ~UnaryReply() { Send(absl::UnavailableError("the server is shutting down")); }

  // Only the first Send counts.
  void Send(absl::StatusOr<Response> result) {
    ::grpc::ServerUnaryReactor* reactor = std::exchange(reactor_, nullptr);
    if (reactor == nullptr) return;
    if (!result.ok()) {
      reactor->Finish(ToGrpc(result.status()));
      return;
    }
    *response_ = *std::move(result);
    reactor->Finish(::grpc::Status::OK);
  }

 private:
  ::grpc::ServerUnaryReactor* reactor_;
  Response* response_;
};

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_UNARY_REPLY_H_
