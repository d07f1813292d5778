// The version of every binary, and of the session protocol between manager and agent.
#ifndef SWARM_COMMON_VERSION_H_
#define SWARM_COMMON_VERSION_H_

#include <cstdint>

namespace swarm {

inline constexpr char kVersion[] = "0.1.0";
inline constexpr uint32_t kSessionProtocol = 1;

}  // namespace swarm

#endif  // SWARM_COMMON_VERSION_H_
