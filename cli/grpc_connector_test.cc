// The clients against a real gRPC server on a socket: streams that end, wait, are cancelled and are
// dropped half way, and daemons that are not there.
#include "cli/grpc_connector.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "cli/errors.h"
#include "cli/grpc_call.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "swarm/v1/control.grpc.pb.h"
#include "swarm/v1/node_local.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

class ControlServer : public v1::Control::Service {
 public:
  ::grpc::Status GetService(::grpc::ServerContext*, const v1::GetServiceRequest* request,
                            v1::Service* response) override {
    if (request->ref() == "gone") return {::grpc::StatusCode::NOT_FOUND, "service gone"};
    response->set_id(request->ref());
    return ::grpc::Status::OK;
  }

  // Takes its time, so that several are under way; refuses "bad".
  ::grpc::Status CreateService(::grpc::ServerContext*, const v1::CreateServiceRequest* request,
                               v1::CreateServiceResponse* response) override {
    most_at_once = std::max(most_at_once.load(), ++at_once);
    // Not before another is here, or the first was alone.
    for (int i = 0; i < 1000 && at_once < 2; ++i) std::this_thread::yield();
    most_at_once = std::max(most_at_once.load(), at_once.load());
    --at_once;
    if (request->spec().name() == "bad") return {::grpc::StatusCode::INVALID_ARGUMENT, "bad"};
    response->mutable_service()->set_id(request->spec().name());
    return ::grpc::Status::OK;
  }

  // As many events as the version to resume from says, then an end, an error or silence.
  ::grpc::Status Watch(::grpc::ServerContext* context, const v1::WatchRequest* request,
                       ::grpc::ServerWriter<v1::WatchEvent>* writer) override {
    for (uint64_t i = 1; i <= request->resume_from_version(); ++i) {
      v1::WatchEvent event;
      event.set_version(i);
      writer->Write(event);
    }
    if (request->service_id() == "end") return ::grpc::Status::OK;
    if (request->service_id() == "error") return {::grpc::StatusCode::ABORTED, "too slow"};
    waiting = true;
    waiting.notify_all();
    while (!context->IsCancelled()) {
      std::this_thread::yield();
    }
    cancelled = true;
    cancelled.notify_all();
    return ::grpc::Status::CANCELLED;
  }

  std::atomic<int> at_once = 0;
  std::atomic<int> most_at_once = 0;
  std::atomic<bool> waiting = false;
  std::atomic<bool> cancelled = false;
};

class NodeServer : public v1::NodeLocal::Service {
 public:
  ::grpc::Status LoadImage(::grpc::ServerContext*,
                           ::grpc::ServerReader<v1::LoadImageRequest>* reader,
                           v1::LoadImageResponse* response) override {
    v1::LoadImageRequest request;
    size_t bytes = 0;
    std::string name;
    while (reader->Read(&request)) {
      if (name.empty()) name = request.reference();
      bytes += request.data().size();
      if (request.data() == "bad") return {::grpc::StatusCode::INVALID_ARGUMENT, "no archive"};
    }
    response->add_images()->add_references(StrCat(name, ":", bytes));
    return ::grpc::Status::OK;
  }
};

class GrpcConnectorTest : public ::testing::Test {
 protected:
  GrpcConnectorTest() {
    std::string folder = ::testing::TempDir() + "/cliXXXXXX";
    folder_ = ::mkdtemp(folder.data());
    socket_ = folder_ + "/s";
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, ::grpc::InsecureServerCredentials());
    builder.RegisterService(&control_);
    builder.RegisterService(&node_);
    server_ = builder.BuildAndStart();
    connector_ = MakeGrpcConnector(interrupt_);
  }
  ~GrpcConnectorTest() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<ManagerClient> Manager() {
    auto manager = connector_->Manager({"unix:" + socket_, "", "", ""}, absl::ZeroDuration());
    EXPECT_THAT(manager, IsOk());
    return *std::move(manager);
  }

  std::string folder_;
  std::string socket_;
  ControlServer control_;
  NodeServer node_;
  std::unique_ptr<::grpc::Server> server_;
  Interrupt interrupt_;
  std::unique_ptr<Connector> connector_;
};

v1::WatchRequest Watching(uint64_t events, const std::string& then) {
  v1::WatchRequest request;
  request.set_resume_from_version(events);
  request.set_service_id(then);
  return request;
}

TEST_F(GrpcConnectorTest, CallsGiveTheAnswerOrTheDaemonsOwnError) {
  const auto manager = Manager();
  v1::GetServiceRequest request;
  request.set_ref("web");
  EXPECT_EQ(manager->GetService(request)->id(), "web");
  request.set_ref("gone");
  EXPECT_THAT(manager->GetService(request), StatusIs(absl::StatusCode::kNotFound, "service gone"));
}

TEST_F(GrpcConnectorTest, ManyCallsAreUnderWayAtOnceAndNoneIsBegunAfterOneThatFailed) {
  const auto manager = Manager();
  std::vector<v1::CreateServiceRequest> requests(500);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].mutable_spec()->set_name(StrCat("s", i));
  }
  std::vector<size_t> begun;
  const auto begin = [&](size_t i) { begun.push_back(i); };
  auto answers = manager->CreateServices(requests, begin);
  ASSERT_EQ(begun.size(), 500u);
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(begun[i], i);
    ASSERT_THAT(answers[i], IsOk());
    EXPECT_EQ(answers[i]->service().id(), StrCat("s", i));
  }
  EXPECT_GT(control_.most_at_once, 1);

  requests[40].mutable_spec()->set_name("bad");
  begun.clear();
  answers = manager->CreateServices(requests, begin);
  EXPECT_THAT(answers[40], StatusIs(absl::StatusCode::kInvalidArgument, "bad"));
  EXPECT_THAT(answers[39], IsOk());  // what was under way ends as it would have
  EXPECT_LT(begun.size(), 500u);
  EXPECT_THAT(answers[499], StatusIs(absl::StatusCode::kCancelled, "not sent"));

  interrupt_.Trigger();
  answers = manager->CreateServices(requests, begin);
  EXPECT_EQ(ExitCodeOf(answers[0].status()), kExitInterrupted);
  EXPECT_TRUE(manager->CreateServices({}, begin).empty());
}

TEST_F(GrpcConnectorTest, AStreamGivesItsMessagesThenItsEnd) {
  const auto manager = Manager();
  const auto stream = manager->Watch(Watching(3, "end"), /*patient=*/false);
  for (uint64_t i = 1; i <= 3; ++i) {
    const auto event = stream->Next(absl::InfiniteDuration());
    ASSERT_OK(event);
    EXPECT_EQ((*event)->version(), i);
  }
  EXPECT_THAT(stream->Next(absl::InfiniteDuration()), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(stream->Next(absl::InfiniteDuration()), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(
      manager->Watch(Watching(0, "error"), /*patient=*/false)->Next(absl::InfiniteDuration()),
      StatusIs(absl::StatusCode::kAborted, "too slow"));
}

TEST_F(GrpcConnectorTest, WaitingForNothingEndsAtTheTimeoutAndTheStreamGoesOn) {
  const auto manager = Manager();
  const auto stream = manager->Watch(Watching(1, ""), /*patient=*/false);
  EXPECT_TRUE((*stream->Next(absl::InfiniteDuration())).has_value());
  EXPECT_FALSE((*stream->Next(absl::Milliseconds(1))).has_value());
  EXPECT_FALSE((*stream->Next(absl::ZeroDuration())).has_value());
}

TEST_F(GrpcConnectorTest, DroppingAStreamCancelsItsCall) {
  const auto manager = Manager();
  auto stream = manager->Watch(Watching(1, ""), /*patient=*/false);
  EXPECT_TRUE((*stream->Next(absl::InfiniteDuration())).has_value());
  control_.waiting.wait(false);
  stream.reset();
  control_.cancelled.wait(false);
  // One that was never read, with everything still under way.
  manager->Watch(Watching(5, ""), /*patient=*/false).reset();
}

TEST_F(GrpcConnectorTest, InterruptEndsAWaitingStreamAndEveryCallAfterIt) {
  const auto manager = Manager();
  const auto stream = manager->Watch(Watching(0, ""), /*patient=*/false);
  std::thread thread([this] {
    control_.waiting.wait(false);
    interrupt_.Trigger();
  });
  const auto event = stream->Next(absl::InfiniteDuration());
  thread.join();
  EXPECT_EQ(ExitCodeOf(event.status()), kExitInterrupted);
  EXPECT_EQ(ExitCodeOf(manager->GetService({}).status()), kExitInterrupted);
}

TEST_F(GrpcConnectorTest, ImagesAreSentInPieces) {
  auto node = connector_->Node(socket_);
  ASSERT_OK(node);
  int pieces = 3;
  const auto loaded = (*node)->LoadImage("name", [&]() -> absl::StatusOr<std::string> {
    return pieces-- > 0 ? std::string(1 << 20, 'x') : std::string();
  });
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->images(0).references(0), "name:3145728");
  EXPECT_THAT((*node)->LoadImage("name", [] { return absl::StatusOr<std::string>("bad"); }),
              StatusIs(absl::StatusCode::kInvalidArgument, "no archive"));
  EXPECT_THAT((*node)->LoadImage(
                  "name", [] { return absl::StatusOr<std::string>(absl::DataLossError("disk")); }),
              StatusIs(absl::StatusCode::kDataLoss, "disk"));
}

TEST_F(GrpcConnectorTest, WhatADaemonSaysOfAnotherIsNotTakenForItsOwnAbsence) {
  const Callee callee{"the node daemon", "start it"};
  const auto said = [&](const std::string& message) {
    return FromCall({::grpc::StatusCode::UNAVAILABLE, message}, callee, interrupt_);
  };
  EXPECT_THAT(said("Socket closed"), StatusIs(absl::StatusCode::kUnavailable,
                                              "cannot reach the node daemon: Socket closed; "
                                              "start it"));
  EXPECT_THAT(said("swarm-manager: Socket closed"),
              StatusIs(absl::StatusCode::kUnavailable, "swarm-manager: Socket closed"));
}

TEST_F(GrpcConnectorTest, DaemonsThatAreNotThereAreNamedWithWhatHelps) {
  EXPECT_THAT(connector_->Node(folder_ + "/none"),
              StatusIs(absl::StatusCode::kUnavailable,
                       StrCat("cannot reach the node daemon at ", folder_,
                              "/none: is swarm-agent running? try: systemctl start swarm-agent")));
  EXPECT_THAT(connector_->Manager({"unix:" + folder_ + "/none", "", "", ""}, absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("swarmctl info tells")));
  EXPECT_THAT(connector_->Node(std::string(200, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too long")));
}

TEST_F(GrpcConnectorTest, AManagerThatIsAboutToListenIsWaitedForUntilCtrlC) {
  const ManagerTarget later{"unix:" + folder_ + "/later", "", "", ""};
  std::thread starts([&] { std::filesystem::create_symlink(socket_, folder_ + "/later"); });
  EXPECT_THAT(connector_->Manager(later, absl::InfiniteDuration()), IsOk());
  starts.join();
  interrupt_.Trigger();
  EXPECT_EQ(
      ExitCodeOf(
          connector_->Manager({"unix:" + folder_ + "/none", "", "", ""}, absl::InfiniteDuration())
              .status()),
      kExitInterrupted);
}

}  // namespace
}  // namespace swarm::cli
