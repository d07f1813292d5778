#include "manager/rooms.h"

#include <utility>

#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::manager {

absl::StatusOr<std::unique_ptr<Rooms>> Rooms::Open(const Env& env, const std::string& state_dir,
                                                   Store::Options options,
                                                   std::unique_ptr<SecretVault> vault) {
  auto rooms = std::make_unique<Rooms>(env);
  ASSIGN_OR_RETURN(rooms->journal,
                   OpenSqliteJournal({.path = StrCat(state_dir, "/journal.db")}, env.loop));
  ASSIGN_OR_RETURN(rooms->store,
                   OpenStore(env.loop, env.clock, *rooms->journal, std::move(options)));
  rooms->vault = std::move(vault);
  rooms->ca = std::make_unique<ClusterCa>(env, *rooms->store, *rooms->vault);
  return rooms;
}

void Rooms::Start(std::shared_ptr<oci::Registry> registry, ServiceHealth::Report report) {
  dispatcher = MakeDispatcher(env, *store, vault.get());
  orchestrator = MakeOrchestrator(env, *store);
  allocator = MakeAllocator(env, *store);
  scheduler = MakeScheduler(env, *store);
  autoscaler = MakeAutoscaler(env, *store);
  images = std::make_unique<ImageResolver>(env, *store, std::move(registry));
  requests = std::make_unique<RequestLog>(env, *store);
  clusters = std::make_unique<Clusters>(env, *store, *ca, keys.get());
  nodes = std::make_unique<Nodes>(env, *store);
  services = std::make_unique<Services>(env, *store, *images, *requests);
  history = std::make_unique<ServiceHistory>(env, *store, *requests);
  networks = std::make_unique<Networks>(env, *store, *requests);
  secrets = std::make_unique<Secrets>(env, *store, *vault, *requests);
  configs = std::make_unique<Configs>(env, *store, *vault, *requests);
  volumes = std::make_unique<Volumes>(env, *store, *requests, *dispatcher);
  tasks = std::make_unique<Tasks>(*store);
  logs = std::make_unique<LogBroker>(env, *store, *dispatcher);
  diagnoses = std::make_unique<DiagnosisBroker>(env, *store, *dispatcher);
  streams = std::make_unique<NodeStreams>(env, *store, *dispatcher);
  calls = std::make_unique<CallBroker>(env, *store, *streams);
  stats = std::make_unique<StatsBroker>(env, *store, *streams);
  health = std::make_unique<ServiceHealth>(env, *store, std::move(report));
  roll = std::make_unique<NodeRoll>();

  dispatcher->Start();
  orchestrator->Start();
  allocator->Start();
  scheduler->Start();
  autoscaler->Start();
  dispatcher->SetUsageHandler(
      [this](const Task& task, const v1::TaskUsage& usage) { autoscaler->OnUsage(task, usage); });
  images->Start();
  requests->Start();
  services->Start();
  networks->Start();
  volumes->Start();
  logs->Start();
  diagnoses->Start();
  streams->Start();
  health->Start();
  roll->Start(*store);
}

}  // namespace swarm::manager
