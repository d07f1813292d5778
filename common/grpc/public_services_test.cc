// Health and reflection as a standard client sees them.
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/client_context.h>

#include <set>
#include <thread>

#include "common/grpc/edge_test_support.h"
#include "common/grpc/health.h"
#include "common/grpc/reflection.h"
#include "common/grpc/status.h"
#include "common/strings.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::edge {
namespace {

using ::grpc::health::v1::Health;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using swarm::testing::StatusIs;

class PublicServicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = ListenTcp("127.0.0.1:0", {});
    ASSERT_OK(listener);
    listener_ = *std::move(listener);
    ::grpc::ServerBuilder builder;
    ConfigureServer(builder, ServerKind::kControl);
    listener_->AttachTo(
        builder,
        ServerTlsCredentials(std::make_shared<TlsSource>(cluster_.Make(tls::Role::kManager, "m"))));
    builder.RegisterService(&health_->service());
    reflection_->RegisterOn(builder);
    server_ = builder.BuildAndStart();
    listener_->Start();
    channel_ = MakeChannel(listener_->address(),
                           PinnedRootCredentials(cluster_.authority.certificate_pem));
    stub_ = Health::NewStub(channel_);
  }
  void TearDown() override {
    listener_->Stop();
    ShutdownServer(*server_, absl::ZeroDuration());
  }
  absl::StatusOr<HealthCheckResponse::ServingStatus> Check(const std::string& name) {
    ::grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(name);
    HealthCheckResponse response;
    absl::Status status = FromGrpc(stub_->Check(&context, request, &response));
    if (!status.ok()) return status;
    return response.status();
  }

  TestCluster cluster_;
  std::unique_ptr<HealthService> health_ = MakeHealthService();
  std::unique_ptr<ReflectionService> reflection_ = MakeReflectionService({"grpc.health.v1.Health"});
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<::grpc::Server> server_;
  std::shared_ptr<::grpc::Channel> channel_;
  std::unique_ptr<Health::Stub> stub_;
};

struct WatchCall {
  WatchCall(Health::Stub& stub, const std::string& name) {
    HealthCheckRequest request;
    request.set_service(name);
    reader = stub.Watch(&context, request);
  }
  HealthCheckResponse::ServingStatus Next() {
    HealthCheckResponse response;
    return reader->Read(&response) ? response.status() : HealthCheckResponse::UNKNOWN;
  }
  ::grpc::ClientContext context;
  std::unique_ptr<::grpc::ClientReader<HealthCheckResponse>> reader;
};

TEST_F(PublicServicesTest, CheckKnowsWhatWasSetAndForgetsWhatWasForgotten) {
  EXPECT_THAT(Check("service/web"), StatusIs(absl::StatusCode::kNotFound));
  health_->Set("service/web", true);
  EXPECT_EQ(*Check("service/web"), HealthCheckResponse::SERVING);
  health_->Set("service/web", false);
  EXPECT_EQ(*Check("service/web"), HealthCheckResponse::NOT_SERVING);
  health_->Forget("service/web");
  EXPECT_THAT(Check("service/web"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PublicServicesTest, WatchTellsEachChangeOnce) {
  WatchCall watch(*stub_, "a");
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  health_->Set("a", true);
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVING);
  health_->Set("a", true);
  health_->Set("b", false);
  health_->Set("a", false);
  EXPECT_EQ(watch.Next(), HealthCheckResponse::NOT_SERVING);
  health_->Forget("a");
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  watch.context.TryCancel();
  EXPECT_EQ(watch.reader->Finish().error_code(), ::grpc::StatusCode::CANCELLED);
}

TEST_F(PublicServicesTest, ASlowWatcherSkipsToTheNewest) {
  WatchCall watch(*stub_, "a");
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  for (int i = 0; i < 2'000; ++i) health_->Set("a", i % 2 == 0);
  health_->Forget("a");
  health_->Set("a", true);
  health_->Set("b", true);
  WatchCall mark(*stub_, "b");
  EXPECT_EQ(mark.Next(), HealthCheckResponse::SERVING);
  int reads = 0;
  health_->SetAllNotServing();
  while (watch.Next() != HealthCheckResponse::NOT_SERVING ||
         *Check("a") != HealthCheckResponse::NOT_SERVING) {
    ASSERT_LT(++reads, 2'000);
  }
  watch.context.TryCancel();
  mark.context.TryCancel();
}

TEST_F(PublicServicesTest, WatchersAreBounded) {
  std::vector<std::unique_ptr<WatchCall>> watches;
  // A connection carries 1000 streams: one more needs a second one.
  auto other = Health::NewStub(
      MakeChannel(listener_->address(), PinnedRootCredentials(cluster_.authority.certificate_pem)));
  for (size_t i = 0; i < HealthService::kMaxWatchers; ++i) {
    watches.push_back(std::make_unique<WatchCall>(i % 2 == 0 ? *stub_ : *other, "a"));
    ASSERT_EQ(watches.back()->Next(), HealthCheckResponse::SERVICE_UNKNOWN) << i;
  }
  WatchCall extra(*stub_, "a");
  EXPECT_EQ(extra.Next(), HealthCheckResponse::UNKNOWN);
  EXPECT_THAT(FromGrpc(extra.reader->Finish()), StatusIs(absl::StatusCode::kResourceExhausted));
  for (auto& watch : watches) watch->context.TryCancel();
  for (auto& watch : watches) watch->reader->Finish();
  // Places come back; each try waits for an answer of the server.
  while (true) {
    WatchCall again(*stub_, "a");
    if (again.Next() == HealthCheckResponse::SERVICE_UNKNOWN) {
      again.context.TryCancel();
      break;
    }
  }
}

TEST_F(PublicServicesTest, WatchersComeAndGoWhileNamesChange) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 50; ++i) {
        WatchCall watch(*stub_, "a");
        watch.Next();
        watch.context.TryCancel();
        watch.reader->Finish();
      }
    });
  }
  for (int i = 0; i < 3'000; ++i) health_->Set("a", i % 2 == 0);
  for (auto& thread : threads) thread.join();
}

namespace v1 = ::grpc::reflection::v1;
namespace v1alpha = ::grpc::reflection::v1alpha;

template <typename Stub, typename Request, typename Response>
Response Reflect(Stub& stub, const Request& request) {
  ::grpc::ClientContext context;
  auto stream = stub.ServerReflectionInfo(&context);
  EXPECT_TRUE(stream->Write(request));
  Response response;
  EXPECT_TRUE(stream->Read(&response));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  return response;
}

TEST_F(PublicServicesTest, ReflectionListsWhatIsServed) {
  auto stub = v1::ServerReflection::NewStub(channel_);
  v1::ServerReflectionRequest request;
  request.set_list_services("*");
  const auto response = Reflect<v1::ServerReflection::Stub, v1::ServerReflectionRequest,
                                v1::ServerReflectionResponse>(*stub, request);
  std::set<std::string> names;
  for (const auto& service : response.list_services_response().service()) {
    names.insert(service.name());
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                   "grpc.reflection.v1alpha.ServerReflection"}));
}

TEST_F(PublicServicesTest, ReflectionShowsFilesOfServedSymbolsAndNothingElse) {
  auto stub = v1alpha::ServerReflection::NewStub(channel_);
  auto ask = [&](const std::string& symbol) {
    v1alpha::ServerReflectionRequest request;
    request.set_file_containing_symbol(symbol);
    return Reflect<v1alpha::ServerReflection::Stub, v1alpha::ServerReflectionRequest,
                   v1alpha::ServerReflectionResponse>(*stub, request);
  };
  const auto health = ask("grpc.health.v1.Health.Check");
  ASSERT_EQ(health.file_descriptor_response().file_descriptor_proto_size(), 1);
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(file.ParseFromString(health.file_descriptor_response().file_descriptor_proto(0)));
  EXPECT_EQ(file.name(), "grpc/health/v1/health.proto");
  EXPECT_EQ(ask("no.such.Thing").error_response().error_code(), ::grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ask("google.protobuf.FileDescriptorProto").error_response().error_code(),
            ::grpc::StatusCode::NOT_FOUND)
      << "linked in, and not served";
}

}  // namespace
}  // namespace swarm::edge
