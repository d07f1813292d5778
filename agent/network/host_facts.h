// What the manager must know of a node's own network before it gives networks: where the host leads
// to, which pools of subnets step around, and links that containers of macvlan networks may stand
// on.
#ifndef SWARM_AGENT_NETWORK_HOST_FACTS_H_
#define SWARM_AGENT_NETWORK_HOST_FACTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ip_address.h"

namespace swarm::agent {

struct HostFacts {
  // Of the same many links and routes the same first ones are told.
  static constexpr size_t kMostLinks = 100;
  static constexpr size_t kMostRoutes = 500;

  std::vector<std::string> links;  // sorted; without loopback, ours and parts of bridges
  std::vector<IpPrefix> routes;    // sorted; without the default route and what is the kernel's own
  friend bool operator==(const HostFacts&, const HostFacts&) = default;
};

struct HostLink {
  std::string name;
  std::string kind;  // of the kernel, "vlan"; empty: hardware
};
// Of more than kMostLinks those first that other machines are on, and no pairs or tunnels of
// programs. Sorted by name. Pure.
std::vector<std::string> ChooseLinks(std::vector<HostLink> found);

// Of the calling thread's namespace. Blocking, some ms per 1,000 routes.
absl::StatusOr<HostFacts> ReadHostFacts();

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_HOST_FACTS_H_
