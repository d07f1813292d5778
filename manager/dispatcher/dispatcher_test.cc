#include "manager/dispatcher/dispatcher.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/strings.h"
#include "gtest/gtest.h"
#include "manager/dispatcher/dispatcher_test_world.h"

namespace swarm::manager {
namespace {

using swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(DispatcherTest, WelcomesAnAgentAndMakesItsNodeReady) {
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  ASSERT_FALSE(agent.sent.empty());
  const v1::Welcome& welcome = agent.sent[0].welcome();
  EXPECT_EQ(welcome.fence(), 1u);
  EXPECT_EQ(welcome.node_id(), node_.ToString());
  EXPECT_EQ(welcome.config().heartbeat_period().seconds(), 5);
  EXPECT_THAT(welcome.managers().addrs(), ElementsAre("10.0.0.1:2377"));
  const Ref<Node> node = store_->view().GetNode(node_);
  EXPECT_EQ(node->status().state(), v1::NodeStatus::STATE_READY);
  EXPECT_EQ(node->status().addr(), "10.0.0.7");
  EXPECT_EQ(node->description().hostname(), "host");
  EXPECT_EQ(node->confirmed_fence(), 1u);
  EXPECT_EQ(agent.complete_parts, 1) << "an empty node is told that it is empty";
  EXPECT_TRUE(dispatcher_->FenceIsCurrent(node_, 1));
  EXPECT_FALSE(dispatcher_->FenceIsCurrent(node_, 0));
}

TEST_F(DispatcherTest, GivesANodeItsOwnTasksAndTheirRevisionsOnce) {
  const Id a = AddTask(node_);
  const Id b = AddTask(node_);
  AddTask(other_node_);
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  EXPECT_EQ(agent.holds.size(), 2u);
  EXPECT_TRUE(agent.holds.count(a.ToString()));
  EXPECT_TRUE(agent.holds.count(b.ToString()));
  EXPECT_EQ(agent.revisions.size(), 1u);
  EXPECT_EQ(agent.assignments, 1);
}

TEST_F(DispatcherTest, IncrementsBringNewTasksChangesAndRemovals) {
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  const Id a = AddTask(node_);
  ASSERT_TRUE(agent.holds.count(a.ToString()));
  Change(a, [](Task& t) { t.desired = TaskState::kShutdown; });
  EXPECT_EQ(agent.holds[a.ToString()].desired_state(), v1::TaskStatus::STATE_SHUTDOWN);
  EXPECT_EQ(agent.revisions.size(), 1u);
  agent.Report(1, {TaskIs(a, TaskState::kShutdown)});
  agent.Report(2, {TaskIs(a, TaskState::kRemove)});
  EXPECT_TRUE(Get(a)->gone);
  EXPECT_THAT(agent.holds, IsEmpty());
  EXPECT_THAT(agent.revisions, IsEmpty()) << "the revision leaves with its last task";
  EXPECT_EQ(agent.complete_parts, 1);
}

TEST_F(DispatcherTest, ChangesOfOneTurnTravelTogether) {
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  const int before = agent.assignments;
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    for (int i = 0; i < 50; ++i) {
      Task task;
      task.id = Id::Make(*random_);
      task.service_id = service_;
      task.node_id = node_;
      task.revision = revision_;
      tx.Put(task);
    }
    return absl::OkStatus();
  }));
  loop_.RunUntilIdle();
  EXPECT_EQ(agent.holds.size(), 50u);
  EXPECT_EQ(agent.assignments, before + 1);
}

TEST_F(DispatcherTest, AReplacedRevisionIsSentAgain) {
  FakeAgent agent(loop_, *dispatcher_);
  auto unresolved = AddRevision(2, "");
  agent.Join(node_);
  AddTask(node_, TaskState::kAssigned, unresolved);
  const std::string id = unresolved->revision().id();
  EXPECT_EQ(agent.revisions[id].image_digest(), "");
  Revision resolved = *unresolved;
  resolved.mutable_revision()->set_image_digest("sha256:2");
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(resolved); }));
  loop_.RunUntilIdle();
  EXPECT_EQ(agent.revisions[id].image_digest(), "sha256:2");
}

TEST_F(DispatcherTest, AnEndedTaskIsNeverAskedToRunAgain) {
  const Id failed = AddTask(node_, TaskState::kFailed);
  const Id orphaned = AddTask(node_, TaskState::kOrphaned);
  const Id running = AddTask(node_, TaskState::kRunning);
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  EXPECT_EQ(agent.holds[failed.ToString()].desired_state(), v1::TaskStatus::STATE_SHUTDOWN);
  EXPECT_EQ(agent.holds[orphaned.ToString()].desired_state(), v1::TaskStatus::STATE_REMOVE);
  EXPECT_EQ(agent.holds[running.ToString()].desired_state(), v1::TaskStatus::STATE_RUNNING);
}

TEST_F(DispatcherTest, NothingLeavesBeforeItIsDurable) {
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  journal_->slow = true;
  const Id task = AddTask(node_);
  agent.Report(7, {});
  EXPECT_THAT(agent.holds, IsEmpty());
  EXPECT_THAT(agent.acks, ElementsAre(0));
  journal_->Release();
  loop_.RunUntilIdle();
  EXPECT_TRUE(agent.holds.count(task.ToString()));
  EXPECT_THAT(agent.acks, ElementsAre(0, 7));
}

TEST_F(DispatcherTest, WelcomeWaitsForTheFenceToBeDurable) {
  FakeAgent agent(loop_, *dispatcher_);
  journal_->slow = true;
  agent.Join(node_);
  EXPECT_THAT(agent.sent, IsEmpty());
  journal_->Release();
  loop_.RunUntilIdle();
  EXPECT_TRUE(agent.sent[0].has_welcome());
}

TEST_F(DispatcherTest, F6HeartbeatsAreNotBehindTheDisk) {
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  journal_->slow = true;
  AddTask(node_);
  Live(agent, absl::Minutes(2));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_READY);
  EXPECT_EQ(agent.closed_with, std::nullopt);
}

// --------------------------------------------------------------------------------------- statuses

TEST_F(DispatcherTest, StatusesMoveForwardOnlyAndAnEndIsFinal) {
  const Id task = AddTask(node_);
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  agent.Report(1, {TaskIs(task, TaskState::kRunning)});
  EXPECT_EQ(Get(task)->state, TaskState::kRunning);
  agent.Report(2, {TaskIs(task, TaskState::kPreparing)});
  EXPECT_EQ(Get(task)->state, TaskState::kRunning);
  agent.Report(3, {TaskIs(task, TaskState::kComplete)});
  agent.Report(4, {TaskIs(task, TaskState::kFailed, "late")});
  EXPECT_EQ(Get(task)->state, TaskState::kComplete);
  for (TaskState forbidden : {TaskState::kOrphaned, TaskState::kNew, TaskState::kPending}) {
    const Id other = AddTask(node_);
    agent.Report(5, {TaskIs(other, forbidden)});
    EXPECT_EQ(Get(other)->state, TaskState::kAssigned);
  }
  EXPECT_THAT(agent.acks, ElementsAre(0, 1, 2, 3, 4, 5, 5, 5));
}

TEST_F(DispatcherTest, S2AnAgentWritesItsOwnTasksAlone) {
  const Id foreign = AddTask(other_node_);
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_, {TaskIs(foreign, TaskState::kFailed)});
  agent.Report(1, {TaskIs(foreign, TaskState::kFailed),
                   TaskIs(Id::Make(*random_), TaskState::kFailed), v1::TaskReport()});
  EXPECT_EQ(Get(foreign)->state, TaskState::kAssigned);
  EXPECT_FALSE(Get(foreign)->gone);
  EXPECT_THAT(agent.acks, ElementsAre(0, 1)) << "what is not known is acknowledged all the same";
}

TEST_F(DispatcherTest, TransientStatesAreSoftAndResultsAreDurable) {
  const Id preparing = AddTask(node_);
  const Id running = AddTask(node_);
  {
    FakeAgent agent(loop_, *dispatcher_);
    agent.Join(node_);
    agent.Report(1,
                 {TaskIs(preparing, TaskState::kPreparing), TaskIs(running, TaskState::kRunning)});
    EXPECT_EQ(Get(preparing)->state, TaskState::kPreparing);
  }
  RestartManager();
  EXPECT_EQ(Get(preparing)->state, TaskState::kAssigned);
  EXPECT_EQ(Get(running)->state, TaskState::kRunning);
}

TEST_F(DispatcherTest, HelloBringsWhatWasMissed) {
  const Id task = AddTask(node_, TaskState::kRunning);
  FakeAgent agent(loop_, *dispatcher_);
  v1::TaskReport report = TaskIs(task, TaskState::kFailed, "exit 3");
  report.mutable_status()->mutable_container()->set_exit_code(3);
  agent.Join(node_, {report});
  EXPECT_EQ(Get(task)->state, TaskState::kFailed);
  EXPECT_EQ(Get(task)->detail->exit_code, 3);
  EXPECT_EQ(agent.holds[task.ToString()].desired_state(), v1::TaskStatus::STATE_SHUTDOWN);
}

TEST_F(DispatcherTest, RemoveOfARunningTaskMeansShutdownAndGone) {
  const Id task = AddTask(node_, TaskState::kRunning);
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  agent.Report(1, {TaskIs(task, TaskState::kRemove)});
  EXPECT_EQ(Get(task)->state, TaskState::kShutdown);
  EXPECT_TRUE(Get(task)->gone);
}

// ---------------------------------------------------------------------------------------- fencing

TEST_F(DispatcherTest, F10TwoClonesInTurnsAndExactlyOneWins) {
  FakeAgent a(loop_, *dispatcher_), b(loop_, *dispatcher_);
  a.instance = "a";
  b.instance = "b";
  a.Join(node_);
  ASSERT_EQ(a.stored_fence, 1u);
  b.stored_fence = a.stored_fence;  // cloned here, disk and all
  a.Drop();
  int wins_a = 0, wins_b = 0;
  for (int turn = 0; turn < 20; ++turn) {
    FakeAgent& agent = turn % 2 == 0 ? b : a;
    agent.Join(node_);
    loop_.Advance(absl::Seconds(3));
    if (agent.closed_with.has_value()) {
      EXPECT_THAT(*agent.closed_with,
                  StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fenced")));
    } else {
      ++(turn % 2 == 0 ? wins_b : wins_a);
    }
    agent.Drop();
  }
  EXPECT_EQ(wins_a, 0);
  EXPECT_EQ(wins_b, 10) << "whoever came first keeps it";
}

TEST_F(DispatcherTest, F10ALiveHolderIsNotPushedOut) {
  FakeAgent a(loop_, *dispatcher_), b(loop_, *dispatcher_);
  a.Join(node_);
  b.instance = "clone";
  b.stored_fence = a.stored_fence;
  for (int i = 0; i < 5; ++i) {
    b.Join(node_);
    loop_.RunUntilIdle();
    ASSERT_TRUE(b.closed_with.has_value());
    EXPECT_THAT(*b.closed_with, StatusIs(absl::StatusCode::kFailedPrecondition,
                                         HasSubstr("fenced: this node's identity is in use by a "
                                                   "live agent at 10.0.0.7:41234")));
    EXPECT_EQ(a.closed_with, std::nullopt);
  }
  EXPECT_EQ(store_->view().GetNode(node_)->confirmed_fence(), a.stored_fence);
}

TEST_F(DispatcherTest, ADeadHolderIsReplacedAfterTheProbe) {
  FakeAgent a(loop_, *dispatcher_), b(loop_, *dispatcher_);
  a.Join(node_);
  a.answers_probes = false;
  b.instance = "restarted";
  b.stored_fence = a.stored_fence;
  b.Join(node_);
  EXPECT_THAT(b.sent, IsEmpty()) << "the holder has two seconds";
  loop_.Advance(absl::Seconds(1.9));
  EXPECT_THAT(b.sent, IsEmpty());
  loop_.Advance(absl::Seconds(0.2));
  EXPECT_TRUE(a.closed_with.has_value());
  EXPECT_EQ(b.stored_fence, 2u);
  EXPECT_EQ(b.complete_parts, 1);
  // The old one wakes up: it has been overtaken for good.
  a.Join(node_);
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fenced")));
  EXPECT_EQ(b.closed_with, std::nullopt);
}

TEST_F(DispatcherTest, TheSameAgentReplacesItsOwnStreamAtOnce) {
  FakeAgent a(loop_, *dispatcher_), again(loop_, *dispatcher_);
  a.Join(node_);
  a.answers_probes = false;
  again.stored_fence = a.stored_fence;
  again.Join(node_);
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(again.stored_fence, 2u);
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_READY);
}

TEST_F(DispatcherTest, AnAgentThatDiedBeforeConfirmingComesBack) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  a.Drop();
  a.confirms = false;
  a.Join(node_);  // granted 2, and killed before it stored it
  a.Drop();
  a.confirms = true;
  EXPECT_EQ(a.stored_fence, 1u);
  a.Join(node_);
  EXPECT_EQ(a.stored_fence, 3u);
  a.Drop();
  // Killed after it stored the fence, before its Confirm arrived.
  a.confirms = false;
  a.Join(node_);
  a.stored_fence = 4;
  a.Drop();
  a.confirms = true;
  a.Join(node_);
  EXPECT_EQ(a.stored_fence, 5u);
}

TEST_F(DispatcherTest, F10FencesSurviveTheManager) {
  {
    FakeAgent a(loop_, *dispatcher_);
    a.Join(node_);
    a.Drop();
    a.Join(node_);
    EXPECT_EQ(a.stored_fence, 2u);
  }
  RestartManager();
  FakeAgent clone(loop_, *dispatcher_);
  clone.stored_fence = 1;
  clone.Join(node_);
  EXPECT_THAT(*clone.closed_with,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fenced")));
}

TEST_F(DispatcherTest, AMessageWithAnotherFenceEndsTheSession) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  const Id task = AddTask(node_);
  v1::AgentMessage message;
  message.set_fence(a.stored_fence - 1);
  *message.mutable_statuses()->add_tasks() = TaskIs(task, TaskState::kFailed);
  a.Deliver(std::move(message));
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fence")));
  EXPECT_EQ(Get(task)->state, TaskState::kAssigned);
}

TEST_F(DispatcherTest, ARefusedClaimChangesNoTask) {
  const Id task = AddTask(node_, TaskState::kRunning);
  FakeAgent a(loop_, *dispatcher_), clone(loop_, *dispatcher_);
  a.Join(node_);
  clone.instance = "clone";
  clone.stored_fence = a.stored_fence;
  clone.Join(node_, {TaskIs(task, TaskState::kFailed)});
  EXPECT_TRUE(clone.closed_with.has_value());
  EXPECT_EQ(Get(task)->state, TaskState::kRunning);
}

TEST_F(DispatcherTest, ThreeClaimsAtOnceLeaveOneHolder) {
  FakeAgent a(loop_, *dispatcher_), b(loop_, *dispatcher_), c(loop_, *dispatcher_);
  a.Join(node_);
  a.answers_probes = false;
  b.instance = "b";
  c.instance = "c";
  b.stored_fence = c.stored_fence = a.stored_fence;
  b.Join(node_);
  c.Join(node_);
  EXPECT_THAT(*c.closed_with, StatusIs(absl::StatusCode::kUnavailable));
  loop_.Advance(absl::Seconds(3));
  EXPECT_EQ(b.stored_fence, 2u);
  EXPECT_EQ(b.closed_with, std::nullopt);
}

TEST_F(DispatcherTest, TwoNewcomersAtOnceLeaveOneHolder) {
  FakeAgent a(loop_, *dispatcher_), b(loop_, *dispatcher_);
  b.instance = "b";
  a.confirms = false;
  a.Join(node_);
  b.Join(node_);
  loop_.Advance(absl::Seconds(3));  // a never confirms
  EXPECT_TRUE(a.closed_with.has_value());
  EXPECT_EQ(b.closed_with, std::nullopt);
  EXPECT_EQ(b.stored_fence, 2u);
}

// ------------------------------------------------------------------------------------ odd
// behaviour

TEST_F(DispatcherTest, AnotherProtocolIsRefusedInWords) {
  FakeAgent a(loop_, *dispatcher_);
  a.Open(node_);
  v1::AgentMessage message;
  message.mutable_hello()->set_protocol(9);
  a.Deliver(std::move(message));
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kFailedPrecondition,
                                       HasSubstr("protocol 9 is not spoken here")));
}

TEST_F(DispatcherTest, SilentStreamsAreEnded) {
  FakeAgent a(loop_, *dispatcher_);
  a.Open(node_);
  loop_.Advance(absl::Seconds(11));
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("Hello")));
  a.confirms = false;
  a.Join(node_);
  loop_.Advance(absl::Seconds(11));
  EXPECT_THAT(*a.closed_with,
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("confirmed")));
}

TEST_F(DispatcherTest, SecondHelloAndEarlyTalkAreRefused) {
  FakeAgent a(loop_, *dispatcher_);
  a.Open(node_);
  a.Heartbeat();
  EXPECT_TRUE(a.closed_with.has_value());
  a.Join(node_);
  EXPECT_EQ(a.closed_with, std::nullopt);
  a.SendHello();
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(DispatcherTest, F24AFloodEndsTheSession) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  int said = 0;
  while (!a.closed_with.has_value() && said < 100'000) {
    a.Heartbeat();
    ++said;
  }
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LE(said, 2'000);
}

TEST_F(DispatcherTest, AFenceFromNowhereIsRefused) {
  FakeAgent a(loop_, *dispatcher_);
  a.stored_fence = ~uint64_t{0};
  a.Join(node_);
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DispatcherTest, AFullStreamGetsAFreshCompleteAssignment) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  a.capacity = a.sent.size();  // full from here on
  std::set<std::string> wanted;
  for (int i = 0; i < 10; ++i) wanted.insert(AddTask(node_).ToString());
  EXPECT_THAT(a.holds, IsEmpty());
  a.capacity = 1'000;
  a.Drain();
  EXPECT_EQ(a.complete_parts, 2);
  EXPECT_EQ(a.holds.size(), wanted.size());
  wanted.insert(AddTask(node_).ToString());
  EXPECT_EQ(a.holds.size(), wanted.size()) << "and increments go on from there";
}

TEST_F(DispatcherTest, ALargeAssignmentComesInChunksAndWaitsForRoom) {
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    for (int i = 0; i < 40'000; ++i) {
      Task task;
      task.id = Id::Make(*random_);
      task.service_id = service_;
      task.node_id = node_;
      task.revision = revision_;
      task.slot = static_cast<uint32_t>(i);
      tx.Put(task);
    }
    return absl::OkStatus();
  }));
  loop_.RunUntilIdle();
  FakeAgent a(loop_, *dispatcher_);
  a.capacity = 4;
  a.Join(node_);
  for (int i = 0; i < 10 && a.holds.size() < 40'000; ++i) a.Drain();
  EXPECT_EQ(a.holds.size(), 40'000u);
  EXPECT_GT(a.complete_parts, 4);
  EXPECT_FALSE(a.in_complete);
  for (const auto& message : a.sent) EXPECT_LE(message.ByteSizeLong(), (512u << 10) + 1024);
}

TEST_F(DispatcherTest, AcknowledgementsAreNotLostWhenTheStreamIsFull) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  a.capacity = a.sent.size();
  a.Report(1, {});
  a.Report(2, {});
  EXPECT_THAT(a.acks, ElementsAre(0));
  a.capacity = 1'000;
  a.Drain();
  EXPECT_THAT(a.acks, ElementsAre(0, 1, 2));
}

// --------------------------------------------------------------------------------------- liveness

TEST_F(DispatcherTest, ThreeMissedHeartbeatsAreDownAndAnyMessageCounts) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  Live(a, absl::Minutes(1));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_READY);
  loop_.Advance(absl::Seconds(14));
  a.Report(1, {});
  loop_.Advance(absl::Seconds(14));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_READY);
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_DOWN);
  EXPECT_TRUE(a.closed_with.has_value()) << "so that it connects again";
  a.Join(node_);
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_READY);
}

TEST_F(DispatcherTest, AStreamThatComesBackInTimeIsNoOutage) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  a.Drop();
  loop_.Advance(absl::Seconds(10));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_READY);
  a.Join(node_);
  loop_.Advance(absl::Seconds(10));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_READY);
  a.Drop();
  loop_.Advance(absl::Seconds(16));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_DOWN);
}

TEST_F(DispatcherTest, LeavingIsDownAtOnce) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  v1::AgentMessage message;
  message.mutable_leaving();
  a.Say(std::move(message));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_DOWN);
}

TEST_F(DispatcherTest, F2AFreshManagerGivesEveryNodeTwiceTheGrace) {
  {
    FakeAgent a(loop_, *dispatcher_);
    a.Join(node_);
  }
  RestartManager();
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_UNKNOWN);
  loop_.Advance(absl::Seconds(29));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_UNKNOWN);
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_DOWN);
}

TEST_F(DispatcherTest, ANodeThatNeverConnectsGoesDown) {
  const Id joined = AddNode();
  loop_.RunUntilIdle();
  loop_.Advance(absl::Seconds(31));
  EXPECT_EQ(StateOf(joined), v1::NodeStatus::STATE_DOWN);
}

TEST_F(DispatcherTest, ARemovedNodeIsToldAndRefusedAfterwards) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveNode(node_);
    return absl::OkStatus();
  }));
  loop_.RunUntilIdle();
  EXPECT_TRUE(a.sent.back().has_removed());
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kNotFound));
  a.sent.clear();
  a.Join(node_);
  ASSERT_EQ(a.sent.size(), 1u);
  EXPECT_TRUE(a.sent[0].has_removed());
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DispatcherTest, AChangedHeartbeatPeriodReachesAgentsAndTimers) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  Cluster cluster = *store_->view().GetCluster();
  cluster.mutable_spec()->mutable_heartbeat_period()->set_seconds(1);
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(cluster); }));
  loop_.RunUntilIdle();
  EXPECT_EQ(a.sent.back().config().heartbeat_period().seconds(), 1);
  loop_.Advance(absl::Seconds(3.5));
  EXPECT_EQ(StateOf(node_), v1::NodeStatus::STATE_DOWN);
}

TEST_F(DispatcherTest, DescriptionsAreWrittenOnlyWhenTheyChange) {
  FakeAgent a(loop_, *dispatcher_);
  a.Join(node_);
  v1::AgentMessage message;
  message.mutable_description()->set_hostname("host");
  uint64_t before = store_->version();
  a.Say(message);
  EXPECT_EQ(store_->version(), before);
  (*message.mutable_description()->mutable_engine_labels())["a"] = "b";
  a.Say(message);
  EXPECT_GT(store_->version(), before);
  before = store_->version();
  a.Say(message);
  EXPECT_EQ(store_->version(), before);
}

TEST_F(DispatcherTest, RefusesADescriptionThatCannotBeTrueAndSaysWhich) {
  FakeAgent a(loop_, *dispatcher_);
  a.Open(node_);
  v1::AgentMessage hello;
  hello.mutable_hello()->set_protocol(1);
  hello.mutable_hello()->mutable_description()->mutable_resources()->set_memory_bytes(-1);
  a.Deliver(hello);
  ASSERT_TRUE(a.closed_with.has_value());
  EXPECT_THAT(*a.closed_with, StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("description.resources.memory_bytes: -1")));
  EXPECT_TRUE(a.sent.empty());

  a.Join(node_);
  v1::AgentMessage message;
  message.mutable_description()->set_hostname("host\x1b[2J");
  a.Say(message);
  ASSERT_TRUE(a.closed_with.has_value());
  EXPECT_THAT(*a.closed_with,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("description.hostname")));
  EXPECT_EQ(store_->view().GetNode(node_)->description().hostname(), "host");
}

// S9.
TEST_F(DispatcherTest, BoundsTheStreamsOfOneNodeThatHaveNotSaidHello) {
  std::vector<std::unique_ptr<FakeAgent>> silent;
  for (int i = 0; i < 4; ++i) {
    silent.push_back(std::make_unique<FakeAgent>(loop_, *dispatcher_));
    silent.back()->Open(node_);
    EXPECT_FALSE(silent.back()->closed_with.has_value());
  }
  FakeAgent fifth(loop_, *dispatcher_);
  fifth.Open(node_);
  ASSERT_TRUE(fifth.closed_with.has_value());
  EXPECT_THAT(*fifth.closed_with, StatusIs(absl::StatusCode::kResourceExhausted));
  loop_.RunUntilIdle();
  FakeAgent other(loop_, *dispatcher_);
  other.Join(other_node_);
  EXPECT_FALSE(other.closed_with.has_value());
  // One that has spoken counts no more.
  silent[0]->SendHello();
  EXPECT_FALSE(silent[0]->closed_with.has_value());
  fifth.Open(node_);
  EXPECT_FALSE(fifth.closed_with.has_value());
  // One that is gone neither.
  silent[1]->Drop();
  FakeAgent sixth(loop_, *dispatcher_);
  sixth.Open(node_);
  EXPECT_FALSE(sixth.closed_with.has_value());
}

TEST_F(DispatcherTest, LogFailuresAreHandedOn) {
  FakeAgent a(loop_, *dispatcher_);
  std::string error;
  dispatcher_->SetLogFailureHandler([&](Id node, const v1::LogFailure& failure) {
    error = node == node_ ? failure.error() : "";
  });
  a.Join(node_);
  v1::AgentMessage message;
  message.mutable_log_failure()->set_error("no such file");
  a.Say(message);
  EXPECT_EQ(error, "no such file");
}

TEST_F(DispatcherTest, DiagnosesOfNetworksAreHandedOn) {
  FakeAgent a(loop_, *dispatcher_);
  std::string id;
  dispatcher_->SetDiagnosisHandler([&](Id node, const v1::NetworkDiagnosis& diagnosis) {
    id = node == node_ ? diagnosis.diagnosis_id() : "";
  });
  a.Join(node_);
  v1::AgentMessage message;
  message.mutable_diagnosis()->set_diagnosis_id("one");
  a.Say(message);
  EXPECT_EQ(id, "one");
}

TEST_F(DispatcherTest, RandomWalksKeepOneHolderAndTheAgentsPictureTrue) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    auto chance = MakeSeededRandom(seed);
    const Id node = AddNode();
    std::vector<Id> tasks;
    std::vector<std::unique_ptr<FakeAgent>> agents;
    for (int i = 0; i < 3; ++i) {
      agents.push_back(std::make_unique<FakeAgent>(loop_, *dispatcher_));
      agents.back()->instance = StrCat("i", i);
    }
    for (int step = 0; step < 200; ++step) {
      FakeAgent& agent = *agents[chance->Below(agents.size())];
      switch (chance->Below(7)) {
        case 0:
          if (agent.id == 0) agent.Join(node);
          break;
        case 1:
          agent.Drop();
          break;
        case 2:
          tasks.push_back(AddTask(node));
          break;
        case 3:
          if (!tasks.empty()) {
            const Id id = tasks[chance->Below(tasks.size())];
            Change(id, [](Task& t) { t.desired = TaskState::kShutdown; });
          }
          break;
        case 4:
          if (!tasks.empty()) {
            const Id id = tasks[chance->Below(tasks.size())];
            agent.Report(
                1, {TaskIs(id, chance->Below(2) == 0 ? TaskState::kRunning : TaskState::kRemove)});
          }
          break;
        case 5:
          loop_.Advance(absl::Seconds(static_cast<int64_t>(chance->Below(4))));
          break;
        case 6:
          agent.capacity = chance->Below(2) == 0 ? agent.sent.size() : 1'000'000;
          if (agent.id != 0 && agent.capacity == 1'000'000) agent.Drain();
          break;
      }
      int current = 0;
      for (auto& one : agents) {
        current += one->id != 0 && dispatcher_->FenceIsCurrent(node, one->stored_fence);
      }
      EXPECT_LE(current, 1);
    }
    // Heal: everybody can be written to, the winner is whoever holds the newest fence.
    FakeAgent* winner = nullptr;
    for (auto& one : agents) {
      one->Drop();
      one->capacity = 1'000'000;
      one->sent.clear();
      if (winner == nullptr || one->stored_fence > winner->stored_fence) winner = one.get();
    }
    winner->Join(node);
    size_t here = 0;
    store_->view().EachTaskOfNode(node, [&](const Ref<Task>& t) {
      here += !t->gone;
      return true;
    });
    EXPECT_EQ(winner->holds.size(), here);
  }
}

}  // namespace
}  // namespace swarm::manager
