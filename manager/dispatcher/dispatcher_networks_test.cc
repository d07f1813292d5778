// What agents are told of networks, and tasks that leave them before they stop.
#include <string>
#include <vector>

#include "manager/dispatcher/dispatcher_test_world.h"

namespace swarm::manager {
namespace {

using swarm::testing::StatusIs;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DispatcherNetworksTest : public DispatcherTest {
 protected:
  void SetUp() override {
    DispatcherTest::SetUp();
    Network network;
    network_ = Id::Make(*random_);
    network.set_id(network_.ToString());
    network.mutable_spec()->set_name("front");
    network.set_vni(4096);
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(network); }));
    loop_.RunUntilIdle();
  }
  Id AddAddressed(Id node, TaskState state = TaskState::kRunning) {
    Task task;
    task.id = Id::Make(*random_);
    task.service_id = service_;
    task.node_id = node;
    task.revision = revision_;
    task.slot = ++slot_;
    task.state = state;
    TaskExtras extras;
    extras.addresses.push_back(
        {network_, *IpAddress::Parse("10.0.1." + std::to_string(slot_ + 1)), {}});
    task.extras = std::make_shared<const TaskExtras>(extras);
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(task), absl::OkStatus(); }));
    loop_.RunUntilIdle();
    return task.id;
  }
  // With its description; `joins` (not zero) as a new session of that node.
  void SayKey(FakeAgent& agent, char letter, Id joins = {}) {
    if (!joins.IsZero()) {
      agent.description.set_wireguard_key(std::string(32, letter));
      return agent.Join(joins);
    }
    v1::AgentMessage message;
    message.mutable_description()->set_hostname("host");
    message.mutable_description()->set_wireguard_key(std::string(32, letter));
    agent.Say(std::move(message));
  }
  void Stop(Id task) {
    Change(task, [](Task& t) { t.desired = TaskState::kShutdown; });
  }
  static v1::TaskStatus::State DesiredOf(const FakeAgent& agent, Id task) {
    return agent.holds.at(task.ToString()).desired_state();
  }
  static constexpr auto kRunning = v1::TaskStatus::STATE_RUNNING;
  static constexpr auto kShutdown = v1::TaskStatus::STATE_SHUTDOWN;

  Id network_;
};

TEST_F(DispatcherNetworksTest, ANodeIsToldOfANetworkWithItsFirstTaskThereAndOfItsEndWithTheLast) {
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  AddTask(node_);
  EXPECT_THAT(agent.network_changes, IsEmpty());
  const Id far = AddAddressed(other_node_);
  EXPECT_THAT(agent.network_changes, IsEmpty()) << "it has no task there";
  const Id near = AddAddressed(node_);
  ASSERT_THAT(agent.networks, SizeIs(1));
  EXPECT_EQ(agent.networks.at(network_.ToString()).network().vni(), 4096u);
  EXPECT_EQ(agent.holds.at(near.ToString()).networks(0).v4(), "10.0.1.4");
  EXPECT_THAT(agent.serving, SizeIs(2));
  EXPECT_TRUE(agent.serving.at(far.ToString()));
  Change(far, [](Task& t) { t.state = TaskState::kFailed; });
  EXPECT_THAT(agent.serving, SizeIs(1));
  Change(near, [](Task& t) { t.state = TaskState::kFailed; });
  EXPECT_THAT(agent.networks, IsEmpty());
  EXPECT_EQ(agent.complete_parts, 1);
}

TEST_F(DispatcherNetworksTest, ANewSessionIsToldAllOfIt) {
  const Id far = AddAddressed(other_node_);
  AddAddressed(node_);
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  EXPECT_THAT(agent.networks, SizeIs(1));
  EXPECT_THAT(agent.serving, SizeIs(2));
  EXPECT_EQ(agent.assignments, 1);
  agent.Drop();
  RestartManager();
  FakeAgent again(loop_, *dispatcher_);
  again.stored_fence = agent.stored_fence;
  again.Join(node_);
  EXPECT_TRUE(again.serving.at(far.ToString()));
}

TEST_F(DispatcherNetworksTest, S11ANodesNewWireguardKeyReachesTheOtherNodesOfItsEncryptedNetwork) {
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    Network network = *tx.view().GetNetwork(network_);
    (*network.mutable_spec()->mutable_options())["encrypted"] = "";
    return tx.Put(network);
  }));
  FakeAgent near(loop_, *dispatcher_);
  FakeAgent far(loop_, *dispatcher_);
  near.Join(node_);
  far.Join(other_node_);
  AddAddressed(node_);
  AddAddressed(other_node_);
  SayKey(far, 'a');
  EXPECT_EQ(near.network_changes.back().peers(0).wireguard_key(), std::string(32, 'a'));
  far.Drop();
  SayKey(far, 'b', other_node_);
  EXPECT_EQ(near.network_changes.back().peers(0).wireguard_key(), std::string(32, 'b'));
  EXPECT_EQ(near.network_changes.back().peers(0).node_id(), other_node_.ToString());
}

TEST_F(DispatcherNetworksTest, S2NobodyTakesAnotherNodesWireguardKeyForItsOwn) {
  FakeAgent near(loop_, *dispatcher_);
  FakeAgent far(loop_, *dispatcher_);
  near.Join(node_);
  far.Join(other_node_);
  SayKey(far, 'a');
  SayKey(near, 'a');
  ASSERT_TRUE(near.closed_with.has_value());
  EXPECT_THAT(*near.closed_with,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::StartsWith("description.wireguard_key: is that of node " +
                                             other_node_.ToString())));
  EXPECT_EQ(store_->view().GetNode(node_)->description().wireguard_key(), "");
  SayKey(near, 'a', node_);
  EXPECT_TRUE(near.closed_with.has_value()) << "nor when it begins with it";
  EXPECT_EQ(store_->view().GetNode(node_)->description().wireguard_key(), "");
}

TEST_F(DispatcherNetworksTest, ATaskIsToldToStopOnceEveryoneHasItOutOfItsTables) {
  FakeAgent near(loop_, *dispatcher_);
  FakeAgent far(loop_, *dispatcher_);
  near.Join(node_);
  far.Join(other_node_);
  const Id task = AddAddressed(node_);
  AddAddressed(other_node_);
  far.acknowledges = false;
  Stop(task);
  EXPECT_FALSE(near.serving.at(task.ToString()));
  EXPECT_FALSE(far.serving.at(task.ToString()));
  EXPECT_EQ(DesiredOf(near, task), kRunning) << "the other node has not said that it did it";
  far.SayApplied(far.sequence - 1);
  EXPECT_EQ(DesiredOf(near, task), kRunning);
  far.SayApplied(far.sequence);
  EXPECT_EQ(DesiredOf(near, task), kShutdown);
}

TEST_F(DispatcherNetworksTest, AnAgentThatDoesNotSayThatItDidItIsWaitedForTwoSeconds) {
  FakeAgent near(loop_, *dispatcher_);
  near.acknowledges = false;
  near.Join(node_);
  const Id task = AddAddressed(node_);
  Stop(task);
  loop_.Advance(absl::Milliseconds(1'999));
  EXPECT_EQ(DesiredOf(near, task), kRunning);
  loop_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(DesiredOf(near, task), kShutdown);
}

TEST_F(DispatcherNetworksTest, ASessionThatEndsIsNotWaitedFor) {
  FakeAgent near(loop_, *dispatcher_);
  FakeAgent far(loop_, *dispatcher_);
  near.Join(node_);
  far.Join(other_node_);
  const Id task = AddAddressed(node_);
  AddAddressed(other_node_);
  far.acknowledges = false;
  Stop(task);
  EXPECT_EQ(DesiredOf(near, task), kRunning);
  far.Drop();
  EXPECT_EQ(DesiredOf(near, task), kShutdown);
}

TEST_F(DispatcherNetworksTest, ASessionThatBeginsMeanwhileIsNotToldToStopItEither) {
  FakeAgent near(loop_, *dispatcher_);
  FakeAgent far(loop_, *dispatcher_);
  near.Join(node_);
  far.Join(other_node_);
  const Id task = AddAddressed(node_);
  AddAddressed(other_node_);
  far.acknowledges = false;
  Stop(task);
  near.Drop();
  near.Join(node_);
  EXPECT_EQ(DesiredOf(near, task), kRunning);
  far.SayApplied(far.sequence);
  EXPECT_EQ(DesiredOf(near, task), kShutdown);
}

TEST_F(DispatcherNetworksTest, WhatDoesNotServeStopsAtOnceAndSoDoesATaskThatEndsByItself) {
  FakeAgent near(loop_, *dispatcher_);
  near.acknowledges = false;
  near.Join(node_);
  const Id starting = AddAddressed(node_, TaskState::kStarting);
  Stop(starting);
  EXPECT_EQ(DesiredOf(near, starting), kShutdown);
  const Id task = AddAddressed(node_);
  Stop(task);
  EXPECT_EQ(DesiredOf(near, task), kRunning);
  near.Report(1, {TaskIs(task, TaskState::kFailed)});
  EXPECT_EQ(DesiredOf(near, task), kShutdown);
  const Id plain = AddTask(node_, TaskState::kRunning);
  Stop(plain);
  EXPECT_EQ(DesiredOf(near, plain), kShutdown);
}

TEST_F(DispatcherNetworksTest, WhatDoesNotFitIsMadeUpForByACompleteOne) {
  FakeAgent near(loop_, *dispatcher_);
  near.Join(node_);
  AddAddressed(node_);
  near.capacity = near.sent.size();
  const Id far = AddAddressed(other_node_);
  EXPECT_FALSE(near.serving.count(far.ToString()));
  near.capacity = 1'000'000;
  near.Drain();
  EXPECT_TRUE(near.serving.at(far.ToString()));
  EXPECT_EQ(near.complete_parts, 2);
}

TEST_F(DispatcherNetworksTest, AThousandAcknowledgementsASecondCostNoSession) {
  FakeAgent near(loop_, *dispatcher_);
  near.Join(node_);
  AddAddressed(node_);
  const Id far = AddAddressed(other_node_);
  for (int i = 0; i < 2'000; ++i) {
    Change(far,
           [&](Task& t) { t.state = i % 2 == 0 ? TaskState::kStarting : TaskState::kRunning; });
  }
  EXPECT_FALSE(near.closed_with.has_value());
}

}  // namespace
}  // namespace swarm::manager
