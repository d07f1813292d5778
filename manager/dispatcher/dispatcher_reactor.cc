#include "manager/dispatcher/dispatcher_reactor.h"

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <optional>
#include <utility>

#include "common/grpc/status.h"
#include "common/mutex.h"
#include "manager/dispatcher/content_source.h"
#include "swarm/v1/dispatcher.grpc.pb.h"

namespace swarm::manager {
namespace {

constexpr size_t kMaxQueuedMessages = 64;
constexpr size_t kMaxQueuedBytes = 8 << 20;
constexpr absl::Duration kFlushTimeout = absl::Seconds(2);

void Wipe(v1::ManagerMessage& message) {
  if (message.has_assignment()) WipeContents(*message.mutable_assignment());
}

using Reactor = ::grpc::ServerBidiReactor<v1::AgentMessage, v1::ManagerMessage>;

// One agent's stream. At most one message is on its way up at a time: the next is read once the
// loop has dealt with the last. Finish is called when a reason to end is there and neither a write,
// nor a hop to the loop, nor a TryCancel is under way, so nothing is ever started behind it.
class SessionStream : public Reactor,
                      public AgentStream,
                      public std::enable_shared_from_this<SessionStream> {
 public:
  SessionStream(EventLoop& loop, Dispatcher& dispatcher, ::grpc::CallbackServerContext& context)
      : loop_(loop), dispatcher_(dispatcher), context_(context) {}

  void Begin(Id node, std::string peer_addr) {
    self_ = shared_from_this();
    loop_.Post([hop = Hop(self_), node, peer_addr = std::move(peer_addr)]() mutable {
      SessionStream& s = *hop.stream;
      s.session_ = s.dispatcher_.OnOpened(node, std::move(peer_addr), s);
    });
  }

  // ---- AgentStream, on the loop
  bool Send(v1::ManagerMessage message) override {
    const size_t bytes = message.ByteSizeLong();
    const v1::ManagerMessage* next = nullptr;
    {
      MutexLock lock(mu_);
      if (end_.has_value()) {  // it ends anyway
        Wipe(message);
        return true;
      }
      if (!TryRoom(bytes)) {
        Wipe(message);
        return false;
      }
      queued_bytes_ += bytes;
      queue_.push_back(std::move(message));
      if (writing_) return true;
      writing_ = true;
      next = &queue_.front();  // stays where it is while it is written
    }
    StartWrite(next);
    return true;
  }

  bool HasRoom(size_t bytes) override {
    MutexLock lock(mu_);
    return end_.has_value() || TryRoom(bytes);
  }

  void Close(absl::Status status) override {
    End(edge::ToGrpc(status));
    // An agent that does not read keeps the last write waiting.
    loop_.RunAfter(kFlushTimeout, [weak = weak_from_this()] {
      if (auto stream = weak.lock()) stream->Cancel();
    });
  }

  // ---- Reactor, on gRPC's threads
  void OnReadDone(bool ok) override {
    if (!ok) return End(::grpc::Status::OK);
    {
      MutexLock lock(mu_);
      ++hops_;
    }
    loop_.Post([hop = Hop(self_), message = std::move(incoming_)]() mutable {
      SessionStream& s = *hop.stream;
      s.dispatcher_.OnMessage(s.session_, std::move(message));
    });
  }

  void OnWriteDone(bool ok) override {
    bool drained = false;
    bool contents = false;
    const v1::ManagerMessage* next = nullptr;
    {
      MutexLock lock(mu_);
      queued_bytes_ -= queue_.front().ByteSizeLong();
      contents = HasContents(queue_.front().assignment());
      PopFront();
      if (!ok) {
        while (!queue_.empty()) PopFront();
        queued_bytes_ = 0;
        if (!end_.has_value()) end_ = ::grpc::Status::CANCELLED;
      }
      writing_ = !queue_.empty();
      if (writing_) next = &queue_.front();
      drained = overflowed_ && queue_.size() <= kMaxQueuedMessages / 2 &&
                queued_bytes_ <= kMaxQueuedBytes / 2;
      if (drained) overflowed_ = false;
    }
    if (contents) {
      loop_.Post([stream = self_] { stream->dispatcher_.OnContentsWritten(stream->session_); });
    }
    if (drained) {
      loop_.Post([stream = self_] { stream->dispatcher_.OnDrained(stream->session_); });
    }
    if (next != nullptr) {
      StartWrite(next);
    } else {
      FinishIfReady();
    }
  }

  void OnCancel() override { End(::grpc::Status::CANCELLED); }

  void OnDone() override {
    loop_.Post([stream = std::move(self_)] { stream->dispatcher_.OnClosed(stream->session_); });
  }

 private:
  // A visit to the loop. Its end, or its loss when the loop has stopped, lets the stream go on.
  struct Hop {
    explicit Hop(std::shared_ptr<SessionStream> s) : stream(std::move(s)) {}
    Hop(Hop&&) = default;
    ~Hop() {
      if (stream != nullptr) stream->EndHop();
    }
    std::shared_ptr<SessionStream> stream;
  };

  bool TryRoom(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (queue_.empty() ||
        (queue_.size() < kMaxQueuedMessages && queued_bytes_ + bytes <= kMaxQueuedBytes)) {
      return true;
    }
    overflowed_ = true;
    return false;
  }
  void PopFront() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Wipe(queue_.front());
    queue_.pop_front();
  }

  void EndHop() {
    bool read = false;
    {
      MutexLock lock(mu_);
      read = !end_.has_value();
    }
    // The hop is not over while this starts, so that Finish cannot overtake it.
    if (read) StartRead(&incoming_);
    {
      MutexLock lock(mu_);
      --hops_;
    }
    FinishIfReady();
  }

  void End(::grpc::Status status) {
    {
      MutexLock lock(mu_);
      if (!end_.has_value()) end_ = std::move(status);
    }
    FinishIfReady();
  }

  void FinishIfReady() {
    {
      MutexLock lock(mu_);
      if (!end_.has_value() || writing_ || hops_ > 0 || cancelling_ || finished_) return;
      finished_ = true;
    }
    Finish(*end_);
  }

  void Cancel() {
    {
      MutexLock lock(mu_);
      if (finished_) return;
      cancelling_ = true;
    }
    context_.TryCancel();
    {
      MutexLock lock(mu_);
      cancelling_ = false;
    }
    FinishIfReady();
  }

  EventLoop& loop_;
  Dispatcher& dispatcher_;
  ::grpc::CallbackServerContext& context_;
  std::shared_ptr<SessionStream> self_;  // until OnDone
  Dispatcher::SessionId session_ = 0;    // loop
  v1::AgentMessage incoming_;            // gRPC's while a read is out

  Mutex mu_;
  std::deque<v1::ManagerMessage> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool overflowed_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  int hops_ ABSL_GUARDED_BY(mu_) = 1;  // OnOpened
  bool cancelling_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<::grpc::Status> end_ ABSL_GUARDED_BY(mu_);  // set once, then constant
};

class RefusedStream : public Reactor {
 public:
  explicit RefusedStream(const absl::Status& status) { Finish(edge::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

class DispatcherService : public v1::Dispatcher::CallbackService {
 public:
  DispatcherService(EventLoop& loop, manager::Dispatcher& dispatcher, edge::Authorizer authorizer)
      : loop_(loop), dispatcher_(dispatcher), authorizer_(std::move(authorizer)) {}

  Reactor* Session(::grpc::CallbackServerContext* context) override {
    const edge::PeerIdentity peer = edge::PeerOf(*context);
    absl::Status allowed = authorizer_("/swarm.v1.Dispatcher/Session", peer);
    const Id node = Id::ParseOrZero(peer.certificate.name);
    if (allowed.ok() && (!peer.IsNode() || node.IsZero())) {
      allowed = absl::PermissionDeniedError("only a node's own certificate opens a session");
    }
    if (!allowed.ok()) return new RefusedStream(allowed);
    auto stream = std::make_shared<SessionStream>(loop_, dispatcher_, *context);
    stream->Begin(node, peer.address);
    return stream.get();
  }

 private:
  EventLoop& loop_;
  manager::Dispatcher& dispatcher_;
  const edge::Authorizer authorizer_;
};

}  // namespace

std::unique_ptr<::grpc::Service> MakeDispatcherService(EventLoop& loop, Dispatcher& dispatcher,
                                                       edge::Authorizer authorizer) {
  return std::make_unique<DispatcherService>(loop, dispatcher, std::move(authorizer));
}

}  // namespace swarm::manager
