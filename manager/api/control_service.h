// swarm.v1.Control on gRPC: each call asks the table of roles, hops to the loop and back. No
// decisions.
#ifndef SWARM_MANAGER_API_CONTROL_SERVICE_H_
#define SWARM_MANAGER_API_CONTROL_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "common/grpc/peer.h"
#include "manager/api/byte_budget.h"
#include "manager/api/clusters.h"
#include "manager/api/diagnosis_broker.h"
#include "manager/api/file_objects.h"
#include "manager/api/networks.h"
#include "manager/api/nodes.h"
#include "manager/api/service_history.h"
#include "manager/api/services.h"
#include "manager/api/tasks.h"
#include "manager/api/volumes.h"
#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

// What the calls are about; all of it outlives the servers.
struct ControlRooms {
  Store& store;
  Clusters& clusters;
  Nodes& nodes;
  Services& services;
  ServiceHistory& history;
  Networks& networks;
  Secrets& secrets;
  Configs& configs;
  Volumes& volumes;
  Tasks& tasks;
  DiagnosisBroker& diagnoses;
};

// May be registered on several servers. Destroyed on the loop, after its servers are shut down.
// What its streams queue counts against `budget`.
std::unique_ptr<::grpc::Service> MakeControlService(const Env& env, ControlRooms rooms,
                                                    edge::Authorizer authorizer,
                                                    std::shared_ptr<ByteBudget> budget);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CONTROL_SERVICE_H_
