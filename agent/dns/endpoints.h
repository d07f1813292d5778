// The two doors of a container's resolver: a UDP socket and a TCP listener, which bytes of
// questions come in by and answers go out by. They know nothing of DNS but TCP's length in front of
// a message.
//
// Loop thread only. Shared pointers, so that an answer that comes later finds out by a weak one
// whether its door is still there. A handler may not destroy the endpoint that called it.
#ifndef SWARM_AGENT_DNS_ENDPOINTS_H_
#define SWARM_AGENT_DNS_ENDPOINTS_H_

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/dns/sockets.h"
#include "common/event_loop.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// Call it at most once, at once or later, with the answer; "" means that there is nothing to say.
using DnsReply = absl::AnyInvocable<void(std::string)>;
using DnsHandler = std::function<void(absl::string_view message, DnsReply reply)>;

class UdpEndpoint : public std::enable_shared_from_this<UdpEndpoint> {
 public:
  // Longer queries are none: the handler gets as much, and finds that it is broken.
  static constexpr size_t kMaxQuery = 4096;

  UdpEndpoint(EventLoop& loop, UniqueFd fd, DnsHandler handler)
      : loop_(loop), fd_(std::move(fd)), handler_(std::move(handler)) {}
  ~UdpEndpoint();
  // Begins to read. What came before waits in the socket until then.
  void Start();

 private:
  void Watch();
  void OnReadable();

  EventLoop& loop_;
  const UniqueFd fd_;
  DnsHandler handler_;
  WatchId watch_ = 0;
};

class TcpConnection;

class TcpEndpoint : public std::enable_shared_from_this<TcpEndpoint> {
 public:
  // At one more, the one that has said nothing for the longest is closed.
  static constexpr size_t kMaxConnections = 16;
  // Without a whole query, or without taking an answer, for so long: closed.
  static constexpr absl::Duration kIdle = absl::Seconds(10);
  // Queries of one connection that have no answer yet; more wait in its socket.
  static constexpr size_t kMaxPipelined = 64;
  // A longer query closes the connection.
  static constexpr size_t kMaxQuery = 4096;
  // Answers that the client does not take. More: its queries are not read.
  static constexpr size_t kMaxUnsent = 256 << 10;

  TcpEndpoint(EventLoop& loop, UniqueFd listener, DnsHandler handler)
      : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)) {}
  ~TcpEndpoint();
  void Start();
  size_t connections() const { return connections_.size(); }

 private:
  friend class TcpConnection;
  void Watch();
  void OnReadable();
  void CloseIdlest();
  void Forget(TcpConnection* connection);

  EventLoop& loop_;
  const UniqueFd listener_;
  DnsHandler handler_;
  WatchId watch_ = 0;
  TimerId retry_ = 0;
  std::list<std::shared_ptr<TcpConnection>> connections_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_ENDPOINTS_H_
