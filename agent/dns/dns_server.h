// DnsServer: answers the questions of every container that has a resolver on this node.
//
//   DnsServer server(loop, names, forwarder);
//   server.Add({.task_id = id, .networks = {…}, .udp = …, .tcp = …});   // queries wait in the
//   sockets server.Start();                                                     // once `names` are
//   true server.Remove(id);
//
// A name of the container's networks is answered here and never asked elsewhere. The rest is handed
// on when one of its networks leads out of the cluster, else REFUSED: an internal network lets no
// question out either. (Its own servers are asked in any case when that happens from its own
// network namespace, where the questions get no further than the container.) Loop thread only.
#ifndef SWARM_AGENT_DNS_DNS_SERVER_H_
#define SWARM_AGENT_DNS_DNS_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "agent/dns/endpoints.h"
#include "agent/dns/forwarder.h"
#include "agent/dns/message.h"
#include "agent/dns/names.h"
#include "agent/dns/upstream.h"
#include "common/event_loop.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct DnsTask {
  std::string task_id;
  std::vector<std::string> networks;  // ids, the one that wins first
  UniqueFd udp;                       // bound; not blocking
  UniqueFd tcp;                       // listening; not blocking
  // Its own servers (--dns), asked from its own network namespace when `netns` is given, as some
  // may be reachable from there only. None: the host's, asked from this process's.
  std::vector<Upstream> servers;
  UniqueFd netns;
};

class DnsServer {
 public:
  // Questions of one container that other servers have not answered yet; more get SERVFAIL.
  static constexpr size_t kMaxForwarded = 256;

  // Borrowed, and outlive it.
  DnsServer(EventLoop& loop, NameIndex& names, DnsForwarder& forwarder)
      : loop_(loop), names_(names), forwarder_(forwarder) {}

  // Takes the place of what was added under the same id.
  void Add(DnsTask task);
  // Closes the sockets; who still waits for an answer gets none.
  void Remove(const std::string& task_id);
  // For containers without servers of their own. What is under way stays with the old ones.
  void SetHostServers(std::vector<Upstream> servers);
  // Begins to answer. Twice does nothing.
  void Start();

 private:
  struct Served {
    std::vector<std::string> networks;
    std::shared_ptr<UpstreamGroup> own_servers;  // null: the host's
    std::shared_ptr<size_t> forwarded = std::make_shared<size_t>(0);
    std::shared_ptr<UdpEndpoint> udp;
    std::shared_ptr<TcpEndpoint> tcp;
  };
  void Answer(Served& served, absl::string_view message, bool tcp, DnsReply reply);
  void Forward(Served& served, const DnsQuery& query, size_t limit, DnsReply reply);

  EventLoop& loop_;
  NameIndex& names_;
  DnsForwarder& forwarder_;
  bool started_ = false;
  std::shared_ptr<UpstreamGroup> host_servers_ = std::make_shared<UpstreamGroup>();
  absl::flat_hash_map<std::string, std::unique_ptr<Served>> tasks_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_DNS_SERVER_H_
