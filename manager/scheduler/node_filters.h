// What a group of tasks asks for, and the filters: may one of them go to a node, and if not, why,
// in the words that users of Swarm know.
//
// In this order; a node counts for the first that it fails: available, resources, constraints,
// platform, encryption, parent links, host ports, volume driver, max replicas per node. Pure.
#ifndef SWARM_MANAGER_SCHEDULER_NODE_FILTERS_H_
#define SWARM_MANAGER_SCHEDULER_NODE_FILTERS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "manager/placement.h"
#include "manager/scheduler/node_books.h"
#include "manager/volume_rules.h"

namespace swarm::manager {

// Empty: none.
std::string EncryptedNetworkOf(const Revision& revision, const View& view);
// Macvlan networks of the revision's tasks, whose parent links a node must have.
std::vector<Ref<Network>> ParentedNetworks(const Revision& revision, const View& view);

struct GroupDemand {
  // `view` knows what the revision's networks and volumes are.
  GroupDemand(const GroupKey& group_key, const Revision& revision, const View& view)
      : key(group_key),
        reservation(ReservationOf(revision)),
        rules(revision.revision().task().placement()),
        host_ports(HostPortsOf(revision)),
        encrypted_network(EncryptedNetworkOf(revision, view)),
        parented(ParentedNetworks(revision, view)),
        volumes(VolumesOfNode(revision.revision().task(), view)),
        missing_driver(MissingVolumeDriver(revision.revision().task(), view)) {}

  GroupKey key;
  Reservation reservation;
  PlacementRules rules;
  std::vector<Port> host_ports;
  // A network of it goes by WireGuard between nodes: its name, the first of several. Empty: none.
  // Nothing of such a network ever goes in clear, so a node without is no place for it (S11).
  std::string encrypted_network;
  std::vector<Ref<Network>> parented;
  std::vector<std::string> volumes;  // sorted: whose data are on one node
  std::string missing_driver;        // of a volume; empty: nodes have all that it needs
};

enum class Filter : uint8_t {
  kAvailable,
  kResources,
  kConstraints,
  kPlatform,
  kEncryption,
  kParentLinks,
  kHostPorts,
  kVolumeDriver,
  kMaxReplicas,
  kNone,  // all let it through
};

Filter FirstFailed(const GroupDemand& demand, const NodeInfo& node);
// As if it took new tasks.
Filter FirstFailedOfAvailable(const GroupDemand& demand, const NodeInfo& node);

// For a task that may go to `node` only and did not get through `failed`:
// "no suitable node (insufficient resources on node a (gpu))".
std::string ExplainRefusal(const GroupDemand& demand, const NodeInfo& node, Filter failed);

// For a task whose volumes are on `node`, of which the manager has not heard yet.
std::string ExplainAwaiting(const NodeInfo& node);

// For a task whose volumes are on `node`, where its slot's last task still has what it needs.
std::string ExplainFollowing(const NodeInfo& node);

// How many nodes failed which filter.
class Refusals {
 public:
  void Add(const GroupDemand& demand, const NodeInfo& node, Filter failed);
  // "no suitable node (2 nodes not available for new tasks; insufficient resources on 1 node
  // (cpu))": most nodes first. In brackets is whatever was short on one of them; "host port
  // 8080/tcp in use on 2 nodes" likewise.
  std::string Explain() const;

 private:
  std::string Words(size_t filter) const;

  std::string encrypted_network_;
  std::array<uint32_t, static_cast<size_t>(Filter::kNone)> nodes_ = {};
  absl::btree_set<std::string> short_of_;
  absl::btree_set<Port> ports_in_use_;
  absl::btree_set<std::string> missing_links_;
  std::string missing_driver_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_NODE_FILTERS_H_
