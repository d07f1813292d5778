// Sessions and joining over real gRPC, with real certificates and a real loop.
#include "manager/dispatcher/dispatcher_reactor.h"

#include <grpcpp/client_context.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "common/clock.h"
#include "common/grpc/edge_test_support.h"
#include "common/grpc/status.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "gtest/gtest.h"
#include "manager/journal/journal.h"
#include "manager/store/store.h"
#include "swarm/v1/dispatcher.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using edge::MakeChannel;
using edge::TestServer;
using swarm::testing::StatusIs;
using ::testing::HasSubstr;
using Stream = ::grpc::ClientReaderWriter<v1::AgentMessage, v1::ManagerMessage>;

struct Call {
  explicit Call(v1::Dispatcher::Stub& stub) : stream(stub.Session(&context)) {}
  v1::ManagerMessage Next() {
    v1::ManagerMessage message;
    ended = !stream->Read(&message);
    return message;
  }
  absl::Status Finish() {
    v1::ManagerMessage rest;
    while (stream->Read(&rest)) {
    }
    return edge::FromGrpc(stream->Finish());
  }
  ::grpc::ClientContext context;
  std::unique_ptr<Stream> stream;
  bool ended = false;
};

class DispatcherReactorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    thread_ = std::thread([this] { loop_->Run(); });
    OnLoop([this] {
      store_ = *OpenStore(*loop_, *cluster_.clock, *journal_, {});
      dispatcher_ = MakeDispatcher(env_, *store_);
      dispatcher_->Start();
      node_ = AddNode();
    });
    service_ = MakeDispatcherService(*loop_, *dispatcher_, [](auto, const edge::PeerIdentity& p) {
      return p.Has(tls::Role::kClientAdmin) ? absl::PermissionDeniedError("by the table")
                                            : absl::OkStatus();
    });
    auto listener = edge::ListenTcp("127.0.0.1:0", {});
    ASSERT_OK(listener);
    server_ = std::make_unique<TestServer>(
        *std::move(listener),
        edge::MutualTlsServerCredentials(
            std::make_shared<edge::TlsSource>(cluster_.Make(tls::Role::kManager, "m"))),
        edge::ServerKind::kControl, std::vector<::grpc::Service*>{service_.get()});
  }
  void TearDown() override {
    server_.reset();
    OnLoop([this] {
      dispatcher_.reset();
      store_.reset();
    });
    loop_->Stop();
    thread_.join();
  }
  void OnLoop(std::function<void()> work) {
    std::promise<void> done;
    loop_->Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  Id AddNode() {
    Node node;
    const Id id = Id::Make(*random_);
    node.set_id(id.ToString());
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(node); }));
    return id;
  }
  std::unique_ptr<v1::Dispatcher::Stub> Agent(tls::Role role, const std::string& name) {
    return v1::Dispatcher::NewStub(
        MakeChannel(server_->address(), edge::MutualTlsCredentials(cluster_.Make(role, name))));
  }
  static v1::AgentMessage Hello(uint64_t held, const std::string& instance = "i") {
    v1::AgentMessage message;
    message.mutable_hello()->set_protocol(1);
    message.mutable_hello()->set_held_fence(held);
    message.mutable_hello()->set_instance(instance);
    return message;
  }
  static v1::AgentMessage Confirm(uint64_t fence) {
    v1::AgentMessage message;
    message.set_fence(fence);
    message.mutable_confirm();
    return message;
  }
  // Hello to the complete assignment; the fence.
  uint64_t Begin(Call& call, uint64_t held = 0, const std::string& instance = "i") {
    EXPECT_TRUE(call.stream->Write(Hello(held, instance)));
    const v1::ManagerMessage welcome = call.Next();
    EXPECT_TRUE(welcome.has_welcome()) << welcome.ShortDebugString();
    EXPECT_TRUE(call.stream->Write(Confirm(welcome.welcome().fence())));
    // Either may come first.
    const v1::ManagerMessage messages[] = {call.Next(), call.Next()};
    const bool ack_first = messages[0].has_status_ack();
    EXPECT_TRUE(messages[ack_first ? 0 : 1].has_status_ack());
    EXPECT_TRUE(messages[ack_first ? 1 : 0].has_assignment());
    return welcome.welcome().fence();
  }

  edge::TestCluster cluster_;
  std::unique_ptr<RunnableLoop> loop_ = MakeAsioLoop();
  std::unique_ptr<Random> random_ = MakeSystemRandom();
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{*loop_, *cluster_.clock, *random_, *pool_};
  std::unique_ptr<MemoryJournal> journal_ = std::make_unique<MemoryJournal>(*loop_);
  std::unique_ptr<Store> store_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<::grpc::Service> service_;
  std::unique_ptr<TestServer> server_;
  std::thread thread_;
  Id node_;
};

TEST_F(DispatcherReactorTest, ASessionOverMutualTlsRunsFromHelloToGoodbye) {
  auto stub = Agent(tls::Role::kWorker, node_.ToString());
  Call call(*stub);
  const uint64_t fence = Begin(call);
  v1::AgentMessage batch;
  batch.set_fence(fence);
  batch.mutable_statuses()->set_sequence(5);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(call.stream->Write(batch));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(call.Next().status_ack().sequence(), 5u);
  OnLoop([&] {
    EXPECT_EQ(store_->view().GetNode(node_)->status().state(), v1::NodeStatus::STATE_READY);
    EXPECT_EQ(store_->view().GetNode(node_)->status().addr(), "127.0.0.1");
  });
  v1::AgentMessage bye;
  bye.set_fence(fence);
  bye.mutable_leaving();
  ASSERT_TRUE(call.stream->Write(bye));
  EXPECT_OK(call.Finish());
  OnLoop([&] {
    EXPECT_EQ(store_->view().GetNode(node_)->status().state(), v1::NodeStatus::STATE_DOWN);
  });
}

// Of contents one message is in the stream at a time: each comes because the last was written.
TEST_F(DispatcherReactorTest, ContentsOfManyMessagesComeOneAfterTheOther) {
  OnLoop([&] {
    const Id revision_id = Id::Make(*random_), service = Id::Make(*random_);
    ASSERT_OK(store_->Update([&](WriteTx& tx) {
      Revision revision;
      revision.mutable_revision()->set_id(revision_id.ToString());
      revision.mutable_revision()->set_service_id(service.ToString());
      for (int i = 0; i < 5; ++i) {
        Config config;
        config.set_id(Id::Make(*random_).ToString());
        config.mutable_spec()->set_name(StrCat("c", i));
        config.mutable_spec()->set_data(std::string(400 << 10, 'x'));
        revision.mutable_revision()
            ->mutable_task()
            ->mutable_container()
            ->add_configs()
            ->set_config_id(config.id());
        RETURN_IF_ERROR(tx.Put(config));
      }
      return tx.Put(revision);
    }));
    Task task;
    task.id = Id::Make(*random_);
    task.node_id = node_;
    task.service_id = service;
    task.revision = store_->view().GetRevision(revision_id);
    task.state = TaskState::kAssigned;
    ASSERT_OK(store_->Update([&](WriteTx& tx) {
      tx.Put(task);
      return absl::OkStatus();
    }));
  });
  auto stub = Agent(tls::Role::kWorker, node_.ToString());
  Call call(*stub);
  Begin(call);
  for (int i = 1; i < 5; ++i) {
    const v1::ManagerMessage next = call.Next();
    EXPECT_EQ(next.assignment().configs_size(), 1);
    EXPECT_EQ(next.assignment().tasks_size(), i == 4 ? 1 : 0);
  }
}

TEST_F(DispatcherReactorTest, S1OnlyANodesCertificateOpensASession) {
  auto viewer = Agent(tls::Role::kClientViewer, "eyes");
  EXPECT_THAT(Call(*viewer).Finish(), StatusIs(absl::StatusCode::kPermissionDenied,
                                               HasSubstr("only a node's own certificate")));
  auto admin = Agent(tls::Role::kClientAdmin, "ops");
  EXPECT_THAT(Call(*admin).Finish(), StatusIs(absl::StatusCode::kPermissionDenied, "by the table"));
  auto odd = Agent(tls::Role::kWorker, "not-an-id");
  EXPECT_THAT(Call(*odd).Finish(), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(DispatcherReactorTest, F10ACloneIsToldThatItIsFenced) {
  auto stub = Agent(tls::Role::kWorker, node_.ToString());
  auto other = Agent(tls::Role::kWorker, node_.ToString());
  Call first(*stub);
  const uint64_t fence = Begin(first);
  Call clone(*other);
  ASSERT_TRUE(clone.stream->Write(Hello(fence, "clone")));
  const v1::ManagerMessage probe = first.Next();
  ASSERT_TRUE(probe.has_probe());
  v1::AgentMessage alive;
  alive.set_fence(fence);
  alive.mutable_probe_reply()->set_nonce(probe.probe().nonce());
  ASSERT_TRUE(first.stream->Write(alive));
  EXPECT_THAT(clone.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fenced")));
  first.context.TryCancel();
  first.Finish().IgnoreError();
}

TEST_F(DispatcherReactorTest, ARemovedNodeGetsTheMessageBeforeTheEnd) {
  auto stub = Agent(tls::Role::kWorker, node_.ToString());
  Call call(*stub);
  Begin(call);
  OnLoop([&] {
    ASSERT_OK(store_->Update([&](WriteTx& tx) {
      tx.RemoveNode(node_);
      return absl::OkStatus();
    }));
  });
  EXPECT_TRUE(call.Next().has_removed());
  EXPECT_THAT(call.Finish(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("removed")));
}

TEST_F(DispatcherReactorTest, AnAgentThatDoesNotReadIsCutOff) {
  auto stub = Agent(tls::Role::kWorker, node_.ToString());
  Call call(*stub);
  Begin(call);
  // More than flow control lets through, so that the last write never ends by itself.
  v1::ManagerMessage large;
  large.mutable_log_request()->set_subscription_id(std::string(1 << 20, 'x'));
  bool full = false;
  OnLoop([&] {
    for (int i = 0; i < 200 && !full; ++i) full = !dispatcher_->SendToNode(node_, large);
  });
  EXPECT_TRUE(full);
  v1::AgentMessage wrong;
  wrong.mutable_heartbeat();
  ASSERT_TRUE(call.stream->Write(wrong));  // ends the session, which cannot flush
  // Cut off: writes fail once the call is cancelled from the other side.
  while (call.stream->Write(wrong)) {
  }
  OnLoop([&] { EXPECT_FALSE(dispatcher_->SendToNode(node_, v1::ManagerMessage())); });
}

TEST_F(DispatcherReactorTest, ManyAgentsComeAndGoAndTheServerEndsCleanly) {
  std::vector<Id> nodes;
  OnLoop([&] {
    for (int i = 0; i < 8; ++i) nodes.push_back(AddNode());
  });
  std::atomic<int> sessions = 0;
  std::vector<std::thread> threads;
  for (const Id& node : nodes) {
    threads.emplace_back([&, node] {
      uint64_t fence = 0;
      for (int round = 0; round < 5; ++round) {
        auto stub = Agent(tls::Role::kWorker, node.ToString());
        Call call(*stub);
        fence = Begin(call, fence, "same");
        ++sessions;
        if (round % 2 == 0) call.context.TryCancel();
        if (round % 2 == 1) call.stream->WritesDone();
        call.Finish().IgnoreError();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(sessions, 40);
  // And one that is open while the server goes.
  auto stub = Agent(tls::Role::kWorker, node_.ToString());
  Call call(*stub);
  Begin(call);
  server_.reset();
  EXPECT_FALSE(call.Finish().ok());
}

}  // namespace
}  // namespace swarm::manager
