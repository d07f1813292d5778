#include "tests/integration/manager_harness.h"

#include <chrono>
#include <utility>

#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/grpc/status.h"
#include "common/status_macros.h"

namespace swarm::testing {
namespace {

// Before any channel or server of this program.
const bool kGrpcIsReady = [] {
  edge::InitGrpcForTls13();
  return true;
}();

}  // namespace

absl::StatusOr<std::unique_ptr<RunningManager>> RunningManager::Start(
    manager::ManagerOptions options) {
  std::unique_ptr<RunningManager> running(new RunningManager);
  running->thread_ = std::thread([loop = running->loop_.get()] { loop->Run(); });
  const manager::Env env{*running->loop_, *running->clock_, *running->random_, *running->pool_};
  ASSIGN_OR_RETURN(running->manager_,
                   manager::Manager::Start(std::move(options), env, [](absl::Status) {}));
  return running;
}

RunningManager::~RunningManager() {
  if (manager_ != nullptr) manager_->Stop();
  manager_.reset();
  pool_.reset();
  loop_->Stop();
  thread_.join();
}

void ControlClient::SetDeadline(::grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
}

absl::Status ControlClient::Convert(const ::grpc::Status& status) { return edge::FromGrpc(status); }

absl::StatusOr<v1::Service> ControlClient::CreateService(const v1::ServiceSpec& spec,
                                                         const std::string& request_id) {
  v1::CreateServiceRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(request_id);
  ASSIGN_OR_RETURN(v1::CreateServiceResponse response,
                   Call(&v1::Control::Stub::CreateService, request));
  return response.service();
}

absl::StatusOr<v1::Service> ControlClient::UpdateService(const v1::Service& read,
                                                         const v1::ServiceSpec& spec) {
  v1::UpdateServiceRequest request;
  request.set_ref(read.id());
  request.set_version(read.meta().version());
  *request.mutable_spec() = spec;
  ASSIGN_OR_RETURN(v1::UpdateServiceResponse response,
                   Call(&v1::Control::Stub::UpdateService, request));
  return response.service();
}

absl::StatusOr<v1::Service> ControlClient::GetService(const std::string& ref) {
  v1::GetServiceRequest request;
  request.set_ref(ref);
  return Call(&v1::Control::Stub::GetService, request);
}

absl::Status ControlClient::DeleteService(const std::string& ref) {
  v1::DeleteServiceRequest request;
  request.set_ref(ref);
  return Call(&v1::Control::Stub::DeleteService, request).status();
}

absl::StatusOr<v1::ListTasksResponse> ControlClient::TasksOf(const std::string& service_ref) {
  v1::ListTasksRequest request;
  request.set_service_ref(service_ref);
  return Call(&v1::Control::Stub::ListTasks, request);
}

absl::StatusOr<v1::ListNodesResponse> ControlClient::Nodes() {
  return Call(&v1::Control::Stub::ListNodes, v1::ListNodesRequest());
}

absl::StatusOr<v1::JoinTokens> ControlClient::Tokens() {
  return Call(&v1::Control::Stub::GetJoinTokens, v1::GetJoinTokensRequest());
}

absl::Status ControlClient::WaitFor(const std::function<bool(ControlClient&)>& condition) {
  ::grpc::ClientContext context;
  SetDeadline(context);
  auto stream = stub_->Watch(&context, v1::WatchRequest());
  v1::WatchEvent event;
  while (stream->Read(&event)) {
    if (!condition(*this)) continue;
    context.TryCancel();
    stream->Finish();
    return absl::OkStatus();
  }
  return Convert(stream->Finish());
}

absl::StatusOr<std::vector<v1::LogMessage>> ControlClient::Logs(
    const v1::SubscribeLogsRequest& request) {
  ::grpc::ClientContext context;
  SetDeadline(context);
  auto stream = logs_->Subscribe(&context, request);
  std::vector<v1::LogMessage> messages;
  v1::LogMessage message;
  while (stream->Read(&message)) messages.push_back(message);
  RETURN_IF_ERROR(Convert(stream->Finish()));
  return messages;
}

ControlClient LocalClient(const RunningManager& manager) {
  return ControlClient(edge::MakeChannel(manager.addresses().socket, edge::LocalCredentials()));
}

ControlClient TlsClient(const RunningManager& manager, const std::string& root_ca_pem,
                        const std::string& certificate_pem, const std::string& key_pem) {
  return ControlClient(
      edge::MakeChannel(manager.addresses().control,
                        edge::MutualTlsCredentials({root_ca_pem, certificate_pem, key_pem})));
}

}  // namespace swarm::testing
