#include "agent/dns/upstream.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/dns/message.h"
#include "agent/dns/sockets.h"
#include "common/socket_address.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

// One wake reads so many datagrams at most: whoever floods us waits for the next.
constexpr int kBatch = 8;

bool IsPassing(int error) { return error == EAGAIN || error == EINTR || error == EINPROGRESS; }

}  // namespace

SocketTransport::~SocketTransport() {
  for (auto& [id, exchange] : exchanges_) loop_.Unwatch(exchange->watch);
}

UpstreamTransport::ExchangeId SocketTransport::Begin(const Upstream& server, int netns, bool tcp,
                                                     std::string query, OnReply on_reply) {
  const ExchangeId id = ++last_;
  auto owned = std::make_unique<Exchange>();
  Exchange& exchange = *owned;
  exchange.tcp = tcp;
  exchange.on_reply = std::move(on_reply);
  exchange.out = tcp ? WithLength(query) : std::move(query);
  absl::Status status = Open(server, netns, exchange);
  exchanges_.emplace(id, std::move(owned));
  if (status.ok()) status = Send(exchange);
  if (status.ok()) {
    Watch(id);
  } else {
    loop_.Post([this, id, status, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) Fail(id, status);
    });
  }
  return id;
}

void SocketTransport::End(ExchangeId id) {
  const auto node = exchanges_.extract(id);
  if (!node.empty()) loop_.Unwatch(node.mapped()->watch);
}

absl::Status SocketTransport::Open(const Upstream& server, int netns, Exchange& exchange) {
  ASSIGN_OR_RETURN(exchange.socket, OpenSocket(netns, server.address.is_v4() ? AF_INET : AF_INET6,
                                               exchange.tcp ? SOCK_STREAM : SOCK_DGRAM));
  // Connected, so that the kernel drops what others send, and tells of a closed port.
  const SocketAddress to = ToSocketAddress(server.address, server.port);
  if (connect(exchange.socket.get(), to.get(), to.size) != 0 && errno != EINPROGRESS) {
    return ErrnoStatus(errno, "connect");
  }
  return absl::OkStatus();
}

absl::Status SocketTransport::Send(Exchange& exchange) {
  while (!exchange.out.empty()) {
    const ssize_t sent =
        send(exchange.socket.get(), exchange.out.data(), exchange.out.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (!IsPassing(errno)) return ErrnoStatus(errno, "send");
      ASSIGN_OR_RETURN(exchange.writable, WatchableWhenWritable(exchange.socket.get()));
      return absl::OkStatus();
    }
    exchange.out.erase(0, static_cast<size_t>(sent));
  }
  exchange.writable.Reset();
  return absl::OkStatus();
}

void SocketTransport::Watch(ExchangeId id) {
  Exchange& exchange = *exchanges_.at(id);
  const int fd = exchange.writable.valid() ? exchange.writable.get() : exchange.socket.get();
  exchange.watch = loop_.WatchReadable(fd, [this, id] { OnReady(id); });
}

void SocketTransport::OnReady(ExchangeId id) {
  Exchange& exchange = *exchanges_.at(id);
  exchange.watch = 0;
  if (exchange.writable.valid()) {
    const absl::Status status = Send(exchange);
    return status.ok() ? Watch(id) : Fail(id, status);
  }
  for (int i = 0; i < kBatch; ++i) {
    const auto found = exchanges_.find(id);
    if (found == exchanges_.end()) return;  // ended by its own reply
    absl::StatusOr<std::string> message = Receive(*found->second);
    if (!message.ok()) return Fail(id, message.status());
    if (message->empty()) break;
    OnReply on_reply = std::move(found->second->on_reply);
    const bool done = on_reply(std::move(message));
    const auto still = exchanges_.find(id);
    if (still == exchanges_.end()) return;
    if (done) return End(id);
    still->second->on_reply = std::move(on_reply);
  }
  Watch(id);
}

absl::StatusOr<std::string> SocketTransport::Receive(Exchange& exchange) {
  std::array<char, kMaxTcpMessage + 2> buffer;
  const ssize_t got = recv(exchange.socket.get(), buffer.data(), buffer.size(), 0);
  if (got < 0) {
    if (IsPassing(errno)) return std::string();
    return ErrnoStatus(errno, "receive");
  }
  const absl::string_view bytes(buffer.data(), static_cast<size_t>(got));
  if (!exchange.tcp) return std::string(bytes.empty() ? absl::string_view("\0", 1) : bytes);
  if (got == 0) return absl::UnavailableError("the server ended the connection");
  exchange.in.append(bytes.data(), bytes.size());
  return TakeMessage(exchange.in).value_or("");
}

void SocketTransport::Fail(ExchangeId id, const absl::Status& why) {
  auto node = exchanges_.extract(id);
  if (node.empty()) return;
  loop_.Unwatch(node.mapped()->watch);
  node.mapped()->on_reply(why);
}

}  // namespace swarm::agent
