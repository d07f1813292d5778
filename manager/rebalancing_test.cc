#include "manager/rebalancing.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/store_world.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StoreWorld;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RebalancingTest : public ::testing::Test {
 protected:
  // RUNNING tasks of "web", slot after slot.
  void Run(Id node, int count) {
    for (int i = 0; i < count; ++i) {
      world_.MustWrite([&](WriteTx& tx) {
        Task task;
        task.id = Id::Make(world_.random());
        task.service_id = web_;
        task.revision =
            tx.view().GetRevision(Id::ParseOrZero(tx.view().GetService(web_)->revision_id()));
        task.slot = ++slot_;
        task.node_id = node;
        task.state = TaskState::kRunning;
        task.created_unix_ms = static_cast<int64_t>(slot_);
        tx.Put(std::move(task));
        return absl::OkStatus();
      });
    }
  }
  std::vector<Ref<Task>> Moves() {
    return MovesToBalance(world_.view(), *world_.view().GetService(web_));
  }
  std::map<Id, size_t> From() {
    std::map<Id, size_t> from;
    for (const Ref<Task>& task : Moves()) ++from[task->node_id];
    return from;
  }

  StoreWorld world_;
  const Id a_ = world_.AddNode("a");
  const Id b_ = world_.AddNode("b");
  const Id c_ = world_.AddNode("c");
  const Id web_ = world_.AddService("web", 9);
  Slot slot_ = 0;
};

TEST_F(RebalancingTest, MovesFromTheFullestUntilNodesDifferByOneAtMost) {
  Run(a_, 6);
  Run(b_, 3);
  EXPECT_EQ(From(), (std::map<Id, size_t>{{a_, 3}}));
}

TEST_F(RebalancingTest, AnEvenServiceStaysAsItIs) {
  Run(a_, 2);
  Run(b_, 1);
  Run(c_, 1);
  EXPECT_THAT(Moves(), IsEmpty());
}

TEST_F(RebalancingTest, NothingMovesToNodesThatTakeNoTasksOrBreakAConstraint) {
  Run(a_, 4);
  Run(b_, 4);
  world_.SetAvailability(c_, v1::NodeSpec::AVAILABILITY_PAUSE);
  EXPECT_THAT(Moves(), IsEmpty());
  world_.SetAvailability(c_, v1::NodeSpec::AVAILABILITY_ACTIVE);
  EXPECT_THAT(Moves(), SizeIs(2));
  world_.ChangeService(web_, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->add_constraints("node.hostname!=c");
  });
  EXPECT_THAT(Moves(), IsEmpty());
}

TEST_F(RebalancingTest, TheNewestTaskMovesFirst) {
  Run(a_, 3);
  ASSERT_THAT(Moves(), SizeIs(2));
  EXPECT_EQ(Moves().front()->slot, 3u);
}

TEST_F(RebalancingTest, WhatIsBinPackedIsNotEvenedOut) {
  Run(a_, 5);
  world_.ChangeService(web_, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_placement()->set_strategy(v1::Placement::STRATEGY_BINPACK);
  });
  EXPECT_THAT(Moves(), IsEmpty());
}

}  // namespace
}  // namespace swarm::manager
