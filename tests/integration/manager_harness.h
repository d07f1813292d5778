// A manager of its own for each test: temporary folders, ports of the kernel's choice, a loop
// thread; and clients that speak to it over real gRPC.
#ifndef SWARM_TESTS_INTEGRATION_MANAGER_HARNESS_H_
#define SWARM_TESTS_INTEGRATION_MANAGER_HARNESS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/event_loop.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "manager/manager.h"
#include "swarm/v1/control.grpc.pb.h"
#include "swarm/v1/logs.grpc.pb.h"
#include "tests/support/fake_agent.h"

namespace swarm::testing {

// One process's worth of manager. Destroying it stops the manager and keeps the folders.
class RunningManager {
 public:
  static absl::StatusOr<std::unique_ptr<RunningManager>> Start(manager::ManagerOptions options);
  ~RunningManager();

  manager::Manager::Addresses addresses() const { return manager_->addresses(); }
  EventLoop& loop() { return *loop_; }

 private:
  RunningManager() = default;

  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<Random> random_ = MakeSystemRandom();
  std::unique_ptr<RunnableLoop> loop_ = MakeAsioLoop();
  std::unique_ptr<WorkerPool> pool_ = MakeThreadPool("test-pool", 2, 100);
  std::thread thread_;
  std::unique_ptr<manager::Manager> manager_;
};

// Calls with a deadline of 20 s; statuses as Abseil's.
class ControlClient {
 public:
  explicit ControlClient(std::shared_ptr<::grpc::Channel> channel)
      : channel_(channel),
        stub_(v1::Control::NewStub(channel)),
        logs_(v1::Logs::NewStub(channel)) {}

  // client.Call(&v1::Control::Stub::GetCluster, request)
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(::grpc::Status (v1::Control::Stub::*method)(::grpc::ClientContext*,
                                                                            const Request&,
                                                                            Response*),
                                const Request& request) {
    ::grpc::ClientContext context;
    SetDeadline(context);
    Response response;
    absl::Status status = Convert((stub_.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<v1::Service> CreateService(const v1::ServiceSpec& spec,
                                            const std::string& request_id = "");
  absl::StatusOr<v1::Service> UpdateService(const v1::Service& read, const v1::ServiceSpec& spec);
  absl::StatusOr<v1::Service> GetService(const std::string& ref);
  absl::Status DeleteService(const std::string& ref);
  absl::StatusOr<v1::ListTasksResponse> TasksOf(const std::string& service_ref);
  absl::StatusOr<v1::ListNodesResponse> Nodes();
  absl::StatusOr<v1::JoinTokens> Tokens();

  // Calls `condition` now and again after each event, until it is true; DeadlineExceeded after 20
  // s.
  absl::Status WaitFor(const std::function<bool(ControlClient&)>& condition);
  // All lines until the stream ends by itself.
  absl::StatusOr<std::vector<v1::LogMessage>> Logs(const v1::SubscribeLogsRequest& request);

  const std::shared_ptr<::grpc::Channel>& channel() const { return channel_; }
  v1::Control::Stub& stub() { return *stub_; }
  v1::Logs::Stub& logs() { return *logs_; }

  static void SetDeadline(::grpc::ClientContext& context);
  static absl::Status Convert(const ::grpc::Status& status);

 private:
  const std::shared_ptr<::grpc::Channel> channel_;
  const std::unique_ptr<v1::Control::Stub> stub_;
  const std::unique_ptr<v1::Logs::Stub> logs_;
};

// A client at the local socket: an administrator.
ControlClient LocalClient(const RunningManager& manager);
// At the control port with a certificate.
ControlClient TlsClient(const RunningManager& manager, const std::string& root_ca_pem,
                        const std::string& certificate_pem, const std::string& key_pem);

}  // namespace swarm::testing

#endif  // SWARM_TESTS_INTEGRATION_MANAGER_HARNESS_H_
