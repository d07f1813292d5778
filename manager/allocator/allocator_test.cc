#include "manager/allocator/allocator.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/service_rules.h"
#include "tests/support/store_world.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StoreWorld;

Id AddTask(StoreWorld& world, Id service, TaskState desired = TaskState::kRunning) {
  Task task;
  task.id = Id::Make(world.random());
  task.service_id = service;
  task.revision =
      world.view().GetRevision(Id::ParseOrZero(world.view().GetService(service)->revision_id()));
  task.slot = 1;
  task.desired = desired;
  world.MustWrite([&](WriteTx& tx) { return tx.Put(task), absl::OkStatus(); });
  return task.id;
}

TEST(AllocatorTest, MakesNewTasksPendingBeforeAndAfterItsStart) {
  StoreWorld world;
  const Id service = world.AddService("web", 2);
  const Id before = AddTask(world, service);
  auto allocator = MakeAllocator(world.env(), world.store());
  allocator->Start();
  const Id after = AddTask(world, service, TaskState::kReady);
  world.loop().RunUntilIdle();
  EXPECT_EQ(world.view().GetTask(before)->state, TaskState::kPending);
  EXPECT_EQ(world.view().GetTask(after)->state, TaskState::kPending);
}

TEST(AllocatorTest, LeavesTasksAloneThatAreNotWantedAnyMore) {
  StoreWorld world;
  const Id task = AddTask(world, world.AddService("web", 1), TaskState::kShutdown);
  auto allocator = MakeAllocator(world.env(), world.store());
  allocator->Start();
  world.loop().RunUntilIdle();
  EXPECT_EQ(world.view().GetTask(task)->state, TaskState::kNew);
}

TEST(AllocatorTest, F20TasksOfAServiceInQuarantineStayNewUntilItIsLetOut) {
  StoreWorld world;
  const Id service = world.AddService("web", 1);
  const auto set_crashes = [&](uint32_t crashes) {
    world.MustWrite([&](WriteTx& tx) {
      Service changed = *tx.view().GetService(service);
      changed.mutable_quarantine()->set_crashes(crashes);
      return tx.Put(std::move(changed));
    });
  };
  set_crashes(kCrashesToQuarantine);
  const Id task = AddTask(world, service);
  auto allocator = MakeAllocator(world.env(), world.store());
  allocator->Start();
  world.loop().RunUntilIdle();
  EXPECT_EQ(world.view().GetTask(task)->state, TaskState::kNew);
  set_crashes(0);
  world.loop().RunUntilIdle();
  EXPECT_EQ(world.view().GetTask(task)->state, TaskState::kPending);
}

TEST(AllocatorTest, MovesMoreTasksThanOneUpdateTakesInSeveral) {
  StoreWorld world;
  const Id service = world.AddService("web", 1);
  for (size_t i = 0; i < Allocator::kTasksPerUpdate + 10; ++i) AddTask(world, service);
  size_t largest = 0;
  auto watch = world.store().Watch(WatchSpeed::kApplied, [&](const ChangeSet& set) {
    largest = std::max(largest, set.changes.size());
  });
  auto allocator = MakeAllocator(world.env(), world.store());
  allocator->Start();
  world.loop().RunUntilIdle();
  for (const Task& task : world.AllTasks()) ASSERT_EQ(task.state, TaskState::kPending);
  EXPECT_EQ(largest, Allocator::kTasksPerUpdate);
}

}  // namespace
}  // namespace swarm::manager
