// DnsForwarder: asks other servers what the cluster's names do not answer, and remembers.
//
//   forwarder.Ask(query, group, limit, [](std::string answer) { … });
//
// Servers are asked in their order, the next one when one says nothing for a second or says that it
// cannot; who said nothing comes last for 10 s. After 4.5 s in all (glibc and musl give up at 5 s)
// the best that was heard is handed on, SERVFAIL when nothing was. Every try has an id and a port
// of its own, both random. What a server had to cut is asked again by TCP. Questions that are the
// same are asked once at a time.
//
// Loop thread only.
#ifndef SWARM_AGENT_DNS_FORWARDER_H_
#define SWARM_AGENT_DNS_FORWARDER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "agent/dns/cache.h"
#include "agent/dns/message.h"
#include "agent/dns/upstream.h"
#include "common/event_loop.h"
#include "common/random.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// Servers that are asked for some containers, shared by these and by questions under way.
struct UpstreamGroup {
  // Answers are shared by groups of the same scope: it says where the servers are asked from, and
  // which they are.
  std::string scope;
  std::vector<Upstream> servers;
  UniqueFd netns;  // the network namespace to ask from; none: this process's own
  // The forwarder's: until when a server comes last, as many as servers or none.
  std::vector<absl::Duration> silent_until;
};

class DnsForwarder {
 public:
  static constexpr absl::Duration kTryTimeout = absl::Seconds(1);
  static constexpr absl::Duration kTimeout = absl::Milliseconds(4500);
  static constexpr absl::Duration kSilentLast = absl::Seconds(10);
  static constexpr size_t kCacheBytes = 16 << 20;
  // Each under way has a socket. More at the same time get SERVFAIL.
  static constexpr size_t kMaxUnderWay = 1000;

  // Borrowed, and outlive it.
  DnsForwarder(EventLoop& loop, Random& random, UpstreamTransport& transport)
      : loop_(loop), random_(random), transport_(transport), cache_(kCacheBytes) {}
  // No call back after this.
  ~DnsForwarder();

  using Done = absl::AnyInvocable<void(std::string)>;
  // `done` comes once, perhaps inside, with an answer of at most `limit` bytes.
  void Ask(const DnsQuery& query, std::shared_ptr<UpstreamGroup> group, size_t limit, Done done);

 private:
  struct Waiter {
    DnsQuery query;
    size_t limit = 0;
    Done done;
  };
  struct Flight {
    DnsQuery query;
    std::shared_ptr<UpstreamGroup> group;
    std::vector<size_t> order;  // of its servers
    size_t tries = 0;
    bool tcp = false;
    uint16_t id = 0;
    absl::Duration deadline;
    UpstreamTransport::ExchangeId exchange = 0;
    TimerId timer = 0;
    std::shared_ptr<const DnsResponse> best;  // when nobody says anything better
    std::vector<Waiter> waiters;
  };
  void Try(const std::string& key);
  void TryNext(const std::string& key);
  // Whether the exchange has ended.
  bool OnReply(const std::string& key, absl::StatusOr<std::string> reply);
  void OnSilence(const std::string& key);
  void Finish(const std::string& key);
  std::vector<size_t> Order(const UpstreamGroup& group) const;

  EventLoop& loop_;
  Random& random_;
  UpstreamTransport& transport_;
  DnsCache cache_;
  absl::flat_hash_map<std::string, std::unique_ptr<Flight>> flights_;  // by the cache's key
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_FORWARDER_H_
