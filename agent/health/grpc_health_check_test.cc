// The probe against a real gRPC server.
#include "agent/health/grpc_health_check.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/health/prober.h"
#include "common/clock.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/support/host_runtime.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::HostRuntime;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

class Service : public ::grpc::health::v1::Health::Service {
 public:
  ::grpc::Status Check(::grpc::ServerContext*,
                       const ::grpc::health::v1::HealthCheckRequest* request,
                       ::grpc::health::v1::HealthCheckResponse* response) override {
    using Response = ::grpc::health::v1::HealthCheckResponse;
    if (request->service() == "gone") return {::grpc::StatusCode::NOT_FOUND, "no such service"};
    if (request->service() == "broken") return {::grpc::StatusCode::INTERNAL, "it is broken"};
    response->set_status(request->service() == "sick" ? Response::NOT_SERVING : Response::SERVING);
    return ::grpc::Status::OK;
  }
};

class GrpcHealthCheckTest : public ::testing::Test {
 protected:
  void Serve(bool with_service) {
    ::grpc::EnableDefaultHealthCheckService(false);
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", ::grpc::InsecureServerCredentials(), &port_);
    if (with_service) {
      builder.RegisterService(&service_);
    } else {
      builder.RegisterCallbackGenericService(&nothing_);  // says UNIMPLEMENTED to every call
    }
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  absl::StatusOr<std::string> Check(const std::string& service) {
    const auto target = ParseProbeTarget(absl::StrCat(":", port_));
    const ProbeLimits limits{*clock_, clock_->MonotonicNow() + absl::Seconds(30)};
    return GrpcHealthCheck(runtime_, "c", *target, service, limits);
  }
  v1::ProbeResult Probe(const std::string& address) {
    v1::HealthCheck check;
    check.add_test("GRPC");
    check.add_test(address);
    const ProbeLimits limits{*clock_, clock_->MonotonicNow() + absl::Seconds(30)};
    return MakeProbe(runtime_, "c", check, absl::Seconds(30), limits);
  }

  Service service_;
  ::grpc::CallbackGenericService nothing_;
  std::unique_ptr<::grpc::Server> server_;
  int port_ = 0;
  HostRuntime runtime_;
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
};

TEST_F(GrpcHealthCheckTest, SaysWhatTheServerSays) {
  Serve(true);
  EXPECT_EQ(*Check(""), "SERVING");
  EXPECT_EQ(*Check("sick"), "NOT_SERVING");
  EXPECT_EQ(*Check("gone"), "SERVICE_UNKNOWN");
  EXPECT_THAT(Check("broken"),
              StatusIs(absl::StatusCode::kUnavailable, "gRPC status 13: it is broken"));
}

TEST_F(GrpcHealthCheckTest, IsAProbe) {
  Serve(true);
  EXPECT_EQ(Probe(absl::StrCat(":", port_)).exit_code(), 0);
  EXPECT_EQ(Probe(absl::StrCat("127.0.0.1:", port_, "/sick")).exit_code(), 1);
  EXPECT_EQ(Probe(absl::StrCat(":", port_, "/sick")).output(), "NOT_SERVING");
}

TEST_F(GrpcHealthCheckTest, SaysThatTheServiceOrTheServerIsMissing) {
  Serve(false);
  EXPECT_THAT(Check(""), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("no grpc.health.v1.Health service")));
  server_->Shutdown();
  server_.reset();
  EXPECT_THAT(Check(""), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("onnect")));
}

TEST(GrpcHealthCheckBytesTest, AreThoseOfProtobuf) {
  ::grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(300, 's'));
  const std::string framed = EncodeHealthCheckRequest(request.service());
  EXPECT_EQ(framed.substr(5), request.SerializeAsString());
  EXPECT_EQ(framed.substr(0, 5), std::string("\0\0\0\x01\x2f", 5));
  EXPECT_EQ(EncodeHealthCheckRequest(""), std::string(5, '\0'));
  EXPECT_EQ(*DecodeHealthCheckResponse(std::string("\0\0\0\0\x02\x08\x01", 7)), "SERVING");
  EXPECT_EQ(*DecodeHealthCheckResponse(std::string(5, '\0')), "UNKNOWN");
  for (size_t size = 0; size < 7; ++size) {
    if (size == 5) continue;
    EXPECT_FALSE(
        DecodeHealthCheckResponse(std::string("\0\0\0\0\x02\x08\x01", 7).substr(0, size)).ok());
  }
}

}  // namespace
}  // namespace swarm::agent
