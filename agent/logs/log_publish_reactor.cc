#include "agent/logs/log_publish_reactor.h"

#include <grpcpp/support/client_callback.h>

#include <utility>

#include "common/grpc/endpoints.h"
#include "common/grpc/status.h"
#include "swarm/v1/logs.grpc.pb.h"

namespace swarm::agent {
namespace {

// One call. All of its state belongs to the loop: reactions only post. The hold is let go when
// nothing is started any more: after Finish, Drop or a write that failed.
class Call : public ::grpc::ClientWriteReactor<v1::PublishLogsRequest>,
             public std::enable_shared_from_this<Call> {
 public:
  Call(EventLoop& loop, LogStreamListener& listener, std::shared_ptr<::grpc::Channel> channel)
      : loop_(loop), listener_(&listener), stub_(v1::LogPublisher::NewStub(std::move(channel))) {}

  void Begin() {
    self_ = shared_from_this();
    stub_->async()->Publish(&context_, &response_, this);
    AddHold();
    StartCall();
  }
  void Send(v1::PublishLogsRequest request) {
    if (over_) return;
    request_ = std::move(request);
    StartWrite(&request_);
  }
  void Finish() {
    if (over_) return;
    StartWritesDone();
    Release();
  }
  void Drop() {
    listener_ = nullptr;
    context_.TryCancel();
    Release();
  }

  void OnWriteDone(bool ok) override {
    loop_.Post([self = self_, ok] { self->WriteDone(ok); });
  }
  void OnDone(const ::grpc::Status& status) override {
    loop_.Post([self = std::move(self_), status] {
      if (self->listener_ != nullptr) self->listener_->OnClosed(edge::FromGrpc(status));
    });
  }

 private:
  void WriteDone(bool ok) {
    if (!ok) return Release();  // OnDone says why
    if (!over_ && listener_ != nullptr) listener_->OnSent();
  }
  void Release() {
    if (!std::exchange(over_, true)) RemoveHold();
  }

  EventLoop& loop_;
  LogStreamListener* listener_;
  std::unique_ptr<v1::LogPublisher::Stub> stub_;
  ::grpc::ClientContext context_;
  v1::PublishLogsResponse response_;
  v1::PublishLogsRequest request_;
  std::shared_ptr<Call> self_;  // until OnDone
  bool over_ = false;
};

class GrpcLogStream : public LogStream {
 public:
  explicit GrpcLogStream(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~GrpcLogStream() override { call_->Drop(); }
  void Send(v1::PublishLogsRequest request) override { call_->Send(std::move(request)); }
  void Finish() override { call_->Finish(); }

 private:
  std::shared_ptr<Call> call_;
};

class GrpcLogConnector : public LogConnector {
 public:
  GrpcLogConnector(EventLoop& loop, std::shared_ptr<edge::TlsSource> tls,
                   std::function<std::string()> manager)
      : loop_(loop), tls_(std::move(tls)), manager_(std::move(manager)) {}

  std::unique_ptr<LogStream> Open(LogStreamListener& listener) override {
    auto channel = edge::MakeChannel(manager_(), edge::MutualTlsCredentials(tls_->Get()));
    auto call = std::make_shared<Call>(loop_, listener, std::move(channel));
    call->Begin();
    return std::make_unique<GrpcLogStream>(std::move(call));
  }

 private:
  EventLoop& loop_;
  std::shared_ptr<edge::TlsSource> tls_;
  std::function<std::string()> manager_;
};

}  // namespace

std::unique_ptr<LogConnector> MakeGrpcLogConnector(EventLoop& loop,
                                                   std::shared_ptr<edge::TlsSource> tls,
                                                   std::function<std::string()> manager) {
  return std::make_unique<GrpcLogConnector>(loop, std::move(tls), std::move(manager));
}

}  // namespace swarm::agent
