// Resolver: the DNS of a node's containers on a thread of its own, so that 20,000 questions a
// second do not keep the agent's loop from deciding.
//
//   ASSIGN_OR_RETURN(auto resolver, Resolver::Start(random));
//   resolver->SetHostServers({{address}, …});
//   resolver->Add({.task_id = id, .networks = {…}, .udp = …, .tcp = …});
//   resolver->Replace(state);                       // from here on questions are answered
//   resolver->Apply(update);
//   resolver->Remove(id);
//
// Every call may come from any thread, does not block and takes effect in the order of the calls:
// what is asked after a call returned may still be answered from before, for some microseconds.
// Until the first Replace nothing is answered; questions wait in their sockets, as they do while an
// agent restarts. The destructor ends the thread; sockets that somebody else (a shim) has open,
// too, go on collecting questions.
#ifndef SWARM_AGENT_DNS_RESOLVER_H_
#define SWARM_AGENT_DNS_RESOLVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/dns/dns_server.h"
#include "agent/dns/names.h"
#include "agent/network/network_update.h"
#include "common/event_loop.h"
#include "common/random.h"
#include "common/worker_pool.h"

namespace swarm::agent {

class Resolver {
 public:
  // `random` is the kernel's: it makes the ids of questions to other servers. Borrowed.
  static absl::StatusOr<std::unique_ptr<Resolver>> Start(Random& random);
  ~Resolver();

  // See NameIndex. `state` is copied before the call returns.
  void Replace(NetworkState state);
  void Apply(NetworkUpdate update);

  // See DnsServer.
  void Add(DnsTask task);
  void Remove(std::string task_id);
  void SetHostServers(std::vector<Upstream> servers);

 private:
  explicit Resolver(Random& random);

  const std::unique_ptr<RunnableLoop> loop_;
  // On the loop's thread while it runs.
  const std::unique_ptr<Random> shuffle_;
  NameIndex names_;
  SocketTransport transport_;
  DnsForwarder forwarder_;
  DnsServer server_;
  std::unique_ptr<WorkerPool> thread_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_RESOLVER_H_
