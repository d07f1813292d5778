// UnaryCall: one unary RPC between gRPC's threads and the loop, which its client may give up.
//
//   auto call = edge::UnaryCall<Pong>::Make(response);
//   loop.Post([call] { call->Answer(Work()); });
//   return call.get();
//
// A call that its client gave up, or that a server's shutdown cancels, is over at once; an answer
// that comes later goes nowhere. A call that nobody answers lasts until one of the two.
#ifndef SWARM_COMMON_GRPC_UNARY_CALL_H_
#define SWARM_COMMON_GRPC_UNARY_CALL_H_

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "common/grpc/status.h"
#include "common/mutex.h"

namespace swarm::edge {

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
    const ::grpc::Status status = ToGrpc(answer.status());
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

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_UNARY_CALL_H_
