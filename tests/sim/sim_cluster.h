// SimCluster: the manager's rooms and some nodes in one thread and virtual time, a seed that draws
// what happens to them, and the invariants of README.md checked all along.
//
//   SimCluster cluster(seed);
//   const SimResult result = cluster.Run();   // result.failure: "" when all held
#ifndef SWARM_TESTS_SIM_SIM_CLUSTER_H_
#define SWARM_TESTS_SIM_SIM_CLUSTER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "manager/allocator/allocator.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/orchestrator/orchestrator.h"
#include "manager/scheduler/scheduler.h"
#include "tests/sim/refusing_store.h"
#include "tests/sim/sim_agent.h"
#include "tests/support/store_world.h"

namespace swarm::testing {

struct SimResult {
  std::string failure;  // "I5 in phase faults at 12.3s: …"; empty when every invariant held
  uint64_t trace = 0;   // of every change of the store, in order
  uint64_t changes = 0;
};

class SimCluster {
 public:
  explicit SimCluster(uint64_t seed);
  ~SimCluster();

  SimResult Run();

 private:
  struct Expected {
    uint64_t acknowledged_write = 0;  // durable, so never to be lost
  };

  void StartManager();
  void StopManager();
  void AddNode();

  // What a seed does to the cluster.
  void RandomAction();
  void UserAction();
  void NodeAction();
  void CreateService();
  void ChangeService(Id service);
  void Acknowledge(Id service, uint64_t write);
  std::vector<Id> LiveServices();
  void Heal();

  // Invariants.
  void OnChanges(const manager::ChangeSet& set);
  void CheckTask(const manager::Ref<manager::Task>& before,
                 const manager::Ref<manager::Task>& after);
  void CheckSlot(Id service, manager::Slot slot);
  void CheckAddresses(const manager::Task& task);
  void CheckMembers();
  void CheckNode(Id node);
  void CheckContainers();
  void CheckAcknowledged();
  std::string WhyNotAtRest();
  void CheckAtRest();
  void Fail(int invariant, const std::string& what);
  void Pass(absl::Duration time);

  const uint64_t seed_;
  std::string phase_ = "start";
  SimResult result_;
  StoreWorld world_;
  std::unique_ptr<Random> random_;
  std::vector<std::unique_ptr<SimAgent>> agents_;
  std::unique_ptr<RefusingStore> refusing_store_;
  std::unique_ptr<manager::Dispatcher> dispatcher_;
  std::unique_ptr<manager::Orchestrator> orchestrator_;
  std::unique_ptr<manager::Allocator> allocator_;
  std::unique_ptr<manager::Scheduler> scheduler_;
  std::unique_ptr<manager::WatchHandle> watch_;
  std::map<Id, Expected> expected_;
  std::map<IpAddress, Id> holders_;  // the task that had it last
  uint64_t last_write_ = 0;
  int last_name_ = 0;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SIM_SIM_CLUSTER_H_
