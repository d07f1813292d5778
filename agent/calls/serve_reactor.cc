#include "agent/calls/serve_reactor.h"

#include <grpcpp/support/client_callback.h>

#include <utility>

#include "common/grpc/endpoints.h"
#include "common/grpc/status.h"
#include "swarm/v1/containers.grpc.pb.h"

namespace swarm::agent {
namespace {

constexpr absl::Duration kKeepConnection = absl::Minutes(1);

// One call. All of its state belongs to the loop: reactions only post. The hold is let go once the
// read side has ended or nobody will read it, after which nothing is started any more.
class Call : public ::grpc::ClientBidiReactor<v1::ServeRequest, v1::ContainerInput>,
             public std::enable_shared_from_this<Call> {
 public:
  Call(EventLoop& loop, CallStreamListener& listener, std::shared_ptr<::grpc::Channel> channel)
      : loop_(loop),
        listener_(&listener),
        stub_(v1::ContainerStreams::NewStub(std::move(channel))) {}

  void Begin() {
    self_ = shared_from_this();
    stub_->async()->Serve(&context_, this);
    AddHold();
    ReadNext();
    StartCall();
  }
  void Send(v1::ServeRequest request) {
    if (over_) return;
    request_ = std::move(request);
    StartWrite(&request_);
  }
  void ReadNext() {
    if (over_ || reading_) return;
    reading_ = true;
    StartRead(&incoming_);
  }
  // Reads on, so that it hears when the manager has ended it.
  void Finish() {
    if (over_) return;
    finishing_ = true;
    StartWritesDone();
    ReadNext();
  }
  void Drop() {
    listener_ = nullptr;
    context_.TryCancel();
    if (!reading_) Release();
  }

  void OnReadDone(bool ok) override {
    loop_.Post([self = self_, ok] { self->ReadDone(ok); });
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
  void ReadDone(bool ok) {
    reading_ = false;
    if (!ok || listener_ == nullptr) return Release();
    if (finishing_) return ReadNext();
    listener_->OnInput(std::move(incoming_));
  }
  void WriteDone(bool ok) {
    if (ok && listener_ != nullptr) return listener_->OnSent();
    // The stream has ended. Without a read nobody would tell.
    if (!reading_) Release();
  }
  void Release() {
    if (!std::exchange(over_, true)) RemoveHold();
  }

  EventLoop& loop_;
  CallStreamListener* listener_;
  std::unique_ptr<v1::ContainerStreams::Stub> stub_;
  ::grpc::ClientContext context_;
  v1::ServeRequest request_;
  v1::ContainerInput incoming_;
  std::shared_ptr<Call> self_;  // until OnDone
  bool reading_ = false;
  bool finishing_ = false;
  bool over_ = false;
};

class GrpcCallStream : public CallStream {
 public:
  explicit GrpcCallStream(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~GrpcCallStream() override { call_->Drop(); }
  void Send(v1::ServeRequest request) override { call_->Send(std::move(request)); }
  void ReadNext() override { call_->ReadNext(); }
  void Finish() override { call_->Finish(); }

 private:
  std::shared_ptr<Call> call_;
};

class GrpcCallConnector : public CallConnector {
 public:
  GrpcCallConnector(EventLoop& loop, std::shared_ptr<edge::TlsSource> tls,
                    std::function<std::string()> manager)
      : loop_(loop), tls_(std::move(tls)), manager_(std::move(manager)) {}
  ~GrpcCallConnector() override { loop_.Cancel(timer_); }

  std::unique_ptr<CallStream> Open(CallStreamListener& listener) override {
    auto call = std::make_shared<Call>(loop_, listener, Channel());
    call->Begin();
    return std::make_unique<GrpcCallStream>(std::move(call));
  }

 private:
  std::shared_ptr<::grpc::Channel> Channel() {
    loop_.Cancel(timer_);
    timer_ = loop_.RunAfter(kKeepConnection, [this] {
      timer_ = 0;
      channel_.reset();
    });
    const std::string address = manager_();
    const uint64_t generation = tls_->generation();
    const bool fits = channel_ != nullptr && address == address_ && generation == generation_;
    // One that has failed waits before it tries again; we do not.
    const auto state = fits ? channel_->GetState(false) : GRPC_CHANNEL_SHUTDOWN;
    if (state == GRPC_CHANNEL_SHUTDOWN || state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
      channel_ = edge::MakeChannel(address, edge::MutualTlsCredentials(tls_->Get()));
      address_ = address;
      generation_ = generation;
    }
    return channel_;
  }

  EventLoop& loop_;
  const std::shared_ptr<edge::TlsSource> tls_;
  const std::function<std::string()> manager_;
  std::shared_ptr<::grpc::Channel> channel_;
  std::string address_;
  uint64_t generation_ = 0;
  TimerId timer_ = 0;
};

}  // namespace

std::unique_ptr<CallConnector> MakeGrpcCallConnector(EventLoop& loop,
                                                     std::shared_ptr<edge::TlsSource> tls,
                                                     std::function<std::string()> manager) {
  return std::make_unique<GrpcCallConnector>(loop, std::move(tls), std::move(manager));
}

}  // namespace swarm::agent
