#include "manager/api/call_broker.h"

#include <deque>
#include <optional>

#include "common/strings.h"
#include "manager/api/stats_broker.h"
#include "tests/support/api_world.h"
#include "tests/support/silent_dispatcher.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;
using Kind = v1::ContainerInput::KindCase;

class FakeDispatcher : public SilentDispatcher {
 public:
  bool SendToNode(Id node, v1::ManagerMessage message) override {
    if (!fences.contains(node)) return false;
    asked.emplace_back(node, message.open_stream());
    return true;
  }
  void SetStreamFailureHandler(StreamFailureHandler handler) override {
    failed = std::move(handler);
  }

  std::vector<std::pair<Id, v1::OpenStream>> asked;
  StreamFailureHandler failed;
};

// Takes each message when the test says so.
template <typename Out>
struct FakeEnd : StreamEnd<Out> {
  void ReadNext() override { ++reads; }
  void Write(Out message) override {
    EXPECT_FALSE(writing) << "one at a time";
    writing = true;
    written.push_back(std::move(message));
  }
  void Finish(absl::Status status) override {
    if (!finished.has_value()) finished = std::move(status);
  }
  int reads = 0;
  bool writing = false;
  std::vector<Out> written;
  std::optional<absl::Status> finished;
};

class CallBrokerTest : public ::testing::Test, public ApiWorld {
 protected:
  CallBrokerTest() {
    streams.Start();
    node = AddNode("n1", v1::NodeStatus::STATE_READY);
    dispatcher.fences[node] = 7;
    web = AddService("web", 2);
  }
  ~CallBrokerTest() override {
    for (auto* events : open) events->OnClosed();
  }

  static v1::ContainerInput Exec(const std::string& ref, uint64_t slot = 0) {
    v1::ContainerInput input;
    input.mutable_exec()->mutable_task()->set_ref(ref);
    input.mutable_exec()->mutable_task()->set_slot(slot);
    input.mutable_exec()->add_args("true");
    return input;
  }
  StreamEvents<v1::ContainerInput>* Call(v1::ContainerInput start, Kind kind = Kind::kExec) {
    auto* events = broker.OnOpened(kind, caller);
    open.push_back(events);
    events->OnMessage(std::move(start));
    return events;
  }
  StreamEvents<v1::ServeRequest>* Dial(Id from, uint64_t fence = 7) {
    return Dial(from, server, fence);
  }
  StreamEvents<v1::ServeRequest>* Dial(Id from, FakeEnd<v1::ContainerInput>& end,
                                       uint64_t fence = 7) {
    auto* events = streams.OnOpened(from, end);
    v1::ServeRequest first;
    first.set_stream_id(dispatcher.asked.back().second.stream_id());
    first.set_fence(fence);
    events->OnMessage(first);
    return events;
  }
  static v1::ServeRequest Look(Id task) {
    v1::ServeRequest look;
    look.mutable_output()->mutable_stats()->add_tasks()->set_task_id(task.ToString());
    return look;
  }
  static v1::ServeRequest Output(const std::string& text) {
    v1::ServeRequest request;
    request.mutable_output()->set_out(text);
    return request;
  }
  void SetNodeState(v1::NodeStatus::State state) {
    Node changed = *store->view().GetNode(node);
    changed.mutable_status()->set_state(state);
    ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(std::move(changed)); }));
  }
  template <typename Out, typename Events>
  static void Taken(FakeEnd<Out>& end, Events* events) {
    ASSERT_TRUE(end.writing);
    end.writing = false;
    events->OnWritten();
  }

  FakeDispatcher dispatcher;
  NodeStreams streams{env, *store, dispatcher};
  CallBroker broker{env, *store, streams};
  StatsBroker stats{env, *store, streams};
  FakeEnd<v1::ContainerOutput> caller;
  FakeEnd<v1::ContainerInput> server;
  std::vector<StreamEvents<v1::ContainerInput>*> open;
  Id node;
  Ref<Service> web;
};

TEST_F(CallBrokerTest, JoinsACallerWithTheNodeThatRunsTheTask) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  auto* call = Call(Exec("web"));
  ASSERT_THAT(dispatcher.asked, SizeIs(1));
  EXPECT_EQ(dispatcher.asked[0].first, node);
  EXPECT_EQ(dispatcher.asked[0].second.task_id(), task.ToString());
  auto* dialled = Dial(node);
  ASSERT_THAT(server.written, SizeIs(1));
  EXPECT_EQ(server.written[0].exec().task().ref(), task.ToString());
  Taken(server, dialled);
  ASSERT_THAT(caller.written, SizeIs(1));
  EXPECT_EQ(caller.written[0].started().task_name(), "web.1");
  EXPECT_EQ(caller.written[0].started().node_hostname(), "n1");
  Taken(caller, call);
  v1::ContainerInput data;
  data.set_data("in");
  call->OnMessage(data);
  EXPECT_EQ(server.written.back().data(), "in");
  dialled->OnMessage(Output("out"));
  EXPECT_EQ(caller.written.back().out(), "out");
  Taken(caller, call);
  v1::ServeRequest exited;
  exited.mutable_output()->mutable_exited()->set_exit_code(3);
  dialled->OnMessage(exited);
  EXPECT_FALSE(caller.finished.has_value()) << "not before the code is on its way";
  Taken(caller, call);
  ASSERT_TRUE(caller.finished.has_value());
  EXPECT_OK(*caller.finished);
  EXPECT_TRUE(server.finished.has_value());
  EXPECT_EQ(streams.streams(), 0u);
}

// No memory of ours grows: the next message is read when the last was taken.
TEST_F(CallBrokerTest, EachSideHoldsTheOtherUp) {
  AddTask(*web, 1, TaskState::kRunning, node);
  auto* call = Call(Exec("web"));
  auto* dialled = Dial(node);
  EXPECT_EQ(caller.reads, 0) << "the node has not taken what to do";
  Taken(server, dialled);
  EXPECT_EQ(caller.reads, 1);
  Taken(caller, call);
  const int reads = server.reads;
  dialled->OnMessage(Output("one"));
  EXPECT_EQ(server.reads, reads);
  Taken(caller, call);
  EXPECT_EQ(server.reads, reads + 1);
  v1::ContainerInput data;
  data.set_data("in");
  call->OnMessage(data);
  EXPECT_EQ(caller.reads, 1);
  Taken(server, dialled);
  EXPECT_EQ(caller.reads, 2);
}

// A terminal takes each end for a Ctrl-D of its own.
TEST_F(CallBrokerTest, TellsTheNodeOnceThatTheInputHasEnded) {
  AddTask(*web, 1, TaskState::kRunning, node);
  auto* call = Call(Exec("web"));
  auto* dialled = Dial(node);
  Taken(server, dialled);
  Taken(caller, call);
  call->OnReadEnd();
  ASSERT_THAT(server.written, SizeIs(2));
  EXPECT_TRUE(server.written[1].has_end());
  const int reads = caller.reads;
  Taken(server, dialled);
  EXPECT_EQ(caller.reads, reads) << "an ended stream that is read says so for ever";
  call->OnCancelled();

  caller = {};
  server = {};
  call = Call(Exec("web"));
  dialled = Dial(node);
  Taken(server, dialled);
  v1::ContainerInput end;
  end.mutable_end();
  call->OnMessage(end);
  Taken(server, dialled);
  call->OnReadEnd();
  EXPECT_THAT(server.written, SizeIs(2));
}

TEST_F(CallBrokerTest, ACallerThatGoesTakesTheNodesStreamAlong) {
  AddTask(*web, 1, TaskState::kRunning, node);
  auto* call = Call(Exec("web"));
  Dial(node);
  call->OnCancelled();
  EXPECT_TRUE(server.finished.has_value());
  EXPECT_EQ(streams.streams(), 0u);
}

TEST_F(CallBrokerTest, SaysWhenTheNodeGoesOrCannotOrDoesNotCome) {
  AddTask(*web, 1, TaskState::kRunning, node);
  Call(Exec("web"));
  Dial(node)->OnCancelled();
  EXPECT_THAT(*caller.finished,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("node n1 broke the stream off")));
  caller = {};
  Call(Exec("web"));
  v1::StreamFailure failure;
  failure.set_stream_id(dispatcher.asked.back().second.stream_id());
  failure.set_error("the task is not there");
  dispatcher.failed(Id::Make(*random), failure);
  EXPECT_FALSE(caller.finished.has_value()) << "another node's word counts nothing (S2)";
  dispatcher.failed(node, failure);
  EXPECT_THAT(*caller.finished,
              StatusIs(absl::StatusCode::kUnavailable, "node n1: the task is not there"));
  caller = {};
  Call(Exec("web"));
  loop.Advance(NodeStreams::kDialTimeout + absl::Seconds(1));
  EXPECT_THAT(*caller.finished,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("node n1 did not answer")));
}

TEST_F(CallBrokerTest, HandsTheNodesRefusalOn) {
  AddTask(*web, 1, TaskState::kRunning, node);
  Call(Exec("web"));
  auto* dialled = Dial(node);
  v1::ServeRequest refusal;
  refusal.mutable_output()->mutable_failure()->set_code(9);
  refusal.mutable_output()->mutable_failure()->set_message("the container does not run");
  dialled->OnMessage(refusal);
  EXPECT_THAT(*caller.finished,
              StatusIs(absl::StatusCode::kFailedPrecondition, "the container does not run"));
}

// F10, S2.
TEST_F(CallBrokerTest, BelievesTheRightNodeUnderItsCurrentFenceAlone) {
  AddTask(*web, 1, TaskState::kRunning, node);
  Call(Exec("web"));
  Dial(node, /*fence=*/6);
  EXPECT_THAT(*server.finished, StatusIs(absl::StatusCode::kPermissionDenied));
  server = {};
  const Id other = AddNode("n2", v1::NodeStatus::STATE_READY);
  dispatcher.fences[other] = 7;
  Dial(other);
  EXPECT_THAT(*server.finished, StatusIs(absl::StatusCode::kCancelled));
  server = {};
  Dial(node);
  EXPECT_FALSE(server.finished.has_value());
}

TEST_F(CallBrokerTest, FindsTheTaskThatIsMeantOrSaysWhatIsWrong) {
  const auto why = [&](v1::ContainerInput start) {
    caller = {};
    Call(std::move(start));
    return caller.finished.value_or(absl::OkStatus());
  };
  EXPECT_THAT(why(Exec("nope")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(why(Exec("web")),
              StatusIs(absl::StatusCode::kFailedPrecondition, "service web has no running task"));
  AddTask(*web, 1, TaskState::kPending);
  EXPECT_THAT(why(Exec("web.1")), StatusIs(absl::StatusCode::kFailedPrecondition,
                                           "task web.1 is not running: it is PENDING"));
  const Id second = AddTask(*web, 2, TaskState::kRunning, node);
  EXPECT_OK(why(Exec("web")));
  EXPECT_EQ(dispatcher.asked.back().second.task_id(), second.ToString());
  EXPECT_OK(why(Exec("web", 2)));
  EXPECT_OK(why(Exec(second.ToString())));
  EXPECT_THAT(why(Exec("web", 1)), StatusIs(absl::StatusCode::kFailedPrecondition,
                                            "service web has no running task in slot 1"));
  v1::ContainerInput empty = Exec("web");
  empty.mutable_exec()->clear_args();
  EXPECT_THAT(why(empty), StatusIs(absl::StatusCode::kInvalidArgument));
  v1::ContainerInput text = Exec("web");
  text.mutable_exec()->add_args(std::string("a\0b", 3));
  EXPECT_THAT(why(text),
              StatusIs(absl::StatusCode::kInvalidArgument, "exec.args[1]: holds a NUL byte"));
  text = Exec("web");
  text.mutable_exec()->add_env("=x");
  EXPECT_THAT(why(text), StatusIs(absl::StatusCode::kInvalidArgument,
                                  "exec.env[0]: \"=x\" is not NAME=value"));
  v1::ContainerInput copy;
  copy.mutable_copy_from()->mutable_task()->set_ref("web");
  EXPECT_THAT(why(copy), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another kind")));
  dispatcher.fences.clear();
  EXPECT_THAT(why(Exec("web")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("node n1 has no session")));
  SetNodeState(v1::NodeStatus::STATE_DOWN);
  EXPECT_THAT(why(Exec("web")), StatusIs(absl::StatusCode::kUnavailable, "node n1 is DOWN"));
}

TEST_F(CallBrokerTest, RefusesWhatIsTooLargeOrMakesNoSense) {
  AddTask(*web, 1, TaskState::kRunning, node);
  auto* call = Call(Exec("web"));
  Taken(server, Dial(node));
  v1::ContainerInput big;
  big.set_data(std::string(CallBroker::kMaxData + 1, 'x'));
  call->OnMessage(big);
  EXPECT_THAT(*caller.finished, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("256 KiB")));
  EXPECT_TRUE(server.finished.has_value());
}

TEST_F(CallBrokerTest, BoundsWhatANodeServes) {
  AddTask(*web, 1, TaskState::kRunning, node);
  for (size_t i = 0; i < NodeStreams::kMaxPerNode; ++i) Call(Exec("web"));
  EXPECT_FALSE(caller.finished.has_value());
  Call(Exec("web"));
  EXPECT_THAT(*caller.finished, StatusIs(absl::StatusCode::kResourceExhausted));
}

// However many look at statistics, calls find room.
TEST_F(CallBrokerTest, StatsTakeHalfOfANodesStreamsAtMost) {
  AddTask(*web, 1, TaskState::kRunning, node);
  std::deque<FakeEnd<v1::StatsResponse>> readers(NodeStreams::kMaxPerNode + 1);
  std::vector<StreamEvents<v1::StatsRequest>*> reading;
  v1::StatsRequest request;
  request.add_refs("web");
  for (auto& reader : readers) {
    reading.push_back(stats.OnOpened(reader));
    reading.back()->OnMessage(request);
  }
  EXPECT_EQ(streams.streams(), NodeStreams::kMaxPerNode / 2);
  for (size_t i = 0; i < NodeStreams::kMaxPerNode / 2; ++i) Call(Exec("web"));
  EXPECT_FALSE(caller.finished.has_value()) << *caller.finished;
  EXPECT_EQ(streams.streams(), NodeStreams::kMaxPerNode);
  for (auto* events : reading) events->OnClosed();
}

TEST_F(CallBrokerTest, StatsTakeHalfOfAllStreamsAtMost) {
  for (size_t i = 0; i < NodeStreams::kMaxStreams / 2 + 10; ++i) {
    const Id one = AddNode(StrCat("s", i), v1::NodeStatus::STATE_READY);
    dispatcher.fences[one] = 7;
    AddTask(*web, static_cast<uint32_t>(i + 2), TaskState::kRunning, one);
  }
  FakeEnd<v1::StatsResponse> reader;
  auto* events = stats.OnOpened(reader);
  v1::StatsRequest request;
  request.add_refs("web");
  request.set_period_ms(200);
  events->OnMessage(request);
  EXPECT_EQ(streams.streams(), NodeStreams::kMaxStreams / 2);
  AddTask(*web, 1, TaskState::kRunning, node);
  Call(Exec("web", 1));
  EXPECT_FALSE(caller.finished.has_value()) << *caller.finished;
  // So many tasks are not walked five times a second.
  loop.Advance(absl::Milliseconds(900));
  EXPECT_THAT(reader.written, IsEmpty());
  loop.Advance(absl::Milliseconds(200));
  EXPECT_THAT(reader.written, SizeIs(1));
  events->OnClosed();
}

TEST_F(CallBrokerTest, StatsLookAtSoManyTasksOfAServiceAndAtTheNamedOnesAlways) {
  const Id last = AddTask(*web, 60'000, TaskState::kRunning, node);
  const Id named = AddTask(*web, 60'001, TaskState::kRunning, node);
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    for (uint32_t i = 0; i < StatsBroker::kMaxWalked; ++i) {
      Task ended = *store->view().GetTask(last);
      ended.id = Id::Make(*random);
      ended.slot = i + 1;
      ended.state = TaskState::kFailed;
      tx.Put(std::move(ended));
    }
    return absl::OkStatus();
  }));
  FakeEnd<v1::StatsResponse> reader;
  auto* events = stats.OnOpened(reader);
  v1::StatsRequest request;
  request.add_refs("web");
  request.add_refs(named.ToString());
  events->OnMessage(request);
  Dial(node);
  ASSERT_THAT(server.written, SizeIs(1));
  EXPECT_THAT(server.written[0].stats().task_ids(), ElementsAre(named.ToString()));
  loop.Advance(StatsBroker::kDefaultPeriod);
  ASSERT_THAT(reader.written, SizeIs(1));
  EXPECT_THAT(reader.written[0].notices(),
              ElementsAre("too many tasks: statistics are of 1 of them, others are missing"));
  events->OnClosed();
}

TEST_F(CallBrokerTest, StatsSayThatTasksAboveTheMostAreLeftOut) {
  const Id first = AddTask(*web, 1, TaskState::kRunning, node);
  Id last;
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    for (uint32_t i = 1; i <= StatsBroker::kMaxTasks; ++i) {
      Task more = *store->view().GetTask(first);
      more.id = last = Id::Make(*random);
      more.slot = i + 1;
      tx.Put(std::move(more));
    }
    return absl::OkStatus();
  }));
  FakeEnd<v1::StatsResponse> reader;
  auto* events = stats.OnOpened(reader);
  v1::StatsRequest request;
  request.add_refs("web");
  events->OnMessage(request);
  auto* dialled = Dial(node);
  ASSERT_THAT(server.written, SizeIs(1));
  EXPECT_THAT(server.written[0].stats().task_ids(), SizeIs(StatsBroker::kMaxTasks));
  dialled->OnMessage(Look(first));
  ASSERT_THAT(reader.written, SizeIs(1));
  EXPECT_THAT(reader.written[0].notices(),
              ElementsAre("too many tasks: statistics are of 2000 of them, others are missing"));
  Taken(reader, events);
  SetState(last, TaskState::kFailed);  // the most are left, and all are looked at
  loop.Advance(StatsBroker::kDefaultPeriod);
  loop.Advance(StatsBroker::kDefaultPeriod);
  EXPECT_THAT(reader.written.back().notices(), IsEmpty());
  events->OnClosed();
}

TEST_F(CallBrokerTest, ANodeIsReadAsOftenAsItIsAskedAndNoHugeLookIsKept) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  FakeEnd<v1::StatsResponse> reader;
  auto* events = stats.OnOpened(reader);
  v1::StatsRequest request;
  request.add_refs("web");
  events->OnMessage(request);
  auto* dialled = Dial(node);
  ASSERT_EQ(server.reads, 1);
  v1::ServeRequest look;
  v1::TaskStats& of = *look.mutable_output()->mutable_stats()->add_tasks();
  of.set_task_id(task.ToString());
  of.add_pressure()->set_resource(std::string(StatsBroker::kMaxLookBytes, 'x'));
  dialled->OnMessage(look);
  ASSERT_THAT(reader.written, SizeIs(1));
  EXPECT_THAT(reader.written[0].tasks(), IsEmpty());
  EXPECT_THAT(reader.written[0].notices(),
              ElementsAre("what nodes say is above 16384 bytes a task: statistics of 1 task are "
                          "missing"));
  EXPECT_EQ(server.reads, 2) << "one that is early does not wait";
  dialled->OnMessage(look);
  EXPECT_EQ(server.reads, 2) << "but no more in this period";
  loop.Advance(StatsBroker::kDefaultPeriod);
  EXPECT_EQ(server.reads, 3);
  loop.Advance(StatsBroker::kDefaultPeriod);
  EXPECT_EQ(server.reads, 3) << "a read is out";
  events->OnClosed();
}

TEST_F(CallBrokerTest, StatsNameANodeThatCannotBeReachedUntilItAnswers) {
  const Id down = AddNode("n2", v1::NodeStatus::STATE_DOWN);
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  const Id other = AddTask(*web, 2, TaskState::kRunning, down);
  AddTask(*web, 3, TaskState::kRunning, down);
  FakeEnd<v1::StatsResponse> reader;
  auto* events = stats.OnOpened(reader);
  v1::StatsRequest request;
  request.add_refs("web");
  events->OnMessage(request);
  auto* dialled = Dial(node);
  dialled->OnMessage(Look(task));
  ASSERT_THAT(reader.written, SizeIs(1));
  EXPECT_THAT(reader.written[0].tasks(), SizeIs(1));
  EXPECT_THAT(reader.written[0].notices(),
              ElementsAre("node n2 is DOWN: statistics of 2 tasks are missing"));
  Taken(reader, events);
  dispatcher.fences[down] = 7;
  loop.Advance(StatsBroker::kDefaultPeriod);
  FakeEnd<v1::ContainerInput> back;
  auto* dialled_back = Dial(down, back);
  dialled_back->OnMessage(Look(other));
  dialled->OnMessage(Look(task));
  ASSERT_THAT(reader.written, SizeIs(2));
  EXPECT_THAT(reader.written[1].tasks(), SizeIs(2));
  EXPECT_THAT(reader.written[1].notices(), IsEmpty()) << "it has answered, if not about all";
  events->OnClosed();
}

TEST_F(CallBrokerTest, StatsNameANodeThatGivesNoAnswerAfterSomePatience) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  FakeEnd<v1::StatsResponse> reader;
  auto* events = stats.OnOpened(reader);
  v1::StatsRequest request;
  request.add_refs("web");
  events->OnMessage(request);
  auto* dialled = Dial(node);
  const auto notices = [&] {
    const size_t before = reader.written.size();
    loop.Advance(StatsBroker::kDefaultPeriod);
    EXPECT_THAT(reader.written, SizeIs(before + 1));
    Taken(reader, events);
    const auto& said = reader.written.back().notices();
    return std::vector<std::string>(said.begin(), said.end());
  };
  EXPECT_THAT(notices(), IsEmpty()) << "it may be on its way";
  EXPECT_THAT(notices(), ElementsAre("node n1 gave no answer: statistics of 1 task are missing"));
  dialled->OnMessage(Look(task));
  EXPECT_THAT(reader.written.back().notices(), IsEmpty());
  Taken(reader, events);
  loop.Advance(StatsBroker::kDefaultPeriod);
  // Why it ends, in the node's own words: as much of them as is taken, and a message can hold.
  const std::string end(503, 'x');
  v1::ServeRequest failed;
  failed.mutable_output()->mutable_failure()->set_code(8);
  failed.mutable_output()->mutable_failure()->set_message("too\nmany" + end + "é");
  dialled->OnMessage(failed);
  EXPECT_THAT(notices(), ElementsAre("node n1: too\\nmany" + end +
                                     "\uFFFD: statistics of 1 task are missing"));
  EXPECT_THAT(dispatcher.asked, SizeIs(2)) << "it is asked again";
  EXPECT_THAT(notices(), SizeIs(1)) << "and has not answered yet";
  events->OnClosed();
}

TEST_F(CallBrokerTest, StatsFollowTheTasksOfAServiceAndNameThem) {
  const Id task = AddTask(*web, 1, TaskState::kRunning, node);
  FakeEnd<v1::StatsResponse> reader;
  auto* events = stats.OnOpened(reader);
  v1::StatsRequest request;
  request.add_refs("web");
  events->OnMessage(request);
  auto* dialled = Dial(node);
  ASSERT_THAT(server.written, SizeIs(1));
  EXPECT_THAT(server.written[0].stats().task_ids(), ElementsAre(task.ToString()));
  Taken(server, dialled);
  v1::ServeRequest look = Look(task);
  look.mutable_output()->mutable_stats()->add_tasks()->set_task_id(Id::Make(*random).ToString());
  dialled->OnMessage(look);
  ASSERT_THAT(reader.written, SizeIs(1)) << "all nodes have answered";
  ASSERT_THAT(reader.written[0].tasks(), SizeIs(1)) << "only of what was asked (S2)";
  EXPECT_EQ(reader.written[0].tasks(0).task_name(), "web.1");
  Taken(reader, events);
  // A task more, and a slow reader misses looks.
  const Id second = AddTask(*web, 2, TaskState::kRunning, node);
  loop.Advance(StatsBroker::kDefaultPeriod);
  EXPECT_THAT(server.written.back().stats().task_ids(), SizeIs(2));
  Taken(server, dialled);
  dialled->OnMessage(look);
  ASSERT_THAT(reader.written, SizeIs(2));
  loop.Advance(StatsBroker::kDefaultPeriod);
  dialled->OnMessage(look);
  loop.Advance(StatsBroker::kDefaultPeriod);
  EXPECT_THAT(reader.written, SizeIs(2));
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    tx.RemoveTask(task);
    tx.RemoveTask(second);
    tx.RemoveService(Id::ParseOrZero(web->id()));
    return absl::OkStatus();
  }));
  loop.Advance(StatsBroker::kDefaultPeriod);
  ASSERT_TRUE(reader.finished.has_value());
  EXPECT_OK(*reader.finished);
  EXPECT_TRUE(server.finished.has_value());
  events->OnClosed();
}

}  // namespace
}  // namespace swarm::manager
