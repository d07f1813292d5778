#include "agent/session_reactor.h"

#include <grpcpp/support/client_callback.h>

#include <deque>
#include <utility>

#include "common/grpc/endpoints.h"
#include "common/grpc/status.h"
#include "swarm/v1/dispatcher.grpc.pb.h"

namespace swarm::agent {
namespace {

constexpr size_t kMaxQueued = 1024;

// One call. All of its state belongs to the loop: reactions only post. The hold is let go once the
// read side has ended, after which nothing is started any more.
class Call : public ::grpc::ClientBidiReactor<v1::AgentMessage, v1::ManagerMessage>,
             public std::enable_shared_from_this<Call> {
 public:
  Call(EventLoop& loop, SessionStreamListener& listener, std::shared_ptr<::grpc::Channel> channel)
      : loop_(loop), listener_(&listener), stub_(v1::Dispatcher::NewStub(std::move(channel))) {}

  void Begin() {
    self_ = shared_from_this();
    stub_->async()->Session(&context_, this);
    AddHold();
    StartRead(&incoming_);
    StartCall();
  }

  void Send(v1::AgentMessage message) {
    if (read_ended_ || finishing_ || broken_) return;
    if (queue_.size() >= kMaxQueued) {
      broken_ = true;
      context_.TryCancel();
      return;
    }
    queue_.push_back(std::move(message));
    WriteNext();
  }

  void Finish() {
    finishing_ = true;
    WriteNext();
  }

  void Drop() {
    listener_ = nullptr;
    broken_ = true;
    context_.TryCancel();
  }

  // gRPC's threads.
  void OnReadDone(bool ok) override {
    loop_.Post([self = self_, ok] { self->ReadDone(ok); });
  }
  void OnWriteDone(bool ok) override {
    loop_.Post([self = self_, ok] { self->WriteDone(ok); });
  }
  void OnWritesDoneDone(bool) override {}
  void OnDone(const ::grpc::Status& status) override {
    loop_.Post([self = std::move(self_), status] { self->Done(status); });
  }

 private:
  void WriteNext() {
    if (writing_ || read_ended_) return;
    if (!queue_.empty()) {
      writing_ = true;
      StartWrite(&queue_.front());
    } else if (finishing_ && !said_finished_) {
      said_finished_ = true;
      StartWritesDone();
    }
  }
  void WriteDone(bool ok) {
    writing_ = false;
    queue_.pop_front();
    if (!ok) queue_.clear();  // the read side tells the end
    WriteNext();
  }
  void ReadDone(bool ok) {
    if (ok && listener_ != nullptr) listener_->OnMessage(std::move(incoming_));
    if (ok) return StartRead(&incoming_);
    read_ended_ = true;
    RemoveHold();
  }
  void Done(const ::grpc::Status& status) {
    if (listener_ == nullptr) return;
    if (broken_) {
      return listener_->OnClosed(
          absl::ResourceExhaustedError("the manager does not read what this node sends"));
    }
    listener_->OnClosed(edge::FromGrpc(status));
  }

  EventLoop& loop_;
  SessionStreamListener* listener_;
  std::unique_ptr<v1::Dispatcher::Stub> stub_;
  ::grpc::ClientContext context_;
  std::shared_ptr<Call> self_;  // until OnDone
  v1::ManagerMessage incoming_;
  std::deque<v1::AgentMessage> queue_;
  bool writing_ = false;
  bool finishing_ = false;
  bool said_finished_ = false;
  bool read_ended_ = false;
  bool broken_ = false;
};

class GrpcStream : public SessionStream {
 public:
  explicit GrpcStream(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~GrpcStream() override { call_->Drop(); }
  void Send(v1::AgentMessage message) override { call_->Send(std::move(message)); }
  void Finish() override { call_->Finish(); }

 private:
  std::shared_ptr<Call> call_;
};

class GrpcSessionConnector : public SessionConnector {
 public:
  GrpcSessionConnector(EventLoop& loop, std::shared_ptr<edge::TlsSource> tls)
      : loop_(loop), tls_(std::move(tls)) {}

  std::unique_ptr<SessionStream> Open(const std::string& addr,
                                      SessionStreamListener& listener) override {
    auto channel = edge::MakeChannel(addr, edge::MutualTlsCredentials(tls_->Get()));
    auto call = std::make_shared<Call>(loop_, listener, std::move(channel));
    call->Begin();
    return std::make_unique<GrpcStream>(std::move(call));
  }

 private:
  EventLoop& loop_;
  std::shared_ptr<edge::TlsSource> tls_;
};

}  // namespace

std::unique_ptr<SessionConnector> MakeGrpcSessionConnector(EventLoop& loop,
                                                           std::shared_ptr<edge::TlsSource> tls) {
  return std::make_unique<GrpcSessionConnector>(loop, std::move(tls));
}

}  // namespace swarm::agent
