// Rooms: everything of a manager that lives on the loop, in the order in which it is built.
//
// Loop thread only: construction, use and destruction.
#ifndef SWARM_MANAGER_ROOMS_H_
#define SWARM_MANAGER_ROOMS_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/oci/registry.h"
#include "manager/allocator/allocator.h"
#include "manager/api/call_broker.h"
#include "manager/api/clusters.h"
#include "manager/api/diagnosis_broker.h"
#include "manager/api/file_objects.h"
#include "manager/api/image_resolver.h"
#include "manager/api/log_broker.h"
#include "manager/api/networks.h"
#include "manager/api/node_roll.h"
#include "manager/api/node_streams.h"
#include "manager/api/nodes.h"
#include "manager/api/request_log.h"
#include "manager/api/service_health.h"
#include "manager/api/service_history.h"
#include "manager/api/services.h"
#include "manager/api/stats_broker.h"
#include "manager/api/tasks.h"
#include "manager/api/volumes.h"
#include "manager/autoscaler/autoscaler.h"
#include "manager/ca/cluster_ca.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/env.h"
#include "manager/journal/journal.h"
#include "manager/key_keeper.h"
#include "manager/orchestrator/orchestrator.h"
#include "manager/scheduler/scheduler.h"
#include "manager/secret_vault.h"
#include "manager/store/store.h"

namespace swarm::manager {

struct Rooms {
  // Opens the journal in `state_dir` and loads the store; starts nothing.
  static absl::StatusOr<std::unique_ptr<Rooms>> Open(const Env& env, const std::string& state_dir,
                                                     Store::Options options,
                                                     std::unique_ptr<SecretVault> vault);
  // Builds and starts the rest, over a store that holds a cluster and with its keys.
  void Start(std::shared_ptr<oci::Registry> registry, ServiceHealth::Report health);

  explicit Rooms(const Env& environment) : env(environment) {}

  const Env env;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Store> store;
  std::unique_ptr<SecretVault> vault;
  std::unique_ptr<ClusterCa> ca;
  std::unique_ptr<KeyKeeper> keys;  // set before Start

  std::unique_ptr<Dispatcher> dispatcher;
  std::unique_ptr<Orchestrator> orchestrator;
  std::unique_ptr<Allocator> allocator;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Autoscaler> autoscaler;

  std::unique_ptr<ImageResolver> images;
  std::unique_ptr<RequestLog> requests;
  std::unique_ptr<Clusters> clusters;
  std::unique_ptr<Nodes> nodes;
  std::unique_ptr<Services> services;
  std::unique_ptr<ServiceHistory> history;
  std::unique_ptr<Networks> networks;
  std::unique_ptr<Secrets> secrets;
  std::unique_ptr<Configs> configs;
  std::unique_ptr<Volumes> volumes;
  std::unique_ptr<Tasks> tasks;
  std::unique_ptr<LogBroker> logs;
  std::unique_ptr<DiagnosisBroker> diagnoses;
  std::unique_ptr<NodeStreams> streams;
  std::unique_ptr<CallBroker> calls;
  std::unique_ptr<StatsBroker> stats;
  std::unique_ptr<ServiceHealth> health;
  std::unique_ptr<NodeRoll> roll;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ROOMS_H_
