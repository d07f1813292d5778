// Server streams whose peers do not read, over real gRPC.
#include <grpcpp/client_context.h>

#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "common/file_system.h"
#include "common/grpc/edge_test_support.h"
#include "gtest/gtest.h"
#include "manager/api/grpc_outbox.h"
#include "swarm/v1/logs.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using swarm::testing::StatusIs;
using Outbox = OutboxReactor<v1::LogMessage>;

TEST(ByteBudgetTest, GivesWhatIsLeftAndTakesItBack) {
  ByteBudget budget(10);
  EXPECT_TRUE(budget.Take(6));
  EXPECT_FALSE(budget.Take(5));
  EXPECT_TRUE(budget.Take(4));
  budget.Overdraw(3);
  budget.Give(9);
  EXPECT_EQ(budget.taken(), 4u);
  EXPECT_TRUE(budget.Take(6));
}

// Hands each stream that is opened to the test.
class Streams : public v1::Logs::CallbackService {
 public:
  struct Opened {
    std::shared_ptr<Outbox> stream;
    std::future<void> done;
  };
  Streams(EventLoop& loop, std::shared_ptr<ByteBudget> budget)
      : loop_(loop), budget_(std::move(budget)) {}
  ::grpc::ServerWriteReactor<v1::LogMessage>* Subscribe(::grpc::CallbackServerContext* context,
                                                        const v1::SubscribeLogsRequest*) override {
    OutboxOptions options{loop_, *context, budget_};
    options.patience_after_error = options.patience = absl::Milliseconds(50);
    auto stream = Outbox::Make(std::move(options));
    auto done = std::make_shared<std::promise<void>>();
    stream->SetHooks([] {}, [done] { done->set_value(); });
    opened_->set_value({stream, done->get_future()});
    return stream.get();
  }
  // Of the next Subscribe.
  std::future<Opened> Next() {
    opened_ = std::make_unique<std::promise<Opened>>();
    return opened_->get_future();
  }

 private:
  EventLoop& loop_;
  const std::shared_ptr<ByteBudget> budget_;
  std::unique_ptr<std::promise<Opened>> opened_;
};

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() {
    char path[] = "/tmp/swarm-outbox-test-XXXXXX";
    folder_ = ::mkdtemp(path);
    thread_ = std::thread([this] { loop_->Run(); });
    edge::UnixSocketOptions at;
    at.path = folder_ + "/s";
    server_ = std::make_unique<edge::TestServer>(
        *edge::ListenUnix(at, {}), edge::LocalServerCredentials(), edge::ServerKind::kLocal,
        std::vector<::grpc::Service*>{&streams_});
    stub_ = v1::Logs::NewStub(edge::MakeChannel(server_->address(), edge::LocalCredentials()));
  }
  ~OutboxTest() override {
    server_.reset();
    loop_->Stop();
    thread_.join();
    RemoveTree(folder_).IgnoreError();
  }
  // A reader that reads nothing until it is told to.
  struct Reader {
    ::grpc::ClientContext context;
    std::unique_ptr<::grpc::ClientReader<v1::LogMessage>> reader;
    Streams::Opened server;
  };
  std::unique_ptr<Reader> Open() {
    auto made = std::make_unique<Reader>();
    auto opened = streams_.Next();
    made->reader = stub_->Subscribe(&made->context, {});
    made->server = opened.get();
    return made;
  }
  static v1::LogMessage Message(size_t bytes) {
    v1::LogMessage message;
    message.set_data(std::string(bytes, 'x'));
    return message;
  }
  // Pushes until a push is refused; how many were taken.
  static int Fill(Outbox& stream, size_t bytes) {
    int taken = 0;
    while (taken < 10'000 && stream.Push(Message(bytes))) ++taken;
    return taken;
  }

  std::unique_ptr<RunnableLoop> loop_ = MakeAsioLoop();
  std::shared_ptr<ByteBudget> budget_ = std::make_shared<ByteBudget>(4 << 20);
  Streams streams_{*loop_, budget_};
  std::string folder_;
  std::unique_ptr<edge::TestServer> server_;
  std::unique_ptr<v1::Logs::Stub> stub_;
  std::thread thread_;
};

TEST_F(OutboxTest, AllStreamsShareTheBudgetAndEachMovesAllTheSame) {
  auto greedy = Open();
  Fill(*greedy->server.stream, 256 << 10);
  EXPECT_LE(budget_->taken(), size_t{4} << 20);
  EXPECT_GT(budget_->taken(), size_t{3} << 20);
  // Far below its own 8 MiB, and yet: what gRPC takes at once, the first in the queue, no more.
  auto late = Open();
  EXPECT_GE(Fill(*late->server.stream, 512 << 10), 1);
  EXPECT_LT(Fill(*late->server.stream, 512 << 10), 8);
  v1::LogMessage message;
  EXPECT_TRUE(late->reader->Read(&message));

  greedy->context.TryCancel();
  late->context.TryCancel();
  greedy->server.done.get();
  late->server.done.get();
  greedy->server.stream.reset();
  late->server.stream.reset();
  EXPECT_EQ(budget_->taken(), 0u);
}

TEST_F(OutboxTest, AReaderThatDoesNotReadIsCutOffAfterTheEnd) {
  auto reader = Open();
  Fill(*reader->server.stream, 256 << 10);
  reader->server.stream->Close(absl::AbortedError("too slow"));
  reader->server.done.get();
  EXPECT_EQ(reader->server.stream->Push(Message(1)), false);
}

TEST_F(OutboxTest, AReaderThatReadsGetsAllOfItAndTheEnd) {
  auto reader = Open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(reader->server.stream->Push(Message(1'000)));
  reader->server.stream->Close(absl::NotFoundError("no more"));
  int read = 0;
  v1::LogMessage message;
  while (reader->reader->Read(&message)) ++read;
  EXPECT_EQ(10, read);
  EXPECT_THAT(edge::FromGrpc(reader->reader->Finish()),
              StatusIs(absl::StatusCode::kNotFound, "no more"));
  reader->server.done.get();
}

}  // namespace
}  // namespace swarm::manager
