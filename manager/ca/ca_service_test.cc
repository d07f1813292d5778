// Joining over real gRPC: the join port, the local socket and renewal.
#include "manager/ca/ca_service.h"

#include <grpcpp/client_context.h>

#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "common/file_system.h"
#include "common/grpc/edge_test_support.h"
#include "common/grpc/status.h"
#include "common/tls/join_token.h"
#include "common/tls/root_fetch.h"
#include "gtest/gtest.h"
#include "swarm/v1/ca.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using edge::MakeChannel;
using edge::TestServer;
using edge::TlsMaterial;
using swarm::testing::StatusIs;
using ::testing::HasSubstr;
using Issued = absl::StatusOr<v1::IssueNodeCertificateResponse>;

class CaServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/swarm-ca-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    folder_ = path;
    thread_ = std::thread([this] { loop_->Run(); });
    std::promise<absl::Status> ready;
    OnLoop([&] {
      store_ = *OpenStore(*loop_, *clock_, *journal_, {});
      ca_ = std::make_unique<ClusterCa>(env_, *store_, vault_);
      ca_->Bootstrap({{}, "127.0.0.1:1", "127.0.0.1:2"},
                     [&](absl::Status s) { ready.set_value(std::move(s)); });
    });
    ASSERT_OK(ready.get_future().get());
    OnLoop([&] {
      tokens_ = *ca_->Tokens();
      root_ = *ca_->RootPem();
      auto pair = *ca_->IssueServerCertificate();
      source_ =
          std::make_shared<edge::TlsSource>(TlsMaterial{root_, pair.certificate_pem, pair.key_pem});
    });
    auto anybody = [](auto, const auto&) { return absl::OkStatus(); };
    IssueLimits limits;
    limits.burst = 20;
    limits.per_second = 0.001;
    authority_ = MakeCertificateAuthorityService(env_, *ca_, anybody, limits);
    renewal_ = MakeCertificateRenewalService(env_, *ca_, anybody);
    join_ = Serve("", edge::ServerKind::kJoin, edge::ServerTlsCredentials(source_), authority_);
    control_ =
        Serve("", edge::ServerKind::kControl, edge::MutualTlsServerCredentials(source_), renewal_);
    local_ =
        Serve(folder_ + "/s", edge::ServerKind::kLocal, edge::LocalServerCredentials(), authority_);
  }
  void TearDown() override {
    join_.reset();
    control_.reset();
    local_.reset();
    OnLoop([this] {
      ca_.reset();
      store_.reset();
    });
    loop_->Stop();
    thread_.join();
    EXPECT_OK(RemoveTree(folder_));
  }
  std::unique_ptr<TestServer> Serve(const std::string& path, edge::ServerKind kind,
                                    std::shared_ptr<::grpc::ServerCredentials> credentials,
                                    const std::unique_ptr<::grpc::Service>& service) {
    edge::UnixSocketOptions at;
    at.path = path;
    auto listener = path.empty() ? edge::ListenTcp("127.0.0.1:0", {}) : edge::ListenUnix(at, {});
    EXPECT_OK(listener);
    return std::make_unique<TestServer>(*std::move(listener), std::move(credentials), kind,
                                        std::vector<::grpc::Service*>{service.get()});
  }
  void OnLoop(std::function<void()> work) {
    std::promise<void> done;
    loop_->Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  Issued Ask(std::shared_ptr<::grpc::Channel> channel, const std::string& token,
             const std::string& key_pem, size_t padding = 0) {
    auto stub = v1::CertificateAuthority::NewStub(channel);
    ::grpc::ClientContext context;
    v1::IssueNodeCertificateRequest request;
    request.set_token(token);
    request.set_csr_pem(*tls::MakeCsrPem(key_pem) + std::string(padding, ' '));
    v1::IssueNodeCertificateResponse response;
    absl::Status status = edge::FromGrpc(stub->IssueNodeCertificate(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  std::shared_ptr<::grpc::Channel> JoinChannel() {
    return MakeChannel(join_->address(), edge::PinnedRootCredentials(root_));
  }

  std::string folder_;
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<RunnableLoop> loop_ = MakeAsioLoop();
  std::unique_ptr<Random> random_ = MakeSystemRandom();
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{*loop_, *clock_, *random_, *pool_};
  std::unique_ptr<MemoryJournal> journal_ = std::make_unique<MemoryJournal>(*loop_);
  std::unique_ptr<Store> store_;
  SecretVault vault_{SecretBytes::Copy(std::string(32, 'k'))};
  std::unique_ptr<ClusterCa> ca_;
  v1::JoinTokens tokens_;
  std::string root_;
  std::shared_ptr<edge::TlsSource> source_;
  std::unique_ptr<::grpc::Service> authority_, renewal_;
  std::unique_ptr<TestServer> join_, control_, local_;
  std::thread thread_;
  const std::string key_ = *tls::MakeKeyPem();
};

TEST_F(CaServiceTest, ANodeJoinsByTokenAloneAndThenRenews) {
  // As an agent does it: the token, an address, nothing else.
  auto token = tls::JoinToken::Parse(tokens_.worker());
  ASSERT_OK(token);
  auto fetched = tls::FetchRootCertificate(join_->address(), *token, *clock_, absl::Seconds(20));
  ASSERT_OK(fetched);
  EXPECT_FALSE(fetched->is_control_port);
  Issued issued =
      Ask(MakeChannel(join_->address(), edge::PinnedRootCredentials(fetched->root_ca_pem)),
          tokens_.worker(), key_);
  ASSERT_OK(issued);
  EXPECT_OK(tls::CheckKeyMatches(issued->certificate_pem(), key_));

  auto stub = v1::CertificateRenewal::NewStub(MakeChannel(
      control_->address(), edge::MutualTlsCredentials({root_, issued->certificate_pem(), key_})));
  ::grpc::ClientContext context;
  v1::RenewNodeCertificateRequest request;
  const std::string new_key = *tls::MakeKeyPem();
  request.set_csr_pem(*tls::MakeCsrPem(new_key));
  v1::IssueNodeCertificateResponse renewed;
  ASSERT_OK(edge::FromGrpc(stub->RenewNodeCertificate(&context, request, &renewed)));
  EXPECT_EQ(renewed.node_id(), issued->node_id());
  EXPECT_OK(tls::CheckKeyMatches(renewed.certificate_pem(), new_key));
}

TEST_F(CaServiceTest, S3TheJoinPortRefusesWrongTokensAndLargeMessages) {
  EXPECT_THAT(Ask(JoinChannel(), "", key_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("join token")));
  auto wrong = *tls::JoinToken::Parse(tokens_.worker());
  wrong.secret = std::string(25, '0');
  EXPECT_THAT(Ask(JoinChannel(), wrong.ToString(), key_),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Ask(JoinChannel(), tokens_.worker(), key_, 100'000),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(CaServiceTest, TheLocalSocketGivesTheManagersOwnNode) {
  Issued own = Ask(MakeChannel(local_->address(), edge::LocalCredentials()), "", key_);
  ASSERT_OK(own);
  EXPECT_EQ(own->role(), v1::NodeSpec::ROLE_MANAGER);
}

TEST_F(CaServiceTest, S9JoiningIsRateLimited) {
  auto channel = JoinChannel();
  absl::Status status;
  int calls = 0;
  while (!absl::IsResourceExhausted(status) && calls < 1'000) {
    status = Ask(channel, "SWMTKN-1-x", key_).status();
    ++calls;
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("try again")));
  EXPECT_LE(calls, 25);
}

TEST_F(CaServiceTest, S9RenewingIsRateLimitedForEachNodeByItself) {
  Issued one = Ask(JoinChannel(), tokens_.worker(), key_);
  const std::string other_key = *tls::MakeKeyPem();
  Issued two = Ask(JoinChannel(), tokens_.worker(), other_key);
  ASSERT_OK(one);
  ASSERT_OK(two);
  const auto renew = [&](const v1::IssueNodeCertificateResponse& node, const std::string& key) {
    auto stub = v1::CertificateRenewal::NewStub(MakeChannel(
        control_->address(), edge::MutualTlsCredentials({root_, node.certificate_pem(), key})));
    ::grpc::ClientContext context;
    v1::RenewNodeCertificateRequest request;
    request.set_csr_pem(*tls::MakeCsrPem(key));
    v1::IssueNodeCertificateResponse renewed;
    return edge::FromGrpc(stub->RenewNodeCertificate(&context, request, &renewed));
  };
  absl::Status status;
  int calls = 0;
  while (status.ok() && calls < 100) {
    status = renew(*one, key_);
    ++calls;
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("too often")));
  EXPECT_GE(calls, 10);
  EXPECT_OK(renew(*two, other_key));
}

// The journal never answers: neither a client that gives up nor the server's end waits for it.
TEST_F(CaServiceTest, ACallThatWaitsForTheJournalEndsWithItsClientAndWithTheServer) {
  OnLoop([this] { journal_->HoldNextCommits(); });
  auto stub = v1::CertificateAuthority::NewStub(JoinChannel());
  v1::IssueNodeCertificateRequest request;
  request.set_token(tokens_.worker());
  request.set_csr_pem(*tls::MakeCsrPem(key_));
  std::promise<absl::Status> ended;
  ::grpc::ClientContext context;
  v1::IssueNodeCertificateResponse response;
  stub->async()->IssueNodeCertificate(
      &context, &request, &response, [&](::grpc::Status s) { ended.set_value(edge::FromGrpc(s)); });
  auto end = ended.get_future();
  // Once the node is in memory, the call waits for the journal alone.
  for (bool waits = false; !waits;) {
    OnLoop([&] { waits = store_->view().CountNodes() == 1; });
  }
  join_.reset();
  EXPECT_FALSE(end.get().ok());
  authority_.reset();
  OnLoop([this] { journal_->Stall(absl::OkStatus()); });  // the late answer goes nowhere
  OnLoop([] {});
}

TEST_F(CaServiceTest, AnyoneMayReadTheRoot) {
  auto stub = v1::CertificateAuthority::NewStub(JoinChannel());
  ::grpc::ClientContext context;
  v1::RootCertificate root;
  ASSERT_OK(edge::FromGrpc(stub->GetRootCertificate(&context, {}, &root)));
  EXPECT_EQ(root.pem(), root_);
}

}  // namespace
}  // namespace swarm::manager
