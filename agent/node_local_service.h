// swarm.v1.NodeLocal on the agent's own socket: cluster membership and images of this machine.
#ifndef SWARM_AGENT_NODE_LOCAL_SERVICE_H_
#define SWARM_AGENT_NODE_LOCAL_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>

#include "agent/cluster_membership.h"
#include "agent/env.h"
#include "agent/image/image_store.h"
#include "agent/node.h"

namespace swarm::agent {

struct NodeLocalOptions {
  // Archives are kept here while they arrive; 0700, emptied at start.
  std::string upload_dir;
  // Left free on its disk.
  int64_t disk_reserve_bytes = 256 << 20;
};

// Registries that hang may hold every thread of `transfers`; loads wait for nothing but the disk
// and have threads of their own.
struct NodeLocalPools {
  WorkerPool& transfers;
  WorkerPool& uploads;
};

// The listener lets in root alone. All that is given outlives the server.
std::unique_ptr<::grpc::Service> MakeNodeLocalService(const Env& env, NodeLocalPools pools,
                                                      Node& node, ClusterMembership& membership,
                                                      ImageStore& images, NodeLocalOptions options);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NODE_LOCAL_SERVICE_H_
