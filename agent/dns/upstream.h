// UpstreamTransport: one question to one server and what comes back, by UDP or TCP. Makes no
// decisions: who is asked, how long and how often is the forwarder's (forwarder.h).
#ifndef SWARM_AGENT_DNS_UPSTREAM_H_
#define SWARM_AGENT_DNS_UPSTREAM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/event_loop.h"
#include "common/ip_address.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct Upstream {
  IpAddress address;
  uint16_t port = 53;
  friend bool operator==(const Upstream&, const Upstream&) = default;
};

class UpstreamTransport {
 public:
  using ExchangeId = uint64_t;  // 0 is none
  // A message, without TCP's length, or why there will be none. True ends the exchange, and so does
  // an error; false waits for another message.
  using OnReply = absl::AnyInvocable<bool(absl::StatusOr<std::string>)>;

  virtual ~UpstreamTransport() = default;
  // Never calls back inside. `netns` (borrowed during the call) is the network namespace to ask
  // from, -1 this process's own. Each exchange has a socket and so a random port of its own.
  virtual ExchangeId Begin(const Upstream& server, int netns, bool tcp, std::string query,
                           OnReply on_reply) = 0;
  // No call back after this. What has ended already is fine.
  virtual void End(ExchangeId exchange) = 0;
};

// Real sockets. Loop thread only; `loop` outlives it.
class SocketTransport : public UpstreamTransport {
 public:
  explicit SocketTransport(EventLoop& loop) : loop_(loop) {}
  ~SocketTransport() override;

  ExchangeId Begin(const Upstream& server, int netns, bool tcp, std::string query,
                   OnReply on_reply) override;
  void End(ExchangeId exchange) override;

 private:
  struct Exchange {
    bool tcp = false;
    UniqueFd socket;
    UniqueFd writable;  // readable when `socket` is writable; while something is left to send
    WatchId watch = 0;
    std::string out;
    std::string in;
    OnReply on_reply;
  };
  absl::Status Open(const Upstream& server, int netns, Exchange& exchange);
  absl::Status Send(Exchange& exchange);
  void Watch(ExchangeId id);
  void OnReady(ExchangeId id);
  // A whole message, "" while there is none.
  absl::StatusOr<std::string> Receive(Exchange& exchange);
  void Fail(ExchangeId id, const absl::Status& why);

  EventLoop& loop_;
  ExchangeId last_ = 0;
  absl::flat_hash_map<ExchangeId, std::unique_ptr<Exchange>> exchanges_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_UPSTREAM_H_
