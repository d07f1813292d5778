// HostLookup: the addresses of hosts that tasks name, such as a syslog daemon's.
//
// A resolver that does not answer holds a thread for half a minute. So names are looked up beside
// the pool that stops and removes containers, a few at a time; who asks for the same name shares
// one look-up, and its answer for a while.
//
// Loop thread only, but for the two functions.
#ifndef SWARM_AGENT_HOST_LOOKUP_H_
#define SWARM_AGENT_HOST_LOOKUP_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/verb_queue.h"
#include "common/event_loop.h"
#include "common/worker_pool.h"

namespace swarm::agent {

// The bytes of a sockaddr_in or sockaddr_in6 with port 0; empty when `host` is a name. Any thread,
// never blocks.
std::string NumericAddress(const std::string& host);
// Likewise, of a name too. Blocking. Unavailable: it has none now.
absl::StatusOr<std::string> LookUpHost(const std::string& host);

class HostLookup {
 public:
  static constexpr absl::Duration kKept = absl::Seconds(60);
  static constexpr absl::Duration kFailureKept = absl::Seconds(5);
  static constexpr size_t kParallel = 2;

  using Address = absl::StatusOr<std::string>;
  using LookUp = std::function<Address(const std::string& host)>;  // blocking
  using Done = absl::AnyInvocable<void(Address)>;

  // Borrowed.
  HostLookup(EventLoop& loop, WorkerPool& pool, LookUp look_up);
  ~HostLookup();

  // `done` is called within when the answer is known, else later, once. One at a time for a task.
  void Find(const std::string& host, const std::string& task_id, Done done);
  // Its `done` is called with Cancelled, later. False: it waits for nothing.
  bool Cancel(const std::string& task_id);

 private:
  struct Host {
    std::optional<Address> address;       // none while it is looked up
    absl::Duration until;                 // of the loop's time, then
    std::map<std::string, Done> waiting;  // by task
  };

  void Settle(const std::string& name, const Address& address);

  EventLoop& loop_;
  WorkerPool& pool_;
  const LookUp look_up_;
  std::map<std::string, Host> hosts_;
  VerbQueue lookups_{kParallel};
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HOST_LOOKUP_H_
