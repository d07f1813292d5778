// LoopStream: a server stream of any kind as a StreamEnd. gRPC's threads only post; every call to
// gRPC is made on the loop, so that no write ever races the end.
//
// `Rpc` says what kind it is: its Reactor, Request and Response, and how they become the In and Out
// of a StreamEnd:
//
//   struct ExecRpc {
//     using Reactor = ::grpc::ServerBidiReactor<Request, Response>; …
//     static In FromRequest(Request request);
//     static bool ToResponse(Out message, Response* response);  // false: nothing is to be sent
//   };
//
// Keeps itself alive until gRPC is done and the loop has heard of it.
#ifndef SWARM_MANAGER_API_GRPC_LOOP_STREAM_H_
#define SWARM_MANAGER_API_GRPC_LOOP_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "common/event_loop.h"
#include "common/grpc/status.h"
#include "manager/api/stream_end.h"

namespace swarm::manager {

template <typename Rpc>
class LoopStream final : public Rpc::Reactor, public StreamEnd<typename Rpc::Out> {
 public:
  using In = typename Rpc::In;
  using Out = typename Rpc::Out;
  using Request = typename Rpc::Request;
  using Response = typename Rpc::Response;
  // On the loop; null when the stream was refused and finished.
  using Opener = std::function<StreamEvents<In>*(StreamEnd<Out>&)>;

  static constexpr absl::Duration kFlushTimeout = absl::Seconds(2);

  // `first`: the one request of a kind that streams none; else null. `response`: of a kind that
  // streams none; else null.
  static LoopStream* Start(EventLoop& loop, ::grpc::CallbackServerContext& context,
                           const Request* first, Response* response, Opener open) {
    auto made = std::shared_ptr<LoopStream>(new LoopStream(loop, context, response));
    made->self_ = made;
    std::optional<Request> request;
    if (first != nullptr) request = *first;
    loop.Post([made, open = std::move(open), request = std::move(request)]() mutable {
      made->events_ = open(*made);
      if (made->events_ == nullptr) return;
      if (!request.has_value()) return made->ReadNext();
      made->events_->OnMessage(Rpc::FromRequest(*std::move(request)));
    });
    return made.get();
  }
  static LoopStream* Refuse(EventLoop& loop, ::grpc::CallbackServerContext& context,
                            absl::Status status) {
    return Start(loop, context, nullptr, nullptr, [status = std::move(status)](auto& stream) {
      stream.Finish(status);
      return nullptr;
    });
  }

  // StreamEnd, on the loop.
  void ReadNext() override {
    if constexpr (requires { this->StartRead(&request_); }) {
      if (!end_.has_value()) this->StartRead(&request_);
    }
  }
  void Write(Out message) override {
    if (end_.has_value()) return;
    Response* to = response_out_ != nullptr ? response_out_ : &response_;
    if constexpr (requires { this->StartWrite(&response_); }) {
      if (Rpc::ToResponse(std::move(message), to)) {
        writing_ = true;
        return this->StartWrite(to);
      }
    } else {
      Rpc::ToResponse(std::move(message), to);
    }
    loop_.Post([self = self_] { self->Written(); });
  }
  void Finish(absl::Status status) override {
    if (end_.has_value()) return;
    end_ = edge::ToGrpc(status);
    if (!writing_) return Rpc::Reactor::Finish(*end_);
    // A peer that does not read keeps the last write waiting.
    loop_.RunAfter(kFlushTimeout, [weak = std::weak_ptr(self_)] {
      auto stream = weak.lock();
      if (stream != nullptr && stream->writing_) stream->context_.TryCancel();
    });
  }

  // Reactor, on gRPC's threads; which of them there are depends on its kind.
  void OnReadDone(bool ok) {
    loop_.Post([self = self_, ok] { self->Read(ok); });
  }
  void OnWriteDone(bool /*ok*/) {
    loop_.Post([self = self_] {
      self->writing_ = false;
      if (self->end_.has_value())
        return static_cast<typename Rpc::Reactor&>(*self).Finish(*self->end_);
      self->Written();
    });
  }
  void OnCancel() override {
    loop_.Post([self = self_] {
      if (self->events_ != nullptr) self->events_->OnCancelled();
    });
  }
  void OnDone() override {
    loop_.Post([self = std::move(self_)] {
      if (auto* events = std::exchange(self->events_, nullptr)) events->OnClosed();
    });
  }

 private:
  LoopStream(EventLoop& loop, ::grpc::CallbackServerContext& context, Response* response)
      : loop_(loop), context_(context), response_out_(response) {}

  void Read(bool ok) {
    if (events_ == nullptr || end_.has_value()) return;
    if (!ok) return events_->OnReadEnd();
    events_->OnMessage(Rpc::FromRequest(std::move(request_)));
  }
  void Written() {
    if (events_ != nullptr) events_->OnWritten();
  }

  EventLoop& loop_;
  ::grpc::CallbackServerContext& context_;  // until Finish
  Response* const response_out_;
  std::shared_ptr<LoopStream> self_;    // until OnDone
  StreamEvents<In>* events_ = nullptr;  // the rest is the loop's
  Request request_;                     // gRPC's while a read is out
  Response response_;                   // gRPC's while a write is out
  bool writing_ = false;
  std::optional<::grpc::Status> end_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_GRPC_LOOP_STREAM_H_
