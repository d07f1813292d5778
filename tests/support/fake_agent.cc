#include "tests/support/fake_agent.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "common/clock.h"
#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/grpc/status.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/certificates.h"
#include "common/tls/join_token.h"
#include "common/tls/root_fetch.h"
#include "swarm/v1/ca.grpc.pb.h"
#include "swarm/v1/dispatcher.grpc.pb.h"
#include "swarm/v1/logs.grpc.pb.h"

namespace swarm::testing {
namespace {

using Stream = ::grpc::ClientReaderWriter<v1::AgentMessage, v1::ManagerMessage>;

class GrpcFakeAgent final : public FakeAgent {
 public:
  GrpcFakeAgent(AgentIdentity identity, Options options)
      : identity_(std::move(identity)),
        options_(std::move(options)),
        channel_(edge::MakeChannel(
            options_.control_addr,
            edge::MutualTlsCredentials(
                {identity_.root_ca_pem, identity_.certificate_pem, identity_.key_pem}),
            {.min_reconnect = absl::Milliseconds(50), .max_reconnect = absl::Milliseconds(200)})) {
    sessions_ = std::thread([this] { RunSessions(); });
    heart_ = std::thread([this] { Beat(); });
  }
  ~GrpcFakeAgent() override { Stop(); }

  void Stop() override {
    {
      std::lock_guard lock(mu_);
      stopped_ = true;
      if (context_ != nullptr) context_->TryCancel();
      for (::grpc::ClientContext* context : publishing_) context->TryCancel();
      changed_.notify_all();
    }
    if (sessions_.joinable()) sessions_.join();
    if (heart_.joinable()) heart_.join();
    std::vector<std::thread> publishers;
    {
      std::lock_guard lock(mu_);
      publishers.swap(publishers_);
    }
    for (std::thread& publisher : publishers) publisher.join();
  }

  State state() const override {
    std::lock_guard lock(mu_);
    return state_;
  }
  bool WaitUntil(const std::function<bool(const State&)>& condition) override {
    std::unique_lock lock(mu_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return condition(state_); });
  }
  void Exit(const std::string& task_id, int exit_code) override {
    std::lock_guard lock(mu_);
    if (state_.running.erase(task_id) == 0) return;
    v1::TaskStatus status;
    status.set_state(exit_code == 0 ? v1::TaskStatus::STATE_COMPLETE
                                    : v1::TaskStatus::STATE_FAILED);
    status.mutable_container()->set_exit_code(exit_code);
    if (exit_code != 0) status.set_error(StrCat("exit code ", exit_code));
    Report(task_id, status);
    changed_.notify_all();
  }

 private:
  void RunSessions() {
    while (true) {
      ::grpc::ClientContext context;
      {
        std::unique_lock lock(mu_);
        if (stopped_ || state_.removed) return;
        context_ = &context;
        ++state_.sessions;
      }
      auto stub = v1::Dispatcher::NewStub(channel_);
      auto stream = stub->Session(&context);
      RunSession(*stream);
      const ::grpc::Status end = stream->Finish();
      std::unique_lock lock(mu_);
      context_ = nullptr;
      stream_ = nullptr;
      state_.connected = false;
      state_.last_end = edge::FromGrpc(end);
      changed_.notify_all();
      changed_.wait_for(lock, std::chrono::milliseconds(50), [this] { return stopped_; });
    }
  }

  void RunSession(Stream& stream) {
    v1::AgentMessage hello;
    {
      std::lock_guard lock(mu_);
      FillHello(*hello.mutable_hello());
    }
    if (!stream.Write(hello)) return;
    v1::ManagerMessage message;
    while (stream.Read(&message)) {
      std::lock_guard lock(mu_);
      Handle(stream, message);
      changed_.notify_all();
    }
  }

  void FillHello(v1::Hello& hello) {
    hello.set_protocol(1);
    hello.set_held_fence(state_.fence);
    hello.set_boot_id(StrCat("boot-of-", identity_.node_id));
    hello.set_instance(StrCat("instance-of-", identity_.node_id));
    v1::NodeDescription& description = *hello.mutable_description();
    description.set_hostname(options_.hostname);
    description.mutable_platform()->set_os("linux");
    description.mutable_platform()->set_architecture("amd64");
    description.mutable_resources()->set_nano_cpus(64'000'000'000);
    description.mutable_resources()->set_memory_bytes(int64_t{64} << 30);
    for (const auto& [name, digest] : options_.images) {
      v1::NodeImage& image = *description.add_images();
      image.set_reference(name);
      image.set_digest(digest);
      image.mutable_loaded_at()->set_seconds(1'700'000'000);
    }
    for (const auto& [task, revision] : state_.running) {
      v1::TaskReport& report = *hello.add_tasks();
      report.set_task_id(task);
      report.mutable_status()->set_state(v1::TaskStatus::STATE_RUNNING);
      report.mutable_status()->mutable_container()->set_pid(4242);
    }
  }

  // The rest with mu_ held. The stream's reader is in Read only while it is not here; writes are
  // made under the lock, one at a time.
  void Handle(Stream& stream, const v1::ManagerMessage& message) {
    switch (message.kind_case()) {
      case v1::ManagerMessage::kWelcome: {
        state_.fence = message.welcome().fence();
        stream_ = &stream;
        v1::AgentMessage confirm;
        confirm.mutable_confirm();
        Send(confirm);
        state_.connected = true;
        return;
      }
      case v1::ManagerMessage::kAssignment:
        return Assign(message.assignment());
      case v1::ManagerMessage::kLogRequest:
        publishers_.emplace_back([this, request = message.log_request(), fence = state_.fence] {
          Publish(request, fence);
        });
        return;
      case v1::ManagerMessage::kProbe: {
        v1::AgentMessage reply;
        reply.mutable_probe_reply()->set_nonce(message.probe().nonce());
        return Send(reply);
      }
      case v1::ManagerMessage::kRemoved:
        state_.removed = true;
        state_.running.clear();
        return;
      default:
        return;
    }
  }

  void Assign(const v1::Assignment& assignment) {
    if (assignment.kind() == v1::Assignment::KIND_COMPLETE) {
      for (const auto& task : assignment.tasks()) complete_.insert(task.task_id());
    }
    for (const auto& revision : assignment.revisions()) {
      state_.images[revision.id()] =
          StrCat(revision.image_reference(), "@", revision.image_digest());
    }
    for (const auto& task : assignment.tasks()) Obey(task);
    for (const auto& task : assignment.removed_tasks()) state_.running.erase(task);
    Learn(assignment);
    if (assignment.kind() != v1::Assignment::KIND_COMPLETE || assignment.more()) return;
    std::erase_if(state_.running,
                  [&](const auto& task) { return !complete_.contains(task.first); });
    complete_.clear();
  }

  void Learn(const v1::Assignment& assignment) {
    for (const auto& network : assignment.networks().networks()) {
      state_.networks.insert(network.network().spec().name());
      network_names_[network.network().id()] = network.network().spec().name();
    }
    for (const auto& id : assignment.networks().removed_networks()) {
      state_.networks.erase(network_names_[id]);
    }
    for (const auto& member : assignment.networks().members()) {
      state_.serving[member.task_id()] = member.serving();
    }
    for (const auto& member : assignment.networks().removed_members()) {
      state_.serving.erase(member.id());
    }
    if (!assignment.has_networks() || assignment.more()) return;
    v1::AgentMessage message;
    message.mutable_applied()->set_sequence(assignment.sequence());
    Send(message);
  }

  void Obey(const v1::TaskAssignment& task) {
    const bool running = state_.running.contains(task.task_id());
    v1::TaskStatus status;
    if (task.desired_state() == v1::TaskStatus::STATE_RUNNING) {
      if (running) return;
      state_.running[task.task_id()] = task.revision_id();
      status.set_state(v1::TaskStatus::STATE_RUNNING);
      status.mutable_container()->set_pid(4242);
      return Report(task.task_id(), status);
    }
    if (task.desired_state() == v1::TaskStatus::STATE_READY) {
      status.set_state(v1::TaskStatus::STATE_READY);
      return Report(task.task_id(), status);
    }
    state_.running.erase(task.task_id());
    status.set_state(v1::TaskStatus::STATE_SHUTDOWN);
    Report(task.task_id(), status);
    if (task.desired_state() < v1::TaskStatus::STATE_REMOVE) return;
    status.set_state(v1::TaskStatus::STATE_REMOVE);
    Report(task.task_id(), status);
  }

  void Report(const std::string& task_id, const v1::TaskStatus& status) {
    v1::AgentMessage message;
    message.mutable_statuses()->set_sequence(++sequence_);
    v1::TaskReport& report = *message.mutable_statuses()->add_tasks();
    report.set_task_id(task_id);
    *report.mutable_status() = status;
    Send(message);
  }

  void Send(v1::AgentMessage& message) {
    if (stream_ == nullptr) return;
    message.set_fence(state_.fence);
    stream_->Write(message);
  }

  void Beat() {
    std::unique_lock lock(mu_);
    while (!stopped_) {
      changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.heartbeat),
                        [this] { return stopped_; });
      v1::AgentMessage heartbeat;
      heartbeat.mutable_heartbeat();
      if (state_.connected) Send(heartbeat);
    }
  }

  void Publish(const v1::LogRequest& request, uint64_t fence) {
    ::grpc::ClientContext context;
    {
      std::lock_guard lock(mu_);
      if (stopped_) return;
      publishing_.insert(&context);
    }
    v1::PublishLogsResponse response;
    auto stub = v1::LogPublisher::NewStub(channel_);
    auto stream = stub->Publish(&context, &response);
    v1::PublishLogsRequest message;
    message.set_subscription_id(request.subscription_id());
    message.set_fence(fence);
    for (const std::string& task : request.task_ids()) {
      v1::LogMessage& line = *message.add_messages();
      line.set_task_id(task);
      line.set_stream(v1::LogMessage::STREAM_STDOUT);
      line.set_data(StrCat("hello from ", task));
      line.mutable_timestamp()->set_seconds(1'700'000'000);
      if (!request.options().follow()) message.add_finished_task_ids(task);
    }
    stream->Write(message);
    // A follower's stream stays open until the manager ends it.
    if (!request.options().follow()) stream->WritesDone();
    stream->Finish();
    std::lock_guard lock(mu_);
    publishing_.erase(&context);
  }

  const AgentIdentity identity_;
  const Options options_;
  const std::shared_ptr<::grpc::Channel> channel_;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  State state_;
  bool stopped_ = false;
  ::grpc::ClientContext* context_ = nullptr;
  Stream* stream_ = nullptr;  // once it was welcomed
  uint64_t sequence_ = 0;
  std::set<std::string> complete_;  // of a complete assignment that is still coming
  std::map<std::string, std::string> network_names_;  // by id
  std::set<::grpc::ClientContext*> publishing_;
  std::vector<std::thread> publishers_;
  std::thread sessions_;
  std::thread heart_;
};

}  // namespace

absl::StatusOr<AgentIdentity> FakeAgent::Join(const std::string& join_addr,
                                              const std::string& token) {
  ASSIGN_OR_RETURN(tls::JoinToken parsed, tls::JoinToken::Parse(token));
  auto clock = MakeSystemClock();
  ASSIGN_OR_RETURN(tls::FetchedRoot root,
                   tls::FetchRootCertificate(join_addr, parsed, *clock, absl::Seconds(5)));
  AgentIdentity identity;
  ASSIGN_OR_RETURN(identity.key_pem, tls::MakeKeyPem());
  v1::IssueNodeCertificateRequest request;
  request.set_token(token);
  ASSIGN_OR_RETURN(*request.mutable_csr_pem(), tls::MakeCsrPem(identity.key_pem));
  auto channel = edge::MakeChannel(join_addr, edge::PinnedRootCredentials(root.root_ca_pem));
  ::grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::IssueNodeCertificateResponse response;
  ::grpc::Status issued = v1::CertificateAuthority::NewStub(channel)->IssueNodeCertificate(
      &context, request, &response);
  RETURN_IF_ERROR(edge::FromGrpc(issued));
  identity.node_id = response.node_id();
  identity.certificate_pem = response.certificate_pem();
  identity.root_ca_pem = response.root_ca_pem();
  return identity;
}

std::unique_ptr<FakeAgent> FakeAgent::Start(AgentIdentity identity, Options options) {
  return std::make_unique<GrpcFakeAgent>(std::move(identity), std::move(options));
}

}  // namespace swarm::testing
