// NetworkPlanner: gives a new network its subnets, gateways and VNI.
//
//   NetworkPlanner planner;
//   ASSIGN_OR_RETURN(Network network, planner.Plan(tx.view(), spec));  // no id yet
//
// What the spec leaves open comes from pools: for IPv4 10.0.0.0/8, and when that is taken
// 172.16.0.0/12 and 192.168.0.0/16, in /24s (10.0.0.0/24 first for the ingress network, never for
// others while there is another); for IPv6 /64s of a /48 of the cluster's own (RFC 4193). Pools
// step around other networks and, while they leave room, around what the nodes' hosts lead to
// (NodeDescription.routes), and go on where they were, so that what a removed network had is not
// given at once to the next.
//
// Loop thread. Costs O(networks + routes of nodes); of those 100,000 are looked at.
#ifndef SWARM_MANAGER_ALLOCATOR_NETWORK_PLANNER_H_
#define SWARM_MANAGER_ALLOCATOR_NETWORK_PLANNER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/ip_address.h"
#include "manager/store/store.h"

namespace swarm::manager {

class NetworkPlanner {
 public:
  static constexpr uint32_t kFirstVni = 4096;
  static constexpr uint32_t kLastVni = (1 << 24) - 1;

  // `spec` is valid. InvalidArgument "ipam[0].subnet: 10.0.1.0/24 overlaps 10.0.0.0/16 of network
  // web"; ResourceExhausted when a pool or the VNIs are. Nothing is taken but by putting the
  // result.
  absl::StatusOr<Network> Plan(const View& view, const v1::NetworkSpec& spec);

 private:
  absl::Status PlanSubnets(const View& view, Network& network);

  uint32_t last_vni_ = 0;  // of those given; 0: not looked yet
  IpAddress last_v4_;      // the last address of the subnet given last; empty: none yet
  IpAddress last_v6_;
};

// The address that `ipam`, whose subnet is set, uses as gateway: what it says, else the first that
// is not taken by others. Empty when there is none.
IpAddress GatewayOf(const v1::IpamConfig& ipam);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ALLOCATOR_NETWORK_PLANNER_H_
