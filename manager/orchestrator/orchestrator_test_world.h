// OrchestratorTest: an orchestrator over a StoreWorld with three nodes. For the tests of this room.
#ifndef SWARM_MANAGER_ORCHESTRATOR_ORCHESTRATOR_TEST_WORLD_H_
#define SWARM_MANAGER_ORCHESTRATOR_ORCHESTRATOR_TEST_WORLD_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "manager/orchestrator/orchestrator.h"
#include "tests/support/store_world.h"

namespace swarm::manager {

using ::swarm::testing::StoreWorld;

class OrchestratorTest : public ::testing::Test {
 protected:
  OrchestratorTest() {
    for (const char* name : {"a", "b", "c"}) nodes_.push_back(world_.AddNode(name));
    Start();
  }
  void Start() {
    orchestrator_ = MakeOrchestrator(world_.env(), world_.store());
    orchestrator_->Start();
  }
  void RestartManager() {
    orchestrator_.reset();
    world_.Restart();
    Start();
    for (Id node : world_.Nodes()) world_.SetNodeState(node, v1::NodeStatus::STATE_READY);
  }
  Id RunningService(uint64_t replicas, const StoreWorld::SpecChange& change = nullptr) {
    const Id id = world_.AddService("web", replicas, change);
    world_.Settle();
    EXPECT_TRUE(world_.AllRunning(id));
    return id;
  }
  // A global service, once its tasks run.
  Id Global(const StoreWorld::SpecChange& change = nullptr) {
    const Id id = world_.AddService("agent", 0, [&](v1::ServiceSpec& spec) {
      spec.mutable_global();
      if (change != nullptr) change(spec);
    });
    world_.Settle();
    return id;
  }
  static StoreWorld::SpecChange Restart(v1::RestartPolicy::Condition condition,
                                        uint64_t attempts = 0, int64_t window_seconds = 0) {
    return [=](v1::ServiceSpec& spec) {
      spec.mutable_task()->mutable_restart()->set_condition(condition);
      spec.mutable_task()->mutable_restart()->set_max_attempts(attempts);
      if (window_seconds > 0) {
        spec.mutable_task()->mutable_restart()->mutable_window()->set_seconds(window_seconds);
      }
    };
  }
  std::multiset<std::string> Images(Id service) {
    std::multiset<std::string> images;
    for (const Task& task : world_.Active(service)) images.insert(StoreWorld::ImageOf(task));
    return images;
  }
  v1::UpdateStatus::State UpdateState(Id service) { return world_.UpdateOf(service).state(); }
  size_t RevisionsOf(Id service) {
    size_t count = 0;
    world_.view().EachRevisionOfService(service, [&](const auto&) { return ++count, true; });
    return count;
  }
  std::map<Id, size_t> PerNode(Id service) {
    std::map<Id, size_t> counts;
    for (const Task& task : world_.Active(service)) ++counts[task.node_id];
    return counts;
  }

  StoreWorld world_;
  std::vector<Id> nodes_;
  std::unique_ptr<Orchestrator> orchestrator_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_ORCHESTRATOR_TEST_WORLD_H_
