#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "agent/dns/endpoints.h"

namespace swarm::agent {
namespace {

constexpr int kAcceptsPerWake = 16;
// Out of descriptors: the listener stays readable, so look again later instead of at once.
constexpr absl::Duration kAcceptRetry = absl::Seconds(1);

}  // namespace

class TcpConnection : public std::enable_shared_from_this<TcpConnection> {
 public:
  TcpConnection(TcpEndpoint& endpoint, UniqueFd fd) : endpoint_(endpoint), fd_(std::move(fd)) {}
  ~TcpConnection() {
    endpoint_.loop_.Unwatch(read_watch_);
    endpoint_.loop_.Unwatch(write_watch_);
    endpoint_.loop_.Cancel(timer_);
  }

  void Start() {
    // Else an answer would wait for the acknowledgement of the one before it.
    constexpr int kOn = 1;
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
    Touch();
    WatchIn();
  }
  absl::Duration last_active() const { return last_active_; }

 private:
  EventLoop& loop() { return endpoint_.loop_; }

  void Touch() {
    last_active_ = loop().Now();
    loop().Cancel(timer_);
    timer_ = loop().RunAfter(TcpEndpoint::kIdle, [this] { Close(); });
  }

  // The last reference goes: nothing of this may be used behind it.
  void Close() { endpoint_.Forget(this); }

  // Whether another query may be read.
  bool MayRead() const {
    return pipelined_ < TcpEndpoint::kMaxPipelined && out_.size() < TcpEndpoint::kMaxUnsent;
  }

  void WatchIn() {
    if (read_watch_ != 0 || !MayRead()) return;
    read_watch_ = loop().WatchReadable(fd_.get(), [this] {
      const auto self = shared_from_this();
      read_watch_ = 0;
      OnReadable();
    });
  }

  void OnReadable() {
    std::array<char, 16384> buffer;
    const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return Close();
    if (got > 0) in_.append(buffer.data(), static_cast<size_t>(got));
    HandleQueries();
  }

  // Those that are whole, while there is room for their answers. An answer may come inside.
  void HandleQueries() {
    if (std::exchange(handling_, true)) return;
    while (!closed_ && MayRead()) {
      const std::optional<std::string> query = TakeMessage(in_);
      const size_t size = query ? query->size() : in_.size();
      if (size > TcpEndpoint::kMaxQuery + 2) return Close();
      if (!query) break;
      Touch();
      ++pipelined_;
      endpoint_.handler_(*query, [weak = weak_from_this()](std::string answer) {
        if (const auto self = weak.lock()) self->OnAnswer(std::move(answer));
      });
    }
    handling_ = false;
    if (!closed_) WatchIn();
  }

  void OnAnswer(std::string answer) {
    if (closed_) return;
    --pipelined_;
    if (answer.empty()) return Close();  // what it sends is no DNS
    out_.append(WithLength(answer));
    Flush();
    if (!closed_) HandleQueries();
  }

  void Flush() {
    while (!out_.empty() && write_watch_ == 0) {
      const ssize_t sent = send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno != EAGAIN) return Close();
      if (sent >= 0) {
        out_.erase(0, static_cast<size_t>(sent));
        if (out_.empty()) Touch();
        continue;
      }
      absl::StatusOr<UniqueFd> writable = WatchableWhenWritable(fd_.get());
      if (!writable.ok()) return Close();
      writable_ = *std::move(writable);
      write_watch_ = loop().WatchReadable(writable_.get(), [this] {
        const auto self = shared_from_this();
        write_watch_ = 0;
        writable_.Reset();
        Flush();
        if (!closed_) HandleQueries();
      });
    }
  }

  friend class TcpEndpoint;
  TcpEndpoint& endpoint_;
  const UniqueFd fd_;
  UniqueFd writable_;
  WatchId read_watch_ = 0;
  WatchId write_watch_ = 0;
  TimerId timer_ = 0;
  absl::Duration last_active_;
  std::string in_;
  std::string out_;
  size_t pipelined_ = 0;
  bool handling_ = false;
  bool closed_ = false;
};

TcpEndpoint::~TcpEndpoint() {
  loop_.Unwatch(watch_);
  loop_.Cancel(retry_);
  for (const auto& connection : connections_) connection->closed_ = true;
}

void TcpEndpoint::Start() {
  if (watch_ == 0 && retry_ == 0) Watch();
}

void TcpEndpoint::Watch() {
  watch_ = loop_.WatchReadable(listener_.get(), [this] { OnReadable(); });
}

void TcpEndpoint::OnReadable() {
  watch_ = 0;
  for (int i = 0; i < kAcceptsPerWake; ++i) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno == EAGAIN) break;
      retry_ = loop_.RunAfter(kAcceptRetry, [this] {
        retry_ = 0;
        Watch();
      });
      return;
    }
    if (connections_.size() >= kMaxConnections) CloseIdlest();
    connections_.push_back(std::make_shared<TcpConnection>(*this, std::move(fd)));
    connections_.back()->Start();
  }
  Watch();
}

void TcpEndpoint::CloseIdlest() {
  const auto idlest = std::min_element(
      connections_.begin(), connections_.end(),
      [](const auto& a, const auto& b) { return a->last_active() < b->last_active(); });
  Forget(idlest->get());
}

void TcpEndpoint::Forget(TcpConnection* connection) {
  if (std::exchange(connection->closed_, true)) return;
  connections_.remove_if([&](const auto& one) { return one.get() == connection; });
}

}  // namespace swarm::agent
