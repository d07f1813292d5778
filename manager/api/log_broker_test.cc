#include "manager/api/log_broker.h"

#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "common/strings.h"
#include "manager/api/node_publisher.h"
#include "tests/support/api_world.h"
#include "tests/support/silent_dispatcher.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

// Sessions of nodes: who is there, under which fence, and what they were sent.
class FakeDispatcher : public SilentDispatcher {
 public:
  bool SendToNode(Id node, v1::ManagerMessage message) override {
    if (!fences.contains(node)) return false;
    sent.emplace_back(node, message.log_request());
    return true;
  }
  std::vector<std::pair<Id, v1::LogRequest>> sent;
};

struct FakeStream : PublisherStream {
  void ReadNext() override { ++reads; }
  void Finish(absl::Status status) override {
    if (!finished.has_value()) finished = std::move(status);
  }
  int reads = 0;
  std::optional<absl::Status> finished;
};

class LogBrokerTest : public ::testing::Test, public ApiWorld {
 protected:
  LogBrokerTest() {
    broker.Start();
    node = AddNode("n1", v1::NodeStatus::STATE_READY);
    dispatcher.fences[node] = 7;
    web = AddService("web", 2);
  }
  absl::StatusOr<LogBroker::SubscriptionId> Subscribe(bool follow) {
    v1::SubscribeLogsRequest request;
    request.set_service_ref("web");
    request.mutable_options()->set_follow(follow);
    auto id = broker.Subscribe(request, sink);
    loop.RunUntilIdle();
    return id;
  }
  // As the node would: a stream with its first message.
  LogBroker::PublisherId Publish(FakeStream& stream, Id task, const std::string& line,
                                 bool finished, uint64_t fence = 7) {
    const auto id = broker.OnPublisherOpened(node, stream);
    Send(id, task, line, finished, fence);
    return id;
  }
  void Send(LogBroker::PublisherId id, Id task, const std::string& line, bool finished,
            uint64_t fence = 7) {
    broker.OnPublished(id, Message(task, line, finished, fence));
    loop.RunUntilIdle();
  }
  v1::PublishLogsRequest Message(Id task, const std::string& line, bool finished,
                                 uint64_t fence = 7) {
    v1::PublishLogsRequest message;
    message.set_subscription_id(dispatcher.sent.back().second.subscription_id());
    message.set_fence(fence);
    v1::LogMessage& log = *message.add_messages();
    log.set_task_id(task.ToString());
    log.set_data(line);
    log.set_service_name("a lie");
    log.mutable_timestamp()->set_seconds(line_seconds);
    if (finished) message.add_finished_task_ids(task.ToString());
    return message;
  }

  FakeDispatcher dispatcher;
  LogBroker broker{env, *store, dispatcher};
  FakeSink<v1::LogMessage> sink;
  int64_t line_seconds = 1'700'000'000;
  Id node;
  Ref<Service> web;
};

TEST_F(LogBrokerTest, AsksTheNodesAndEndsWhenAllTasksAreFinished) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  AddTask(*web, 2, TaskState::kPending);  // has no container yet
  ASSERT_OK(Subscribe(false));
  ASSERT_THAT(dispatcher.sent, SizeIs(1));
  EXPECT_THAT(dispatcher.sent[0].second.task_ids(), ::testing::ElementsAre(task.ToString()));
  FakeStream stream;
  Publish(stream, task, "hi", true);
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_EQ("hi", sink.messages[0].data());
  EXPECT_EQ("web", sink.messages[0].service_name());
  EXPECT_EQ(1u, sink.messages[0].slot());
  EXPECT_EQ("n1", sink.messages[0].node_hostname());
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_OK(*sink.closed);
  EXPECT_EQ(0u, broker.subscriptions());
}

TEST_F(LogBrokerTest, EndsAtOnceWhenThereIsNothingToRead) {
  ASSERT_OK(Subscribe(false));
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_OK(*sink.closed);
}

TEST_F(LogBrokerTest, FollowsTasksThatStartLaterAndEndsWithTheService) {
  ASSERT_OK(Subscribe(true));
  EXPECT_THAT(dispatcher.sent, IsEmpty());
  const Id task = AddTask(*web, 1, TaskState::kAssigned, node);
  EXPECT_THAT(dispatcher.sent, IsEmpty());
  SetState(task, TaskState::kRunning);
  ASSERT_THAT(dispatcher.sent, SizeIs(1));
  FakeStream stream;
  const auto publisher = Publish(stream, task, "one", false);
  EXPECT_FALSE(sink.closed.has_value());
  SetState(task, TaskState::kShutdown);
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    tx.RemoveTask(task);
    tx.RemoveService(Id::ParseOrZero(web->id()));
    return absl::OkStatus();
  }));
  loop.RunUntilIdle();
  EXPECT_FALSE(sink.closed.has_value()) << "its last lines may still come";
  Send(publisher, task, "bye", true);
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_OK(*sink.closed);
}

TEST_F(LogBrokerTest, SaysThatANodeCannotBeReachedAndEnds) {
  AddTask(*web, 1, TaskState::kRunning, node);
  dispatcher.fences.clear();
  ASSERT_OK(Subscribe(false));
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_EQ(v1::LogMessage::STREAM_NOTICE, sink.messages[0].stream());
  EXPECT_EQ("node n1 cannot be reached: logs of 1 task are missing", sink.messages[0].data());
  EXPECT_TRUE(sink.closed.has_value());
}

TEST_F(LogBrokerTest, GivesUpOnANodeThatNeverAnswers) {
  AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(false));
  loop.Advance(LogBroker::kAnswerTimeout + absl::Seconds(1));
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_THAT(sink.messages[0].data(), HasSubstr("gave no answer"));
  EXPECT_TRUE(sink.closed.has_value());
}

TEST_F(LogBrokerTest, AsksAFollowersNodeAgainFromTheLastLine) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(true));
  FakeStream stream;
  const auto publisher = Publish(stream, task, "one", false);
  broker.OnPublisherClosed(publisher);
  loop.Advance(absl::Seconds(3));
  ASSERT_THAT(dispatcher.sent, SizeIs(2));
  EXPECT_EQ(1'700'000'000'000'000'001, dispatcher.sent[1].second.options().since_unix_nanos());
  EXPECT_NE(dispatcher.sent[0].second.subscription_id(),
            dispatcher.sent[1].second.subscription_id());
}

TEST_F(LogBrokerTest, ATimeThatANodeMadeUpIsNotLaterThanAllTime) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(true));
  FakeStream stream;
  line_seconds = std::numeric_limits<int64_t>::max();
  const auto publisher = Publish(stream, task, "one", false);
  broker.OnPublisherClosed(publisher);
  loop.Advance(absl::Seconds(3));
  ASSERT_THAT(dispatcher.sent, SizeIs(2));
  EXPECT_EQ(std::numeric_limits<int64_t>::max(),
            dispatcher.sent[1].second.options().since_unix_nanos());
}

TEST_F(LogBrokerTest, ReadsNoFurtherFromANodeWhileTheReaderIsSlow) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  auto id = Subscribe(true);
  ASSERT_OK(id);
  sink.room = 1;
  FakeStream stream;
  const auto publisher = Publish(stream, task, "one", false);
  EXPECT_EQ(1, stream.reads);
  Send(publisher, task, "two", false);
  EXPECT_EQ(1, stream.reads);
  sink.room = 10;
  broker.OnDrained(*id);
  EXPECT_EQ(2, stream.reads);
  EXPECT_EQ("two", sink.messages[1].data());
}

// The failure finds a message parked, which then is all that the end waits for.
TEST_F(LogBrokerTest, EndsThoughANodeFailedWhileItsMessageWaitedForTheReader) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  auto id = Subscribe(false);
  ASSERT_OK(id);
  sink.room = 1;
  FakeStream stream;
  const auto publisher = Publish(stream, task, "one", false);
  Send(publisher, task, "two", false);
  v1::LogFailure failure;
  failure.set_subscription_id(dispatcher.sent[0].second.subscription_id());
  failure.set_error("disk on fire");
  broker.OnLogFailure(node, failure);
  EXPECT_FALSE(sink.closed.has_value());
  sink.room = 10;
  broker.OnDrained(*id);
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_OK(*sink.closed);
  EXPECT_EQ(0u, broker.subscriptions());
}

struct FakeStreamEnd : StreamEnd<v1::PublishLogsResponse> {
  void ReadNext() override { ++reads; }
  void Write(v1::PublishLogsResponse) override {}
  void Finish(absl::Status status) override {
    if (!finished.has_value()) finished = std::move(status);
  }
  int reads = 0;
  std::optional<absl::Status> finished;
};

TEST_F(LogBrokerTest, DeliversWhatWaitsForTheReaderThoughItsNodeHasGone) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  auto id = Subscribe(false);
  ASSERT_OK(id);
  sink.room = 0;
  FakeStreamEnd end;
  auto* events = NodePublisher::Open(broker, node, end);
  events->OnMessage(Message(task, "the last words", /*finished=*/true));
  loop.RunUntilIdle();
  events->OnCancelled();
  ASSERT_FALSE(end.finished.has_value());
  EXPECT_EQ(end.reads, 0);
  sink.room = 10;
  broker.OnDrained(*id);
  ASSERT_EQ(end.reads, 1);
  events->OnReadEnd();
  EXPECT_TRUE(end.finished.has_value());
  events->OnClosed();
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(1)) << "and no notice";
  EXPECT_EQ("the last words", sink.messages[0].data());
  EXPECT_TRUE(sink.closed.has_value());
}

TEST_F(LogBrokerTest, EndsTheNodesStreamsWhenTheReaderGoes) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  auto id = Subscribe(true);
  ASSERT_OK(id);
  FakeStream stream;
  const auto publisher = Publish(stream, task, "one", false);
  broker.Unsubscribe(*id);
  ASSERT_TRUE(stream.finished.has_value());
  EXPECT_THAT(*stream.finished, StatusIs(absl::StatusCode::kCancelled));
  broker.OnPublisherClosed(publisher);
}

// F10.
TEST_F(LogBrokerTest, RefusesAStaleFence) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(true));
  FakeStream stream;
  Publish(stream, task, "one", false, /*fence=*/6);
  ASSERT_TRUE(stream.finished.has_value());
  EXPECT_THAT(*stream.finished, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(sink.messages, IsEmpty());
}

// S9.
TEST_F(LogBrokerTest, EndsAStreamThatSaysNothing) {
  FakeStream silent;
  const auto id = broker.OnPublisherOpened(node, silent);
  loop.Advance(LogBroker::kFirstMessage - absl::Seconds(1));
  EXPECT_FALSE(silent.finished.has_value());
  loop.Advance(absl::Seconds(2));
  ASSERT_TRUE(silent.finished.has_value());
  EXPECT_THAT(*silent.finished, StatusIs(absl::StatusCode::kDeadlineExceeded));
  broker.OnPublisherClosed(id);
}

TEST_F(LogBrokerTest, LetsAStreamThatHasBegunTakeItsTime) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(true));
  FakeStream stream;
  Publish(stream, task, "one", false);
  loop.Advance(absl::Minutes(10));
  EXPECT_FALSE(stream.finished.has_value());
}

TEST_F(LogBrokerTest, BoundsTheStreamsOfOneNode) {
  std::vector<FakeStream> streams(LogBroker::kMaxPublishersPerNode + 1);
  std::vector<LogBroker::PublisherId> ids;
  for (FakeStream& stream : streams) ids.push_back(broker.OnPublisherOpened(node, stream));
  EXPECT_FALSE(streams[LogBroker::kMaxPublishersPerNode - 1].finished.has_value());
  ASSERT_TRUE(streams.back().finished.has_value());
  EXPECT_THAT(*streams.back().finished, StatusIs(absl::StatusCode::kResourceExhausted));
  FakeStream other;
  broker.OnPublisherOpened(AddNode("n2", v1::NodeStatus::STATE_READY), other);
  EXPECT_FALSE(other.finished.has_value());
  for (const auto id : ids) broker.OnPublisherClosed(id);
  FakeStream again;
  broker.OnPublisherOpened(node, again);
  EXPECT_FALSE(again.finished.has_value());
}

// S2.
TEST_F(LogBrokerTest, BelievesANodeOnlyAboutTasksThatItWasAskedFor) {
  AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(true));
  FakeStream stream;
  Publish(stream, Id::Make(*random), "forged", false);
  ASSERT_TRUE(stream.finished.has_value());
  EXPECT_THAT(*stream.finished, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(sink.messages, IsEmpty());
}

TEST_F(LogBrokerTest, GivesARequestToItsOwnNodeAlone) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(true));
  node = AddNode("n2", v1::NodeStatus::STATE_READY);
  dispatcher.fences[node] = 7;
  FakeStream stream;
  Publish(stream, task, "forged", false);
  ASSERT_TRUE(stream.finished.has_value());
  EXPECT_THAT(sink.messages, IsEmpty());
}

TEST_F(LogBrokerTest, TellsWhyANodeCannotSend) {
  AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(false));
  v1::LogFailure failure;
  failure.set_subscription_id(dispatcher.sent[0].second.subscription_id());
  failure.set_error("disk on fire");
  broker.OnLogFailure(node, failure);
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_THAT(sink.messages[0].data(), HasSubstr("disk on fire"));
  EXPECT_TRUE(sink.closed.has_value());
}

// Two nodes with a task each; what each sends is ordered, and so is the whole.
class LogOrderTest : public LogBrokerTest {
 protected:
  LogOrderTest() {
    other = AddNode("n2", v1::NodeStatus::STATE_READY);
    dispatcher.fences[other] = 7;
    tasks[node] = AddTask(*web, 1, TaskState::kRunning, node);
    tasks[other] = AddTask(*web, 2, TaskState::kRunning, other);
  }
  void Publish(Id from, FakeStream& stream, std::vector<int64_t> seconds, bool finished) {
    v1::PublishLogsRequest message;
    for (const auto& [to, request] : dispatcher.sent) {
      if (to == from) message.set_subscription_id(request.subscription_id());
    }
    message.set_fence(7);
    for (const int64_t second : seconds) {
      v1::LogMessage& line = *message.add_messages();
      line.set_task_id(tasks[from].ToString());
      line.set_data(StrCat(second));
      line.mutable_timestamp()->set_seconds(second);
    }
    if (finished) message.add_finished_task_ids(tasks[from].ToString());
    if (!publishers.contains(from)) publishers[from] = broker.OnPublisherOpened(from, stream);
    broker.OnPublished(publishers[from], std::move(message));
    loop.RunUntilIdle();
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    for (const v1::LogMessage& message : sink.messages) lines.push_back(message.data());
    return lines;
  }

  Id other;
  std::map<Id, Id> tasks;
  std::map<Id, LogBroker::PublisherId> publishers;
  FakeStream one, two;
};

TEST_F(LogOrderTest, LinesOfAllNodesAreOrderedByTime) {
  ASSERT_OK(Subscribe(false));
  Publish(node, one, {1, 4}, false);
  EXPECT_THAT(sink.messages, IsEmpty()) << "the other may have an older one";
  Publish(other, two, {2, 3, 5}, true);
  Publish(node, one, {6}, true);
  EXPECT_THAT(Lines(), ElementsAre("1", "2", "3", "4", "5", "6"));
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_OK(*sink.closed);
}

TEST_F(LogOrderTest, ANodeThatDoesNotAnswerIsNamedAtTheEndAndHoldsTheOthersForABoundedTime) {
  ASSERT_OK(Subscribe(false));
  Publish(node, one, {1, 2}, true);
  EXPECT_THAT(sink.messages, IsEmpty());
  loop.Advance(LogMerge::kWindow);
  EXPECT_THAT(Lines(), ElementsAre("1", "2"));
  loop.Advance(LogBroker::kAnswerTimeout);
  EXPECT_THAT(Lines(), ElementsAre("1", "2", "node n2 gave no answer: logs of 1 task are missing"));
  ASSERT_TRUE(sink.closed.has_value());
}

// F11: the manager's clock is set while somebody follows.
TEST_F(LogOrderTest, AClockThatIsSetHoldsNoLinesUp) {
  ASSERT_OK(Subscribe(true));
  const int64_t start = absl::ToUnixSeconds(loop.WallNow());
  Publish(node, one, {start}, false);
  Publish(other, two, {start + 1}, false);
  loop.Advance(absl::Seconds(3));
  ASSERT_THAT(sink.messages, SizeIs(2));
  loop.ShiftWallClock(-absl::Hours(1));
  Publish(node, one, {start + 2}, false);  // a node whose clock is right still
  loop.Advance(LogMerge::kFollowWindow);
  EXPECT_THAT(sink.messages, SizeIs(3));
  loop.ShiftWallClock(absl::Hours(2));
  const int64_t now = absl::ToUnixSeconds(loop.WallNow());
  Publish(node, one, {now}, false);
  loop.Advance(LogMerge::kFollowWindow);
  EXPECT_THAT(sink.messages, SizeIs(4));
}

TEST_F(LogOrderTest, AFollowersNoticeThatFoundNoRoomComesBeforeTheNextLines) {
  const auto id = Subscribe(true);
  ASSERT_OK(id);
  sink.room = 1;
  Publish(node, one, {1}, false);
  loop.Advance(LogBroker::kAnswerTimeout);  // of the other, which says nothing
  ASSERT_THAT(Lines(), ElementsAre("1"));
  Publish(node, one, {2}, false);
  sink.room = 10;
  broker.OnDrained(*id);
  EXPECT_THAT(Lines(), ElementsAre("1", "node n2 gave no answer: logs of 1 task are missing", "2"));
}

TEST_F(LogOrderTest, ANodeThatCannotBeReachedIsNamedAfterAllLines) {
  dispatcher.fences.erase(other);
  ASSERT_OK(Subscribe(false));
  sink.room = 2;
  Publish(node, one, {1, 2}, true);
  EXPECT_FALSE(sink.closed.has_value()) << "the last word waits for room too";
  sink.room = 10;
  broker.OnDrained(1);
  EXPECT_THAT(Lines(),
              ElementsAre("1", "2", "node n2 cannot be reached: logs of 1 task are missing"));
  ASSERT_TRUE(sink.closed.has_value());
}

TEST_F(LogBrokerTest, ADriverThatCannotBeReadEndsWithTheReason) {
  v1::ServiceSpec spec = web->spec();
  Revision revision = *store->view().GetRevision(Id::ParseOrZero(web->revision_id()));
  revision.mutable_revision()->mutable_task()->mutable_log_driver()->set_name("none");
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(revision); }));
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  ASSERT_OK(Subscribe(/*follow=*/true));
  ASSERT_THAT(dispatcher.sent, SizeIs(1));
  EXPECT_FALSE(dispatcher.sent[0].second.options().follow()) << "nothing more will come";
  FakeStream stream;
  Publish(stream, task, "swarm-shim: lost 3 lines", true);
  ASSERT_THAT(sink.messages, SizeIs(1));
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_THAT(*sink.closed, StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("log driver none keeps nothing")));
}

TEST_F(LogBrokerTest, DetailsAreOfTheManagersOwnKnowledge) {
  Revision revision = *store->view().GetRevision(Id::ParseOrZero(web->revision_id()));
  v1::TaskSpec& spec = *revision.mutable_revision()->mutable_task();
  (*spec.mutable_log_driver()->mutable_options())["env"] = "REGION";
  spec.mutable_container()->add_env("REGION=eu");
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(revision); }));
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  v1::SubscribeLogsRequest request;
  request.set_service_ref("web");
  request.mutable_options()->set_details(true);
  ASSERT_OK(broker.Subscribe(request, sink));
  loop.RunUntilIdle();
  FakeStream stream;
  Publish(stream, task, "hi", true);
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_EQ("eu", sink.messages[0].attributes().at("REGION"));
}

TEST_F(LogBrokerTest, ReadsOneTaskByItsName) {
  const Id task = AddTask(*web, 2, TaskState::kRunning, node);
  AddTask(*web, 1, TaskState::kRunning, node);
  v1::SubscribeLogsRequest request;
  request.set_task_ref("web.2");
  ASSERT_OK(broker.Subscribe(request, sink));
  loop.RunUntilIdle();
  ASSERT_THAT(dispatcher.sent, SizeIs(1));
  EXPECT_THAT(dispatcher.sent[0].second.task_ids(), ::testing::ElementsAre(task.ToString()));
}

TEST_F(LogBrokerTest, RefusesUnknownServicesAndEmptyRequests) {
  v1::SubscribeLogsRequest request;
  EXPECT_THAT(broker.Subscribe(request, sink), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_service_ref("nope");
  EXPECT_THAT(broker.Subscribe(request, sink), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace swarm::manager
