// Which address to tell others when nobody said.
#ifndef SWARM_MANAGER_ADVERTISE_H_
#define SWARM_MANAGER_ADVERTISE_H_

#include <string>

namespace swarm::manager {

// `listening` is host:port as it is bound. A host of its own is the answer; for a wildcard it is
// the source address of the default route with that port, or 127.0.0.1 on a machine without one.
std::string DefaultAdvertiseAddress(const std::string& listening);

// True for 0.0.0.0:port and [::]:port.
bool IsWildcard(const std::string& listening);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ADVERTISE_H_
