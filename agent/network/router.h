// Router: the network namespace through which all traffic of a node's containers goes, and the few
// things in the host that lead to it.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<Router> router, Router::Open(options));
//   RETURN_IF_ERROR(router->Apply(state));     // all that the manager said
//   RETURN_IF_ERROR(router->Apply(update));    // then what changes
//   router->Resync();                          // every few seconds
//
// It outlives the process: connections go on while no agent runs, and the next Open takes the
// namespace over as it is, with the containers that are attached to it. Until the first
// Apply(NetworkState) after Open nothing in it is taken away.
//
// All kernel state is worked out from the NetworkState and the attached containers (router_plan.h).
// A call that fails has done what it could; the next Apply or Resync compares with what is really
// there and does the rest. Everything may be done twice.
//
// Encrypted networks go between nodes by WireGuard alone, by way of a namespace of its own beside
// the router's (tunnel.h), which is there once a network asked for it. Without a key they are not
// carried at all. What is wrong with the tunnel alone fails no call: Obstacles says it, and Resync
// tries again.
//
// In the host's namespace ours are: WireGuard's UDP port while there is an encrypted network, the
// link `host_link` with its addresses and routes, the table `inet swarm`, and ip_forward (with
// IPv6: all.forwarding, and accept_ra 2 for links that had 1, so that they keep their routes),
// which stay on after Remove because others may count on them by then. Where another program's
// forward chain drops what it does not know (Docker, ufw, firewalld), ours are also two rules in
// it, for `host_link` alone (host_firewall.h).
//
// Blocking: for a worker thread. Apply of one service's change with 1,000 services takes some 5 ms,
// of everything then 0.3 s, Resync without anything to repair a few ms per 1,000 routes. Any
// thread, also at the same time: one lock lets one call in.
#ifndef SWARM_AGENT_NETWORK_ROUTER_H_
#define SWARM_AGENT_NETWORK_ROUTER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/conntrack.h"
#include "agent/network/host_firewall.h"
#include "agent/network/kernel_namespace.h"
#include "agent/network/network_namespace.h"
#include "agent/network/nft_context.h"
#include "agent/network/router_plan.h"
#include "agent/network/tunnel.h"
#include "common/mutex.h"

namespace swarm::agent {

struct RouterOptions {
  std::string node_id;
  IpAddress underlay;  // an address of the host that other nodes reach; empty: no overlay networks
  int underlay_mtu = 0;  // 0: that of the link that has `underlay`, else 1500
  uint16_t vxlan_port = 4789;
  // Of this node, 32 bytes, not known to anybody else; empty: no encrypted networks.
  std::string wireguard_private_key;
  uint16_t wireguard_port = 51871;             // of every node
  std::string netns_dir = "/run/swarm/netns";  // ours alone; "router" and "tunnel" are files in it
  std::string host_namespace;                  // path; empty: that of the thread that calls Open
  // The pair between host and router. 169.254.83.0/31 and fd53:7761:726d::/126 by default.
  std::string host_link = "swarm0";
  IpAddress host4, router4, host6, router6;
};

// The kernel beside what it should hold.
struct RouterComparison {
  NamespaceDifference router;  // from what is there to what is wanted
  NamespaceDifference host;
  // Links of ours that are missing or down, by name: in the host, and in the router.
  std::vector<std::string> bad_host_links;
  std::vector<std::string> bad_router_links;
  // Of the tunnel of encrypted networks: this node's link, and other nodes on it by their inner
  // addresses; missing or not as wanted, or there and not wanted. Keys are not said.
  bool bad_tunnel_link = false;
  bool extra_tunnel_link = false;
  std::vector<IpAddress> bad_tunnel_peers;
  std::vector<IpAddress> extra_tunnel_peers;
  // Somebody else changed our table since we did.
  bool router_table_changed = false;
  bool host_table_changed = false;
  // The host does not forward though it must.
  bool forward4_off = false;
  bool forward6_off = false;
};

class Router {
 public:
  // Makes the namespace or takes over the one that is there; InvalidArgument, FailedPrecondition.
  static absl::StatusOr<std::unique_ptr<Router>> Open(RouterOptions options);

  // Everything; `state.node_id` must be ours.
  absl::Status Apply(const NetworkState& state) ABSL_LOCKS_EXCLUDED(mu_);
  // What changed since. FailedPrecondition before the first Apply(NetworkState).
  absl::Status Apply(const NetworkUpdate& update) ABSL_LOCKS_EXCLUDED(mu_);
  // Networks that a container is about to be attached to, when the update that brings them may
  // still be on its way; those that are known stay as they are.
  absl::Status Expect(const std::map<std::string, Network>& networks) ABSL_LOCKS_EXCLUDED(mu_);
  // Compares with the kernel, in the router and in the host, and repairs.
  absl::Status Resync() ABSL_LOCKS_EXCLUDED(mu_);
  // Compares as Resync does, and changes nothing. FailedPrecondition before the first
  // Apply(NetworkState).
  absl::StatusOr<RouterComparison> Compare() ABSL_LOCKS_EXCLUDED(mu_);
  // Leaves nothing of ours in the host, nor the router, nor any namespace in `netns_dir`. The
  // object is of no use afterwards.
  absl::Status Remove() ABSL_LOCKS_EXCLUDED(mu_);

  // What in the host drops packets of containers and is not ours to change, and what is wrong with
  // the tunnel; sentences for people.
  std::vector<std::string> Obstacles() const ABSL_LOCKS_EXCLUDED(mu_);

  const NetworkNamespace& router_namespace() const { return router_namespace_; }
  const std::string& netns_dir() const { return options_.netns_dir; }

  // For Attachments (attachment.h). The container's link is there already, or is taken away next.
  absl::Status AddContainer(const Attachment& attachment) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status RemoveContainer(const std::string& task_id) ABSL_LOCKS_EXCLUDED(mu_);
  // A link on a link of the host, into the namespace of a container: down, and named kNewMacvlan. A
  // parent "eth0.50" that is not there is made on eth0, and stays until Remove. FailedPrecondition
  // names the links that there are when the parent is not.
  static constexpr char kNewMacvlan[] = "swarm-new";
  absl::Status MakeMacvlan(const MacvlanLink& link, const NetworkNamespace& container)
      ABSL_LOCKS_EXCLUDED(mu_);
  // It is there, or can be made.
  bool HasParent(const std::string& parent) ABSL_LOCKS_EXCLUDED(mu_);
  // Of a link, with or without IPv6, whose packets may be carried to other nodes, and of one that
  // only leads to the host.
  int overlay_mtu(bool has_v6) const ABSL_LOCKS_EXCLUDED(mu_);
  int encrypted_mtu(bool has_v6) const ABSL_LOCKS_EXCLUDED(mu_);
  int plain_mtu() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // One nftables table of ours, and how we know that nobody else touched it.
  struct Table {
    std::string base;
    // Of the namespace after our last change; none: the table is not known to be right.
    std::optional<uint32_t> generation;
    // Others have tables in the namespace too, so that the generation says little: `listing` is how
    // the kernel showed the table after our last change.
    bool shared = false;
    std::string listing;
  };

  // What talks to the kernel.
  struct Handles {
    KernelNamespace host, router;
    NftContext host_nft, router_nft;
    Conntrack conntrack;
  };

  Router(RouterOptions options, NetworkNamespace host, NetworkNamespace router, Handles handles,
         RouterFacts facts);

  absl::Status Prepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status PrepareRouter() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status PrepareUplink() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status PrepareHost() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string TunnelPath() const;
  KernelNamespace* tunnel_kernel() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return tunnel_ == nullptr ? nullptr : tunnel_->kernel();
  }
  void NoteTunnel(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status OpenTunnel() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes the tunnel when there is something to put into it.
  absl::Status PutTunnel(const TunnelState& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status RemoveTunnel(const TunnelState& unwanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ResyncTunnel(const TunnelState& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Adopt() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ApplyUpdate(const NetworkUpdate& update) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ApplyChange(const RouterPlanner::Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ResyncLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ResyncTables(const RouterState& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ChangeTable(const std::string& commands, NftContext* nft, Table* table)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Remember(NftContext* nft, Table* table) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<bool> IsChanged(const Table& table, NftContext* nft)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool ForwardIsOff(const char* key, bool wanted) const;
  absl::Status ResyncTable(const NftTable& wanted, NftContext* nft, Table* table)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Forward(bool v4, bool v6) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Forward6() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status FindParent(const std::string& parent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status RemoveVlans() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status KeepRouterAdvertisements() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RouterOptions options_;
  const NetworkNamespace host_namespace_;
  const NetworkNamespace router_namespace_;
  mutable Mutex mu_;
  KernelNamespace host_kernel_ ABSL_GUARDED_BY(mu_);
  KernelNamespace router_kernel_ ABSL_GUARDED_BY(mu_);
  NftContext host_nft_ ABSL_GUARDED_BY(mu_);
  NftContext router_nft_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Tunnel> tunnel_ ABSL_GUARDED_BY(mu_);  // null: none was needed yet
  std::string tunnel_trouble_ ABSL_GUARDED_BY(mu_);      // empty: none
  Conntrack conntrack_ ABSL_GUARDED_BY(mu_);
  HostFirewall firewall_ ABSL_GUARDED_BY(mu_);
  RouterPlanner planner_ ABSL_GUARDED_BY(mu_);
  Table host_table_ ABSL_GUARDED_BY(mu_);
  Table router_table_ ABSL_GUARDED_BY(mu_);
  bool told_ ABSL_GUARDED_BY(mu_) = false;   // a whole NetworkState since Open
  bool clean_ ABSL_GUARDED_BY(mu_) = false;  // no call has failed half-way since the last Resync
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_ROUTER_H_
