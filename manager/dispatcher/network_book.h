// NetworkBook: what of the cluster's networks each node must know, in keyed pieces, and who must
// hear of a change.
//
//   book.PutTask(task, mark);      // calls mark(node, key) for each node that must hear of it
//   …
//   book.Render(node, keys, out);  // what these pieces are by now, for that node
//
// A node listens to the networks that tasks on it have addresses in, and to the ingress network
// once it has an address there. Of a network it knows the other listeners (peers), all tasks in it
// (members), the services (endpoints) and, of the ingress network, the published ports. So a change
// costs its listeners, and nothing in a cluster without networks.
//
// Follows durable changes; putting what is known already marks nothing. Pure, one thread.
#ifndef SWARM_MANAGER_DISPATCHER_NETWORK_BOOK_H_
#define SWARM_MANAGER_DISPATCHER_NETWORK_BOOK_H_

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/function_ref.h"
#include "manager/network_rules.h"
#include "manager/store/store.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::manager {

struct NetworkPiece {
  enum class Kind : uint8_t {
    kWhole,     // of the network: all there is, for a node that begins to listen
    kNetwork,   // itself; gone, with all its pieces, for a node that does not listen any more
    kPeer,      // id: the node
    kMember,    // id: the task
    kEndpoint,  // id: the service
    kPort,      // id: protocol and number; no network
  };
  Kind kind = Kind::kNetwork;
  Id network;
  Id id;
  friend auto operator<=>(const NetworkPiece&, const NetworkPiece&) = default;
};
using NetworkPieces = absl::btree_set<NetworkPiece>;

// The service as others in the network find it.
v1::NetworkEndpoint EndpointIn(const Service& service, const Network& network);

class NetworkBook {
 public:
  using Mark = absl::FunctionRef<void(Id node, const NetworkPiece& piece)>;

  // Everything that `view` has; marks nothing.
  void Load(const View& view);

  void PutNetwork(const Ref<Network>& network, Mark mark);
  void RemoveNetwork(Id network, Mark mark);
  void PutNode(const Node& node, Mark mark);
  void RemoveNode(Id node, Mark mark);
  void PutService(const Ref<Service>& service, Mark mark);
  void RemoveService(Id service, Mark mark);
  // One that holds no addresses on a node is taken out.
  void PutTask(const Ref<Task>& task, Mark mark);
  void RemoveTask(Id task, Mark mark);

  // Adds to `out`.
  void Render(Id node, const NetworkPieces& pieces, v1::NetworkChanges& out) const;
  // All that the node must know, into an empty `out`.
  void RenderAll(Id node, v1::NetworkChanges& out) const;

  // Nodes that know of the task as a member of one of its networks, each once.
  std::vector<Id> WhoKnow(const Task& task) const;
  // In names and behind virtual addresses, as nodes were told.
  bool Serves(Id task) const;

 private:
  // What others know of a node.
  struct NodeFacts {
    IpAddress underlay;         // empty: not known
    IpAddress ingress;          // its address on the ingress network; empty: none
    std::string wireguard_key;  // told of in encrypted networks only
    bool down = false;
    NodeLabels labels;
    bool operator==(const NodeFacts& other) const;
  };
  struct NetworkEntry {
    Ref<Network> record;                // null: not made yet, or gone, and tasks are in it
    absl::btree_map<Id, size_t> nodes;  // with tasks in it, and how many
    absl::btree_map<Id, Ref<Task>> members;
    absl::btree_set<Id> endpoints;
  };
  struct PortEntry {
    uint32_t target = 0;
    Id service;
    friend bool operator==(const PortEntry&, const PortEntry&) = default;
  };
  struct ServiceEntry {
    Ref<Service> record;
    absl::btree_set<Id> networks;
    absl::btree_map<Port, PortEntry> ports;
  };
  using EachNode = absl::FunctionRef<void(Id node)>;

  const NetworkEntry* Find(Id network) const;  // null when its record is
  bool Listens(Id node, const NetworkEntry& entry) const;
  bool IsPeer(Id node, const NetworkEntry& entry) const;
  bool IsServed(const Task& task) const;
  void EachListener(const NetworkEntry& entry, EachNode each) const;
  // Those who know of a member that is on `node`.
  void EachWhoKnows(const NetworkEntry& entry, Id node, EachNode each) const;

  void MarkPeer(Id node, const NetworkEntry& entry, Mark mark) const;
  void MarkMember(const Task& task, const NetworkEntry& entry, Mark mark) const;
  void MarkEndpoint(Id service, const NetworkEntry& entry, Mark mark) const;
  void MarkPort(const Port& port, Mark mark) const;
  // After a change: `node` listened before or not.
  void MarkListening(Id node, Id network, bool listened, Mark mark) const;
  void SetFacts(Id node, const NodeFacts* facts, Mark mark);
  void Enter(const Ref<Task>& task, Id network, Mark mark);
  void Leave(const Task& task, Id network, Mark mark);
  void SetService(Id id, ServiceEntry entry, Mark mark);
  ServiceEntry EntryOf(const Ref<Service>& service) const;
  void ResolveServices(Mark mark);

  void RenderWhole(Id node, const NetworkEntry& entry, v1::NetworkChanges& out) const;
  void RenderNetwork(Id node, const NetworkEntry& entry, v1::NetworkChanges& out) const;
  void RenderPeer(Id node, const NetworkEntry& entry, v1::NetworkChanges& out) const;
  void RenderMember(Id node, const NetworkEntry& entry, const Task& task,
                    v1::NetworkChanges& out) const;
  void RenderPort(const Port& port, v1::NetworkChanges& out) const;
  void RenderPiece(Id node, const NetworkEntry& entry, const NetworkPiece& piece,
                   v1::NetworkChanges& out) const;

  absl::btree_map<Id, NetworkEntry> networks_;
  absl::btree_map<std::string, Id> networks_by_name_;
  absl::btree_map<Id, NodeFacts> nodes_;
  absl::btree_map<Id, ServiceEntry> services_;  // those with networks or ports
  absl::btree_map<Id, Ref<Task>> tasks_;        // those in networks
  absl::btree_map<Port, PortEntry> ports_;
  Id ingress_;  // zero: there is none
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_NETWORK_BOOK_H_
