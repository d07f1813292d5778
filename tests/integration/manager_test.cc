// A manager, clients and fake agents in one process over real gRPC.
#include "manager/manager.h"

#include <grpcpp/client_context.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <set>
#include <string>
#include <vector>

#include "common/file_system.h"
#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/strings.h"
#include "common/tls/certificates.h"
#include "google/protobuf/descriptor.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "manager/api/role_table.h"
#include "swarm/v1/ca.grpc.pb.h"
#include "tests/integration/manager_harness.h"
#include "tests/support/fake_agent.h"
#include "tests/support/status_matchers.h"

namespace swarm::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kHello = "docker.io/library/hello:1";
const std::string kDigest = "sha256:" + std::string(64, 'a');

class ManagerTest : public ::testing::Test {
 protected:
  // Three silent heartbeats make a node DOWN: no slow machine changes what a test sees.
  explicit ManagerTest(absl::Duration heartbeat = absl::Seconds(10)) : heartbeat_(heartbeat) {
    char name[] = "/tmp/swarm-integration-XXXXXX";
    dir_ = ::mkdtemp(name);
    StartManager();
  }
  ~ManagerTest() override {
    agents_.clear();
    manager_.reset();
    RemoveTree(dir_).IgnoreError();
  }

  manager::ManagerOptions Options() const {
    manager::ManagerOptions options;
    options.state_dir = dir_ + "/state";
    options.run_dir = dir_ + "/run";
    options.listen_addr = control_port_.empty() ? "127.0.0.1:0" : control_port_;
    options.join_listen_addr = "127.0.0.1:0";
    options.initialise = true;
    options.heartbeat_period = heartbeat_;
    return options;
  }
  void StartManager() {
    auto started = RunningManager::Start(Options());
    ASSERT_OK(started);
    manager_ = *std::move(started);
    control_port_ = manager_->addresses().control;
  }

  FakeAgent* AddAgent(const std::string& hostname) {
    auto tokens = LocalClient(*manager_).Tokens();
    EXPECT_OK(tokens);
    auto identity = FakeAgent::Join(manager_->addresses().join, tokens->worker());
    EXPECT_OK(identity);
    identity_ = *identity;
    agents_.push_back(FakeAgent::Start(
        *identity,
        {.control_addr = control_port_, .hostname = hostname, .images = {{kHello, kDigest}}}));
    EXPECT_OK(LocalClient(*manager_).WaitFor([&](ControlClient& client) {
      v1::GetNodeRequest request;
      request.set_ref(identity_.node_id);
      auto node = client.Call(&v1::Control::Stub::GetNode, request);
      return node.ok() && node->status().state() == v1::NodeStatus::STATE_READY;
    }));
    return agents_.back().get();
  }

  static v1::ServiceSpec Hello(const std::string& name, uint64_t replicas) {
    v1::ServiceSpec spec;
    spec.set_name(name);
    spec.mutable_task()->mutable_container()->set_image("hello:1");
    spec.mutable_task()->mutable_restart()->mutable_delay()->set_nanos(10'000'000);
    spec.mutable_replicated()->set_replicas(replicas);
    spec.set_no_resolve_image(true);
    return spec;
  }
  static absl::Status WaitForRunning(ControlClient& client, const std::string& name,
                                     uint64_t wanted) {
    return client.WaitFor([&](ControlClient& c) {
      auto service = c.GetService(name);
      return service.ok() && service->status().running_tasks() == wanted;
    });
  }

  ControlClient ClientWithRole(v1::CreateClientCertificateRequest::Role role) {
    v1::CreateClientCertificateRequest request;
    request.set_name("somebody");
    request.set_role(role);
    auto made = LocalClient(*manager_).Call(&v1::Control::Stub::CreateClientCertificate, request);
    EXPECT_OK(made);
    return TlsClient(*manager_, made->ca_pem(), made->cert_pem(), made->key_pem());
  }

  // As the agent on the manager's node gets its certificate.
  std::shared_ptr<::grpc::Channel> ManagerNodeChannel() {
    auto stub = v1::CertificateAuthority::NewStub(LocalClient(*manager_).channel());
    const std::string key = *tls::MakeKeyPem();
    v1::IssueNodeCertificateRequest request;
    request.set_csr_pem(*tls::MakeCsrPem(key));
    v1::IssueNodeCertificateResponse own;
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    EXPECT_OK(ControlClient::Convert(stub->IssueNodeCertificate(&context, request, &own)));
    return TlsClient(*manager_, own.root_ca_pem(), own.certificate_pem(), key).channel();
  }

  // Every RPC of every service behind the door that `channel` leads to.
  static std::vector<std::string> ServedMethods(const std::shared_ptr<::grpc::Channel>& channel) {
    auto reflection = ::grpc::reflection::v1::ServerReflection::NewStub(channel);
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    auto stream = reflection->ServerReflectionInfo(&context);
    ::grpc::reflection::v1::ServerReflectionRequest request;
    request.set_list_services("");
    EXPECT_TRUE(stream->Write(request));
    ::grpc::reflection::v1::ServerReflectionResponse response;
    EXPECT_TRUE(stream->Read(&response));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    std::vector<std::string> methods;
    for (const auto& served : response.list_services_response().service()) {
      const auto* service =
          google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(served.name());
      for (int m = 0; service != nullptr && m < service->method_count(); ++m) {
        methods.push_back(StrCat("/", served.name(), "/", service->method(m)->name()));
      }
    }
    EXPECT_GT(methods.size(), 20u);
    return methods;
  }

  static ::grpc::Status CallWithNothing(const std::shared_ptr<::grpc::Channel>& channel,
                                        const std::string& method) {
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    ::grpc::GenericStub stub(channel);
    ::grpc::CompletionQueue queue;
    auto call = stub.PrepareCall(&context, method, &queue);
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(&tag);
    queue.Next(&tag, &ok);
    const ::grpc::Slice empty("");
    ::grpc::ByteBuffer nothing(&empty, 1);
    call->WriteLast(nothing, ::grpc::WriteOptions(), &tag);
    queue.Next(&tag, &ok);
    ::grpc::Status status;
    call->Finish(&status, &tag);
    queue.Next(&tag, &ok);
    return status;
  }

  const absl::Duration heartbeat_;
  std::string dir_;
  std::string control_port_;
  std::unique_ptr<RunningManager> manager_;
  std::vector<std::unique_ptr<FakeAgent>> agents_;
  AgentIdentity identity_;  // of the last agent
};

TEST_F(ManagerTest, RunsAServiceFromCreateToGone) {
  FakeAgent* agent = AddAgent("n1");
  ControlClient client = LocalClient(*manager_);
  auto created = client.CreateService(Hello("web", 3));
  ASSERT_OK(created);
  EXPECT_EQ(kDigest, created->image_digest());
  ASSERT_OK(WaitForRunning(client, "web", 3));
  EXPECT_THAT(agent->state().running, SizeIs(3));

  auto read = client.GetService("web");
  ASSERT_OK(read);
  auto scaled = client.UpdateService(*read, Hello("web", 5));
  ASSERT_OK(scaled);
  EXPECT_EQ(read->revision_id(), scaled->revision_id());
  ASSERT_OK(WaitForRunning(client, "web", 5));

  v1::ServiceSpec changed = Hello("web", 5);
  changed.mutable_task()->mutable_container()->add_env("A=1");
  read = client.GetService("web");
  ASSERT_OK(read);
  auto updated = client.UpdateService(*read, changed);
  ASSERT_OK(updated);
  ASSERT_OK(client.WaitFor([&](ControlClient& c) {
    auto tasks = c.TasksOf("web");
    return tasks.ok() &&
           5 == std::count_if(tasks->tasks().begin(), tasks->tasks().end(), [&](const auto& t) {
             return t.status().state() == v1::TaskStatus::STATE_RUNNING &&
                    t.revision_id() == updated->revision_id();
           });
  }));

  ASSERT_OK(client.DeleteService("web"));
  ASSERT_OK(
      client.WaitFor([](ControlClient& c) { return absl::IsNotFound(c.TasksOf("web").status()); }));
  EXPECT_TRUE(agent->WaitUntil([](const auto& s) { return s.running.empty(); }));
}

TEST_F(ManagerTest, SpreadsOverNodesAndRestartsWhatFails) {
  FakeAgent* one = AddAgent("n1");
  FakeAgent* two = AddAgent("n2");
  ControlClient client = LocalClient(*manager_);
  ASSERT_OK(client.CreateService(Hello("web", 4)));
  ASSERT_OK(WaitForRunning(client, "web", 4));
  EXPECT_THAT(one->state().running, SizeIs(2));
  EXPECT_THAT(two->state().running, SizeIs(2));
  const std::string victim = one->state().running.begin()->first;
  one->Exit(victim, 3);
  ASSERT_OK(client.WaitFor([&](ControlClient& c) {
    auto tasks = c.TasksOf("web");
    if (!tasks.ok()) return false;
    bool failed = false;
    int running = 0;
    for (const v1::Task& task : tasks->tasks()) {
      failed |= task.id() == victim && task.status().state() == v1::TaskStatus::STATE_FAILED &&
                task.status().container().exit_code() == 3;
      running += task.status().state() == v1::TaskStatus::STATE_RUNNING;
    }
    return failed && running == 4;
  }));
}

// F1.
TEST_F(ManagerTest, KeepsEverythingOverARestart) {
  FakeAgent* agent = AddAgent("n1");
  std::string id;
  std::string cluster;
  {
    ControlClient client = LocalClient(*manager_);
    auto created = client.CreateService(Hello("web", 2), "the-request");
    ASSERT_OK(created);
    id = created->id();
    ASSERT_OK(WaitForRunning(client, "web", 2));
    cluster = client.Call(&v1::Control::Stub::GetCluster, v1::GetClusterRequest())->id();
  }
  const auto running = agent->state().running;
  manager_.reset();
  StartManager();
  ControlClient client = LocalClient(*manager_);
  EXPECT_EQ(cluster, client.Call(&v1::Control::Stub::GetCluster, v1::GetClusterRequest())->id());
  EXPECT_TRUE(agent->WaitUntil([](const auto& s) { return s.connected && s.sessions > 1; }));
  ASSERT_OK(WaitForRunning(client, "web", 2));
  EXPECT_EQ(running, agent->state().running) << "containers were touched";
  auto retried = client.CreateService(Hello("web", 2), "the-request");
  ASSERT_OK(retried);
  EXPECT_EQ(id, retried->id());
}

TEST_F(ManagerTest, RefusesASecondManagerByWords) {
  auto tokens = LocalClient(*manager_).Tokens();
  ASSERT_OK(tokens);
  EXPECT_NE(tokens->worker(), tokens->manager());
  EXPECT_THAT(FakeAgent::Join(manager_->addresses().join, tokens->manager()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not built")));
}

TEST_F(ManagerTest, RefusesATokenThatWasRotated) {
  ControlClient client = LocalClient(*manager_);
  auto before = client.Tokens();
  ASSERT_OK(before);
  v1::RotateJoinTokenRequest request;
  request.set_role(v1::NodeSpec::ROLE_WORKER);
  ASSERT_OK(client.Call(&v1::Control::Stub::RotateJoinToken, request));
  EXPECT_THAT(FakeAgent::Join(manager_->addresses().join, before->worker()),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

// S1: what the table says is what the wire does, for every RPC and every kind of caller.
TEST_F(ManagerTest, RefusesEveryCallThatTheTableOfRolesRefuses) {
  AddAgent("n1");
  struct Caller {
    manager::Caller bit;
    std::shared_ptr<::grpc::Channel> channel;
  };
  const std::vector<Caller> at_control_port = {
      {manager::kWorkerNode,
       TlsClient(*manager_, identity_.root_ca_pem, identity_.certificate_pem, identity_.key_pem)
           .channel()},
      {manager::kManagerNode, ManagerNodeChannel()},
      {manager::kViewer, ClientWithRole(v1::CreateClientCertificateRequest::ROLE_VIEWER).channel()},
      {manager::kAdmin, ClientWithRole(v1::CreateClientCertificateRequest::ROLE_ADMIN).channel()},
  };
  const std::vector<Caller> at_socket = {{manager::kLocalAdmin, LocalClient(*manager_).channel()}};
  int refused = 0;
  for (const std::vector<Caller>& callers : {at_control_port, at_socket}) {
    for (const std::string& method : ServedMethods(callers.back().channel)) {
      ASSERT_TRUE(manager::RuleOf(method).has_value()) << method;
      for (const Caller& caller : callers) {
        if ((*manager::RuleOf(method) & caller.bit) != 0) continue;
        const ::grpc::Status status = CallWithNothing(caller.channel, method);
        EXPECT_EQ(::grpc::StatusCode::PERMISSION_DENIED, status.error_code())
            << method << " by " << static_cast<int>(caller.bit) << ": " << status.error_message();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 50);
}

TEST_F(ManagerTest, LetsAViewerReadAndAnAdminWrite) {
  ControlClient viewer = ClientWithRole(v1::CreateClientCertificateRequest::ROLE_VIEWER);
  auto cluster = viewer.Call(&v1::Control::Stub::GetCluster, v1::GetClusterRequest());
  ASSERT_OK(cluster);
  EXPECT_THAT(cluster->DebugString(), ::testing::Not(HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(viewer.CreateService(Hello("web", 1)), StatusIs(absl::StatusCode::kPermissionDenied));
  AddAgent("n1");
  ControlClient admin = ClientWithRole(v1::CreateClientCertificateRequest::ROLE_ADMIN);
  EXPECT_OK(admin.CreateService(Hello("web", 1)));
}

TEST_F(ManagerTest, RefusesAForeignCertificateAndNone) {
  auto foreign_ca = tls::MakeCertificateAuthority(absl::Now());
  ASSERT_OK(foreign_ca);
  auto foreign = tls::MakeCertificate(*foreign_ca, {"cluster", tls::Role::kClientAdmin, "mallory"},
                                      absl::Now(), absl::Hours(1));
  ASSERT_OK(foreign);
  auto cluster =
      LocalClient(*manager_).Call(&v1::Control::Stub::GetCluster, v1::GetClusterRequest());
  ASSERT_OK(cluster);
  ControlClient mallory =
      TlsClient(*manager_, cluster->root_ca_pem(), foreign->certificate_pem, foreign->key_pem);
  EXPECT_THAT(mallory.Nodes(), StatusIs(absl::StatusCode::kUnavailable));
  ControlClient nobody(edge::MakeChannel(manager_->addresses().control,
                                         edge::PinnedRootCredentials(cluster->root_ca_pem())));
  EXPECT_THAT(nobody.Nodes(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ManagerTest, ServesNothingButCertificatesAtTheJoinPort) {
  auto cluster =
      LocalClient(*manager_).Call(&v1::Control::Stub::GetCluster, v1::GetClusterRequest());
  ASSERT_OK(cluster);
  ControlClient joiner(edge::MakeChannel(manager_->addresses().join,
                                         edge::PinnedRootCredentials(cluster->root_ca_pem())));
  EXPECT_THAT(joiner.Nodes(), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(ManagerTest, AnswersHealthForItselfItsRoomsAndServices) {
  AddAgent("n1");
  ControlClient client = LocalClient(*manager_);
  auto health = ::grpc::health::v1::Health::NewStub(client.channel());
  const auto check = [&](const std::string& name) -> std::string {
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    ::grpc::health::v1::HealthCheckRequest request;
    request.set_service(name);
    ::grpc::health::v1::HealthCheckResponse response;
    const ::grpc::Status status = health->Check(&context, request, &response);
    if (!status.ok()) return StrCat("error ", static_cast<int>(status.error_code()));
    return ::grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status());
  };
  EXPECT_EQ("SERVING", check(""));
  EXPECT_EQ("SERVING", check("manager/scheduler"));
  EXPECT_EQ("error 5", check("service/web"));
  ASSERT_OK(client.CreateService(Hello("web", 2)));
  ASSERT_OK(client.WaitFor([&](ControlClient&) { return check("service/web") == "SERVING"; }));
}

TEST_F(ManagerTest, TellsItsVersionWhileItsLoopIsBusy) {
  ControlClient client = LocalClient(*manager_);
  std::promise<void> busy;
  std::promise<void> release;
  manager_->loop().Post([&] {
    busy.set_value();
    release.get_future().wait();
  });
  busy.get_future().wait();
  EXPECT_OK(client.Call(&v1::Control::Stub::GetVersion, v1::GetVersionRequest()));
  release.set_value();
}

TEST_F(ManagerTest, ShowsItsServicesByReflection) {
  ControlClient client = LocalClient(*manager_);
  auto reflection = ::grpc::reflection::v1::ServerReflection::NewStub(client.channel());
  ::grpc::ClientContext context;
  ControlClient::SetDeadline(context);
  auto stream = reflection->ServerReflectionInfo(&context);
  ::grpc::reflection::v1::ServerReflectionRequest request;
  request.set_list_services("");
  ASSERT_TRUE(stream->Write(request));
  ::grpc::reflection::v1::ServerReflectionResponse response;
  ASSERT_TRUE(stream->Read(&response));
  std::set<std::string> names;
  for (const auto& service : response.list_services_response().service()) {
    names.insert(service.name());
  }
  EXPECT_TRUE(names.contains("swarm.v1.Control"));
  EXPECT_TRUE(names.contains("grpc.health.v1.Health"));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ManagerTest, BringsLogsFromTheNodesToTheReader) {
  AddAgent("n1");
  AddAgent("n2");
  ControlClient client = LocalClient(*manager_);
  ASSERT_OK(client.CreateService(Hello("web", 4)));
  ASSERT_OK(WaitForRunning(client, "web", 4));
  v1::SubscribeLogsRequest request;
  request.set_service_ref("web");
  request.mutable_options()->set_tail(-1);
  auto lines = client.Logs(request);
  ASSERT_OK(lines);
  ASSERT_THAT(*lines, SizeIs(4));
  std::set<std::string> hosts;
  for (const v1::LogMessage& line : *lines) {
    EXPECT_EQ("hello from " + line.task_id(), line.data());
    EXPECT_EQ("web", line.service_name());
    EXPECT_NE(0u, line.slot());
    hosts.insert(line.node_hostname());
  }
  EXPECT_THAT(hosts, SizeIs(2));
}

TEST_F(ManagerTest, FollowsTasksThatStartLater) {
  AddAgent("n1");
  ControlClient client = LocalClient(*manager_);
  auto created = client.CreateService(Hello("web", 1));
  ASSERT_OK(created);
  ASSERT_OK(WaitForRunning(client, "web", 1));
  v1::SubscribeLogsRequest request;
  request.set_service_ref("web");
  request.mutable_options()->set_follow(true);
  ::grpc::ClientContext context;
  ControlClient::SetDeadline(context);
  auto stream = client.logs().Subscribe(&context, request);
  v1::LogMessage line;
  ASSERT_TRUE(stream->Read(&line));
  auto read = client.GetService("web");
  ASSERT_OK(read);
  ASSERT_OK(client.UpdateService(*read, Hello("web", 2)));
  const std::string first = line.task_id();
  ASSERT_TRUE(stream->Read(&line));
  EXPECT_NE(first, line.task_id());
  // The reader goes: the node's streams are ended by the manager, or the agent's Stop would hang.
  context.TryCancel();
  stream->Finish();
}

class ImpatientManagerTest : public ManagerTest {
 protected:
  ImpatientManagerTest() : ManagerTest(absl::Milliseconds(500)) {}
};

TEST_F(ImpatientManagerTest, SaysThatANodeOfAServiceCannotBeReached) {
  FakeAgent* agent = AddAgent("n1");
  ControlClient client = LocalClient(*manager_);
  ASSERT_OK(client.CreateService(Hello("web", 1)));
  ASSERT_OK(WaitForRunning(client, "web", 1));
  agent->Stop();
  ASSERT_OK(client.WaitFor([](ControlClient& c) {
    auto nodes = c.Nodes();
    return nodes.ok() && nodes->nodes(0).status().state() != v1::NodeStatus::STATE_READY;
  }));
  v1::SubscribeLogsRequest request;
  request.set_service_ref("web");
  auto lines = client.Logs(request);
  ASSERT_OK(lines);
  ASSERT_THAT(*lines, SizeIs(1));
  EXPECT_EQ(v1::LogMessage::STREAM_NOTICE, (*lines)[0].stream());
  EXPECT_THAT((*lines)[0].data(), HasSubstr("node n1 cannot be reached"));
}

TEST_F(ManagerTest, RemovesANodeAndEndsItsSession) {
  FakeAgent* agent = AddAgent("n1");
  ControlClient client = LocalClient(*manager_);
  v1::DeleteNodeRequest request;
  request.set_ref("n1");
  EXPECT_THAT(client.Call(&v1::Control::Stub::DeleteNode, request),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  request.set_force(true);
  EXPECT_OK(client.Call(&v1::Control::Stub::DeleteNode, request));
  EXPECT_TRUE(agent->WaitUntil([](const auto& s) { return s.removed; }));
  EXPECT_THAT(client.Nodes()->nodes(), IsEmpty());
}

TEST_F(ManagerTest, LetsARemovedNodesCertificateSeeNothing) {
  AddAgent("n1");
  ControlClient node =
      TlsClient(*manager_, identity_.root_ca_pem, identity_.certificate_pem, identity_.key_pem);
  auto health = ::grpc::health::v1::Health::NewStub(node.channel());
  auto reflection = ::grpc::reflection::v1::ServerReflection::NewStub(node.channel());
  const auto check = [&] {
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    ::grpc::health::v1::HealthCheckResponse response;
    return ControlClient::Convert(health->Check(&context, {}, &response));
  };
  const auto watch = [&] {
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    auto stream = health->Watch(&context, {});
    ::grpc::health::v1::HealthCheckResponse response;
    if (stream->Read(&response)) {
      context.TryCancel();
      stream->Finish();
      return absl::OkStatus();
    }
    return ControlClient::Convert(stream->Finish());
  };
  const auto reflect = [&] {
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    auto stream = reflection->ServerReflectionInfo(&context);
    ::grpc::reflection::v1::ServerReflectionRequest request;
    request.set_list_services("");
    stream->Write(request);
    ::grpc::reflection::v1::ServerReflectionResponse response;
    while (stream->Read(&response)) stream->WritesDone();
    return ControlClient::Convert(stream->Finish());
  };
  EXPECT_OK(node.Call(&v1::Control::Stub::GetVersion, v1::GetVersionRequest()));
  EXPECT_OK(check());
  EXPECT_OK(watch());
  EXPECT_OK(reflect());
  v1::DeleteNodeRequest request;
  request.set_ref("n1");
  request.set_force(true);
  ASSERT_OK(LocalClient(*manager_).Call(&v1::Control::Stub::DeleteNode, request));
  EXPECT_THAT(node.Call(&v1::Control::Stub::GetVersion, v1::GetVersionRequest()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("removed")));
  EXPECT_THAT(check(), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(watch(), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(reflect(), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(ManagerTest, RefusesToStartWithoutAClusterUnlessToldToMakeOne) {
  manager::ManagerOptions options = Options();
  options.state_dir = dir_ + "/other";
  options.run_dir = dir_ + "/other-run";
  options.listen_addr = "127.0.0.1:0";
  options.initialise = false;
  EXPECT_THAT(RunningManager::Start(options),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--init")));
}

TEST_F(ManagerTest, RefusesASecondManagerOverTheSameState) {
  manager::ManagerOptions options = Options();
  options.run_dir = dir_ + "/other-run";
  options.listen_addr = "127.0.0.1:0";
  EXPECT_FALSE(RunningManager::Start(options).ok());
  EXPECT_OK(LocalClient(*manager_).Nodes());
}

TEST_F(ManagerTest, ServicesMeetInANetworkThatOutlivesThem) {
  FakeAgent* one = AddAgent("n1");
  FakeAgent* two = AddAgent("n2");
  ControlClient client = LocalClient(*manager_);
  v1::CreateNetworkRequest create;
  create.mutable_spec()->set_name("front");
  const auto network = client.Call(&v1::Control::Stub::CreateNetwork, create);
  ASSERT_OK(network);
  EXPECT_EQ(network->ipam(0).subnet(), "10.0.1.0/24");
  const auto listed = client.Call(&v1::Control::Stub::ListNetworks, v1::ListNetworksRequest());
  ASSERT_OK(listed);
  EXPECT_EQ(listed->networks_size(), 3) << "and host and none";

  v1::ServiceSpec spec = Hello("web", 2);
  spec.mutable_task()->add_networks()->set_target("front");
  v1::PortConfig& port = *spec.mutable_endpoint()->add_ports();
  port.set_target_port(80);
  port.set_published_port(8080);
  ASSERT_OK(client.CreateService(spec));
  ASSERT_OK(WaitForRunning(client, "web", 2));
  const auto service = client.GetService("web");
  ASSERT_OK(service);
  EXPECT_EQ(service->endpoint().virtual_ips_size(), 2);
  EXPECT_EQ(service->endpoint().ports(0).published_port(), 8080u);
  const auto tasks = client.TasksOf("web");
  ASSERT_OK(tasks);
  for (const v1::Task& task : tasks->tasks()) EXPECT_EQ(task.networks_size(), 2);
  for (FakeAgent* agent : {one, two}) {
    EXPECT_TRUE(agent->WaitUntil([](const FakeAgent::State& state) {
      return state.networks == std::set<std::string>{"front", "ingress"} &&
             state.serving.size() == 2 &&
             std::all_of(state.serving.begin(), state.serving.end(),
                         [](const auto& task) { return task.second; });
    }));
  }

  v1::DeleteNetworkRequest remove;
  remove.set_ref("front");
  EXPECT_THAT(client.Call(&v1::Control::Stub::DeleteNetwork, remove),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"web\"")));
  ASSERT_OK(client.DeleteService("web"));
  EXPECT_OK(client.Call(&v1::Control::Stub::DeleteNetwork, remove)) << "it waits for the service";
  for (FakeAgent* agent : {one, two}) {
    EXPECT_TRUE(agent->WaitUntil([](const FakeAgent::State& state) {
      return state.networks == std::set<std::string>{"ingress"} && state.running.empty();
    }));
  }
}

}  // namespace
}  // namespace swarm::testing
