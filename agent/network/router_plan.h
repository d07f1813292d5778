// What the kernel should hold for the networks that this node takes part in, worked out from what
// the manager said (NetworkState) and from the containers that are attached. Pure.
//
//   RouterPlanner planner(facts);
//   RouterPlanner::Change change = planner.Update(update);
//   Difference(change.before.router, change.after.router)        → netlink
//   NftDifference(change.before.router_table, …after…)           → one transaction of nft
//   planner.Wanted()                                             → all, to compare with the kernel
//
// Each record (a network, a peer, a task, …) has a part of the whole that is worked out from it and
// from the few records that it points at; keys of two parts are never the same, but for peers of a
// plain network that say one underlay, whose parts say the same of it. An update works out
// only the parts of the records that it touches, before and after: its cost follows the change, not
// the number of services. What points at something that is not there has an empty part until it is.
#ifndef SWARM_AGENT_NETWORK_ROUTER_PLAN_H_
#define SWARM_AGENT_NETWORK_ROUTER_PLAN_H_

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "agent/network/container_plan.h"
#include "agent/network/namespace_state.h"
#include "agent/network/network_update.h"
#include "agent/network/nft_table.h"
#include "agent/network/router_rules.h"
#include "agent/network/tunnel_state.h"

namespace swarm::agent {

struct RouterState {
  NamespaceState router;
  TunnelState tunnel;
  NftTable router_table;
  NftTable host_table;
  // The host has to forward packets of the family. Never taken back: others may rely on it too.
  bool forward4 = false;
  bool forward6 = false;

  void Add(const RouterState& other);
  friend bool operator==(const RouterState&, const RouterState&) = default;
};

class RouterPlanner {
 public:
  // The parts of the whole that may differ.
  struct Change {
    RouterState before, after;
  };

  explicit RouterPlanner(RouterFacts facts) : facts_(std::move(facts)) {}

  Change Update(const NetworkUpdate& update);
  // The router's end of a container; replaces what the task had.
  Change Attach(const Attachment& attachment);
  Change Detach(const std::string& task_id);

  RouterState Wanted() const;
  const RouterFacts& facts() const { return facts_; }
  const NetworkState& state() const { return state_; }
  const std::map<std::string, Attachment>& attachments() const { return attachments_; }

 private:
  using PortKey = std::tuple<PortProtocol, uint16_t>;
  enum class Kind { kNetwork, kPeer, kTask, kService, kPort, kAttachment, kTunnel, kTunnelNode };
  // Kind, and the key of the record. The tunnel is one for all encrypted networks, and a node is in
  // it once.
  struct Part {
    Kind kind;
    std::string first, second;
    PortKey port = {};
    friend auto operator<=>(const Part&, const Part&) = default;
  };
  static Part OfPortKey(const PortKey& key) { return {Kind::kPort, "", "", key}; }

  template <typename Alter>
  Change Around(std::set<Part> touched, Alter alter);
  RouterState WorkOut(const Part& part) const;
  RouterState OfNetwork(const Network& network) const;
  RouterState OfPeer(const NetworkPeer& peer) const;
  RouterState OfTask(const NetworkTask& task) const;
  RouterState OfService(const NetworkService& service) const;
  RouterState OfPort(const PortKey& key) const;
  RouterState OfAttachment(const Attachment& attachment) const;
  RouterState OfTunnel() const;
  RouterState OfTunnelNode(const std::string& node_id) const;

  // The parts that depend on the records which `update` names, as the books stand now.
  std::set<Part> Touched(const NetworkUpdate& update) const;
  void TouchNetwork(const std::string& id, std::set<Part>* touched) const;
  void TouchPeer(const NetworkPeer& peer, std::set<Part>* touched) const;
  void TouchTask(const NetworkTask& task, std::set<Part>* touched) const;
  // Alters the records, and the books with them.
  void Enter(const NetworkUpdate& update);
  void Index(const NetworkPeer& peer, bool add);
  void Index(const NetworkTask& task, bool add);
  void Index(const IngressPort& port, bool add);
  void Index(const HostPort& port, bool add);

  const Network* FindNetwork(const std::string& id) const;  // null: none that may be carried
  // Null as well for a peer that packets of the network cannot, or must not, be sent to.
  const NetworkPeer* FindPeer(const std::string& network_id, const std::string& node_id) const;
  // Addresses of a family of a service's serving tasks in a network, in one lasting order.
  std::vector<const NetworkTask*> Serving(const std::string& network_id,
                                          const std::string& service_id) const;
  std::vector<IpAddress> IngressBackends(const IngressPort& port, IpAddress::Family family) const;
  IpAddress HostPortBackend(const HostPort& port, IpAddress::Family family) const;

  RouterFacts facts_;
  NetworkState state_;
  std::map<std::string, Attachment> attachments_;
  std::map<Part, RouterState> parts_;  // none is empty

  // Where to look, by what points here.
  using InNetwork = std::tuple<std::string, std::string>;  // network, and an id in it
  std::map<InNetwork, std::set<std::string>> tasks_of_service_;
  std::map<InNetwork, std::set<std::string>> tasks_on_node_;
  std::map<std::string, std::set<std::string>> networks_of_task_;
  std::map<std::string, std::set<PortKey>> ports_of_service_;
  std::map<std::string, std::set<PortKey>> ports_of_task_;
  std::map<std::string, std::set<std::string>> networks_of_node_;                 // by its peers
  std::map<std::tuple<std::string, IpAddress>, std::set<std::string>> nodes_at_;  // by underlay
  std::set<std::string> ingress_networks_;
  std::set<std::string> encrypted_networks_;
};

// The mark of connections that came by `peer` of an ingress network, and of the routing table that
// leads back to it. The same before and after a restart: connections keep theirs.
uint32_t EntranceMark(const NetworkPeer& peer);

// Of a record's rule: every packet of a new connection to the next of `backends`, in turn. `nat`
// is "dnat ip to" or "dnat ip6 to", `port` 0 or the port to go to.
std::string BalanceRule(std::string_view nat, const std::vector<IpAddress>& backends,
                        uint16_t port);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_ROUTER_PLAN_H_
