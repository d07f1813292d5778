// UnaryCall: one unary RPC between gRPC's threads and the loop.
//
//   grpc::ServerUnaryReactor* GetNode(CallbackServerContext* c, const GetNodeRequest* q, Node* a)
//   override {
//     return edge_.Unary("/swarm.v1.Control/GetNode", c, q, a,
//                        [this](const auto& request, auto reply) { nodes_.Get(request,
//                        std::move(reply)); });
//   }
//
// Asks the table of roles, hops to the loop with a copy of the request, and answers from wherever
// the reply runs. A call that its client gave up is over at once; a reply that comes later goes
// nowhere.
#ifndef SWARM_MANAGER_API_GRPC_UNARY_H_
#define SWARM_MANAGER_API_GRPC_UNARY_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string_view>
#include <utility>

#include "common/event_loop.h"
#include "common/grpc/peer.h"
#include "common/grpc/status.h"
#include "common/mutex.h"
#include "manager/api/reply.h"

namespace swarm::manager {

template <typename Response>
class UnaryCall final : public ::grpc::ServerUnaryReactor {
 public:
  // Keeps itself alive until gRPC is done with it.
  static std::shared_ptr<UnaryCall> Make(Response* out) {
    std::shared_ptr<UnaryCall> call(new UnaryCall(out));
    call->self_ = call;
    return call;
  }
  // Any thread; the first one counts.
  void Answer(absl::StatusOr<Response> answer) {
    if (!TakeFinish()) return;
    const ::grpc::Status status = edge::ToGrpc(answer.status());
    if (answer.ok()) *out_ = *std::move(answer);
    Finish(status);
  }
  void OnCancel() override {
    if (TakeFinish()) Finish(::grpc::Status::CANCELLED);
  }
  void OnDone() override { auto last = std::move(self_); }

 private:
  explicit UnaryCall(Response* out) : out_(out) {}
  bool TakeFinish() {
    MutexLock lock(mu_);
    return !std::exchange(finished_, true);
  }

  Response* const out_;  // gRPC's; valid until Finish
  std::shared_ptr<UnaryCall> self_;
  Mutex mu_;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

// What every service of the API needs at its door.
struct ApiEdge {
  EventLoop& loop;
  edge::Authorizer authorizer;

  template <typename Request, typename Response, typename Handler>
  ::grpc::ServerUnaryReactor* Unary(std::string_view method, ::grpc::CallbackServerContext* context,
                                    const Request* request, Response* response,
                                    Handler handler) const {
    auto call = UnaryCall<Response>::Make(response);
    if (absl::Status s = authorizer(method, edge::PeerOf(*context)); !s.ok()) {
      call->Answer(std::move(s));
    } else {
      loop.Post([call, request = *request, handler]() mutable {
        handler(std::move(request), Reply<Response>([call](absl::StatusOr<Response> answer) {
                  call->Answer(std::move(answer));
                }));
      });
    }
    return call.get();
  }
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_GRPC_UNARY_H_
