// ApiEdge: what every service of the API needs at its door.
//
//   grpc::ServerUnaryReactor* GetNode(CallbackServerContext* c, const GetNodeRequest* q, Node* a)
//   override {
//     return edge_.Unary("/swarm.v1.Control/GetNode", c, q, a,
//                        [this](const auto& request, auto reply) { nodes_.Get(request,
//                        std::move(reply)); });
//   }
//
// Asks the table of roles, hops to the loop with a copy of the request, and answers from wherever
// the reply runs.
#ifndef SWARM_MANAGER_API_GRPC_UNARY_H_
#define SWARM_MANAGER_API_GRPC_UNARY_H_

#include <grpcpp/server_context.h>

#include <string_view>
#include <utility>

#include "common/event_loop.h"
#include "common/grpc/peer.h"
#include "common/grpc/unary_call.h"
#include "manager/api/reply.h"

namespace swarm::manager {

struct ApiEdge {
  EventLoop& loop;
  edge::Authorizer authorizer;

  template <typename Request, typename Response, typename Handler>
  ::grpc::ServerUnaryReactor* Unary(std::string_view method, ::grpc::CallbackServerContext* context,
                                    const Request* request, Response* response,
                                    Handler handler) const {
    auto call = edge::UnaryCall<Response>::Make(response);
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
