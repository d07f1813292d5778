// NodeNetworks: this node's part of the cluster's networks: keeps what the manager says, has the
// router and the resolver follow it, and joins containers to them.
//
//   NodeNetworks networks(env, runtime, options);
//   networks.Enter({.node_id = id, .underlay = address});     // a member from now on
//   networks.Apply(assignment.networks(), /*complete=*/true, [] { … it is in the kernel … });
//
// An agent that starts while no manager answers goes on with what an earlier one was told
// (network_records.h): names, virtual addresses and published ports are as they were then, without
// the node's own tasks that have ended. What happened on other nodes meanwhile is not known: a name
// may still lead to a task that is gone. The manager's first complete set replaces all of it, and
// until then nothing new joins a network.
//
// Loop thread. Router and resolver are made when the first container or the first network asks for
// them, or at once when an earlier agent left a router behind: a node without networks has neither.
#ifndef SWARM_AGENT_NODE_NETWORKS_H_
#define SWARM_AGENT_NODE_NETWORKS_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "agent/dns/resolver.h"
#include "agent/env.h"
#include "agent/network/network_update.h"
#include "agent/network_records.h"
#include "agent/router_handle.h"
#include "agent/task_networks.h"
#include "agent/wireguard_identity.h"
#include "common/worker_pool.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

struct NodeNetworksOptions {
  std::string netns_dir;  // "/run/swarm/netns"
  std::string host_resolv_conf = "/etc/resolv.conf";
  uint16_t vxlan_port = 4789;
  std::string records;  // file, "/var/lib/swarm/agent/networks.db"; empty: nothing is remembered
  std::string boot_id;  // what another boot remembered is not believed
  std::string wireguard_key;  // path of its file; empty: the kernel has no WireGuard
  uint16_t wireguard_port = 51871;
};

// How the node's networks are, for who looks at them from outside (network_doctor.h).
struct NetworksCondition {
  bool told = false;     // the manager said what networks there are
  uint64_t changes = 0;  // goes up with each change of state()
  absl::Status trouble;  // of the last time that the router followed; OK: it does
  std::string netns_dir;
  uint16_t vxlan_port = 0;
  bool has_wireguard = false;
  RouterNeeds needs;
  std::shared_ptr<RouterHandle> router;
};

class NodeNetworks : public TaskNetworks {
 public:
  NodeNetworks(const Env& env, NodeNetworksOptions options);
  // Containers keep their networks.
  ~NodeNetworks() override;

  struct Member {
    std::string node_id;
    // Says when it is asked for: which address of ours other nodes reach; empty: none is known.
    std::function<IpAddress()> underlay;
    // Likewise: the tasks here that have not ended.
    std::function<std::set<std::string>()> living;
  };
  void Enter(Member member);
  // Nothing of ours is left in the kernel or on disk when `done` comes.
  void Exit(absl::AnyInvocable<void()> done);

  // Of an assignment, in order. `done` when router and resolver follow it; an error is tried again
  // by itself, and only a later call says that it went well. What comes while the router is busy
  // gathers and is one change to it, so that it lags by one change at most, however many come.
  void Apply(const v1::NetworkChanges& changes, bool complete,
             absl::AnyInvocable<void(absl::Status)> done);

  // What this node can do for networks that not every node can.
  void Describe(v1::NodeDescription& description) const;
  bool is_in_any() const { return !state_.networks.empty(); }
  NetworksCondition Condition() const;
  const NetworkState& state() const { return state_; }
  // What an agent that died left half-made goes (F15): every namespace of a task that is none of
  // `known` and was not joined by this process.
  void Sweep(std::set<std::string> known);

  // TaskNetworks.
  absl::StatusOr<Join> PlanJoin(const TaskSpecOnNode& task) override;
  void Serve(const TaskSpecOnNode& task, ResolverSockets sockets) override;
  Resume PlanResume(const std::string& task_id) override;
  void StopServing(const std::string& task_id) override;
  Leave PlanLeave() override;

 private:
  static constexpr absl::Duration kResyncPeriod = absl::Seconds(10);
  static constexpr absl::Duration kRetryPause = absl::Seconds(1);

  void TakeKey();
  RouterNeeds Needs() const;
  absl::Status StartResolver();
  void FollowHostConf();
  // Of an earlier agent: read, and followed unless the manager has spoken by then.
  void Recall();
  void GoOnWith(const v1::NetworkChanges& recalled);
  void SaveSoon();
  void SaveNow();  // some milliseconds, at the end of an agent
  // Changes what is known and has router and resolver follow.
  void Follow(NetworkUpdate update, absl::AnyInvocable<void(absl::Status)> done);
  void FollowAll(absl::AnyInvocable<void(absl::Status)> done);
  void FollowGathered();
  void Followed(const absl::Status& status);
  void OnPoolThen(absl::AnyInvocable<absl::Status()> work,
                  absl::AnyInvocable<void(absl::Status)> done);
  void ResyncAfter(absl::Duration delay);
  std::string PathOf(const std::string& task_id) const;  // of its namespace
  // Of the containers that are served, as the state stands: what the router repairs.
  std::vector<Attachment> ServedAttachments() const;
  void AdoptInRouter(const std::string& task_id, const std::vector<std::string>& networks);
  // Its ports in host mode, while it is here.
  NetworkUpdate PortsOf(const TaskSpecOnNode& task) const;

  const Env env_;
  const NodeNetworksOptions options_;
  Member member_;
  WireguardIdentity wireguard_;  // of the member; none: no encrypted networks here
  NetworkState state_;
  uint64_t changes_ = 0;      // of state_
  absl::Status trouble_;      // of the last time that the router was told or compared
  bool told_ = false;         // a complete set since Enter
  bool known_ = false;        // that, or what was told to an earlier agent
  bool router_told_ = false;  // the router was given all of it: increments will do
  int following_ = 0;         // calls of the router that have not come back
  NetworkUpdate gathered_;    // meanwhile, and who waits for it
  std::vector<absl::AnyInvocable<void(absl::Status)>> gathered_done_;
  // Tasks that have ended here, and are members all the same: the manager does not know yet.
  std::set<std::string> ended_;
  std::set<std::string> joined_;                            // by this process, and not ended
  std::map<std::string, std::vector<std::string>> served_;  // ids of networks by task, in order
  const std::shared_ptr<NetworkRecords> records_;           // shared with work on pools; null: none
  bool saving_ = false;
  const std::unique_ptr<Random> random_;  // the resolver's thread asks it, too
  std::shared_ptr<RouterHandle> router_;  // shared with work on pools
  std::unique_ptr<WorkerPool> pool_;      // one thread: the kernel follows in order
  std::string host_conf_;                 // of the host, as the resolver knows it
  std::unique_ptr<Resolver> resolver_;    // null until somebody asks
  TimerId host_conf_timer_ = 0;
  TimerId resync_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NODE_NETWORKS_H_
