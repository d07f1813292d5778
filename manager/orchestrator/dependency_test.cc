// depends_on, on virtual time.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/orchestrator/dependency_keeper.h"
#include "manager/orchestrator/orchestrator_test_world.h"

namespace swarm::manager {
namespace {

class DependencyTest : public OrchestratorTest {
 protected:
  Id AddWaiting(const std::string& name, const std::string& on,
                v1::Dependency::Condition condition) {
    const Id id = world_.AddService(name, 1, [&](v1::ServiceSpec& spec) {
      v1::Dependency& dependency = *spec.add_depends_on();
      dependency.set_service(on);
      dependency.set_condition(condition);
    });
    world_.MustWrite([&](WriteTx& tx) {  // as the API does
      Service service = *tx.view().GetService(id);
      service.set_waiting_for("service " + on);
      return tx.Put(std::move(service));
    });
    world_.loop().RunUntilIdle();
    return id;
  }
  std::string WaitsFor(Id service) { return world_.view().GetService(service)->waiting_for(); }
};

TEST_F(DependencyTest, WaitsForAServiceThatDoesNotExistYet) {
  const Id web = AddWaiting("web", "db", v1::Dependency::CONDITION_STARTED);
  EXPECT_EQ(WaitsFor(web), "service db, which does not exist yet");
  world_.AddService("db", 1);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(WaitsFor(web), "service db to be started");
  world_.Settle();
  EXPECT_EQ(WaitsFor(web), "");
}

TEST_F(DependencyTest, StartedIsMetByATaskThatStartsHealthyOnlyWhenAllRun) {
  const Id db = world_.AddService("db", 2);
  world_.loop().RunUntilIdle();
  const Id early = AddWaiting("early", "db", v1::Dependency::CONDITION_STARTED);
  const Id late = AddWaiting("late", "db", v1::Dependency::CONDITION_HEALTHY);
  const std::vector<Task> tasks = world_.Active(db);
  world_.Report(tasks[0].id, TaskState::kStarting);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(WaitsFor(early), "");
  EXPECT_EQ(WaitsFor(late), "service db to be healthy");
  world_.Report(tasks[0].id, TaskState::kRunning);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(WaitsFor(late), "service db to be healthy");
  world_.Report(tasks[1].id, TaskState::kRunning);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(WaitsFor(late), "");
}

TEST_F(DependencyTest, WhatWasMetOnceStaysMetAlsoAfterARestartOfTheManager) {
  const Id db = RunningService(1);
  const Id app = AddWaiting("app", "web", v1::Dependency::CONDITION_HEALTHY);
  ASSERT_EQ(WaitsFor(app), "");
  world_.Report(world_.ActiveIn(db, 1).id, TaskState::kFailed, "exit 1");
  world_.loop().RunUntilIdle();
  RestartManager();
  EXPECT_EQ(WaitsFor(app), "");
}

TEST_F(DependencyTest, CompletedIsMetWhenAllOfItEndedWell) {
  const Id migrate = world_.AddService("migrate", 1, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_restart()->set_condition(v1::RestartPolicy::CONDITION_NONE);
  });
  world_.Settle();
  const Id app = AddWaiting("app", "migrate", v1::Dependency::CONDITION_COMPLETED);
  EXPECT_EQ(WaitsFor(app), "service migrate to be completed");
  world_.Report(world_.ActiveIn(migrate, 1).id, TaskState::kComplete);
  world_.loop().RunUntilIdle();
  EXPECT_EQ(WaitsFor(app), "");
}

}  // namespace
}  // namespace swarm::manager
