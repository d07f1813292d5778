// Numbers by which we know in the kernel what we put there.
#ifndef SWARM_AGENT_NETWORK_NETLINK_CODES_H_
#define SWARM_AGENT_NETWORK_NETLINK_CODES_H_

#include <cstdint>

namespace swarm::agent {

inline constexpr uint8_t kOurProtocol = 83;          // of routes and rules (rtnetlink's "protocol")
inline constexpr uint32_t kRulePriority = 1000;      // before the main table's 32766
inline constexpr uint32_t kAfterOwnLoopback = 2048;  // metric: the host's own route to ::1 has 0

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NETLINK_CODES_H_
