// Where a node is in the network that joins the machines. Pure.
#ifndef SWARM_MANAGER_NODE_ADDRESS_H_
#define SWARM_MANAGER_NODE_ADDRESS_H_

#include "common/ip_address.h"
#include "manager/store/store.h"

namespace swarm::manager {

// NodeStatus.addr without a port, IPv4 as such; empty when it is a name or not known.
IpAddress UnderlayOf(const Node& node);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_NODE_ADDRESS_H_
