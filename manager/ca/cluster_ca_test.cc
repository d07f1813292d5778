#include "manager/ca/cluster_ca.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/tls/join_token.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using swarm::testing::SimLoop;
using swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;
using Issued = absl::StatusOr<v1::IssueNodeCertificateResponse>;

class ClusterCaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = OpenStore(loop_, loop_, journal_, {});
    ASSERT_OK(store);
    store_ = *std::move(store);
    ca_ = std::make_unique<ClusterCa>(env_, *store_, vault_);
  }
  absl::Status Bootstrap(v1::ClusterSpec spec = {}) {
    absl::Status result = absl::UnknownError("not called");
    ca_->Bootstrap({std::move(spec), "10.0.0.1:2377", "10.0.0.1:2378"},
                   [&](absl::Status s) { result = std::move(s); });
    loop_.RunUntilIdle();
    return result;
  }
  v1::IssueNodeCertificateRequest Request(const std::string& token) {
    v1::IssueNodeCertificateRequest request;
    request.set_token(token);
    request.set_csr_pem(*tls::MakeCsrPem(*tls::MakeKeyPem()));
    return request;
  }
  ClusterCa::IssueDone Into(Issued& result) {
    return [&result](Issued r) { result = std::move(r); };
  }
  Issued Join(const v1::IssueNodeCertificateRequest& request) {
    Issued result = absl::UnknownError("not called");
    ca_->IssueForToken(request, Into(result));
    loop_.RunUntilIdle();
    return result;
  }
  Issued ThisManager() {
    Issued result = absl::UnknownError("not called");
    ca_->IssueForThisManager(Request(""), Into(result));
    loop_.RunUntilIdle();
    return result;
  }
  Issued Renew(const std::string& node, tls::Role role) {
    Issued result = absl::UnknownError("not called");
    v1::RenewNodeCertificateRequest request;
    request.set_csr_pem(*tls::MakeCsrPem(*tls::MakeKeyPem()));
    ca_->Renew(Id::ParseOrZero(node), role, request, Into(result));
    loop_.RunUntilIdle();
    return result;
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  MemoryJournal journal_{loop_};
  std::unique_ptr<Store> store_;
  SecretVault vault_{SecretBytes::Copy(std::string(32, 'k'))};
  std::unique_ptr<ClusterCa> ca_;
};

TEST_F(ClusterCaTest, NothingWorksBeforeThereIsACluster) {
  EXPECT_THAT(ca_->Tokens(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ca_->RootPem(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ca_->IssueServerCertificate(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Join(Request("x")), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ThisManager(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ClusterCaTest, SecondInitIsRefused) {
  ASSERT_OK(Bootstrap());
  const std::string root = *ca_->RootPem();
  EXPECT_THAT(Bootstrap(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already")));
  EXPECT_EQ(*ca_->RootPem(), root);
}

TEST_F(ClusterCaTest, WorkerTokenMakesAWorkerNode) {
  ASSERT_OK(Bootstrap());
  auto request = Request(ca_->Tokens()->worker());
  request.set_availability(v1::NodeSpec::AVAILABILITY_DRAIN);
  Issued issued = Join(request);
  ASSERT_OK(issued);
  EXPECT_EQ(issued->role(), v1::NodeSpec::ROLE_WORKER);
  EXPECT_EQ(issued->manager_addrs(0), "10.0.0.1:2377");
  auto identity = tls::ParseIdentity(issued->certificate_pem());
  ASSERT_OK(identity);
  EXPECT_EQ(identity->name, issued->node_id());
  EXPECT_EQ(identity->role, tls::Role::kWorker);
  EXPECT_EQ(identity->cluster_id, store_->view().GetCluster()->id());
  EXPECT_OK(
      tls::VerifyCertificate(issued->root_ca_pem(), issued->certificate_pem(), loop_.WallNow()));
  Ref<Node> node = store_->view().GetNode(Id::ParseOrZero(issued->node_id()));
  ASSERT_NE(node, nullptr);
  EXPECT_EQ(node->spec().availability(), v1::NodeSpec::AVAILABILITY_DRAIN);
  EXPECT_EQ(node->status().state(), v1::NodeStatus::STATE_UNKNOWN);
  EXPECT_FALSE(node->is_this_manager());
}

TEST_F(ClusterCaTest, S3TokensDifferByRoleAndTheManagersIsRefusedInWords) {
  ASSERT_OK(Bootstrap());
  auto tokens = ca_->Tokens();
  ASSERT_OK(tokens);
  EXPECT_NE(tokens->worker(), tokens->manager());
  EXPECT_EQ(tokens->join_addr(), "10.0.0.1:2378");
  EXPECT_THAT(Join(Request(tokens->manager())),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("high availability is not built; use the worker token")));
  EXPECT_EQ(store_->view().CountNodes(), 0u);
}

TEST_F(ClusterCaTest, S3WrongForeignRotatedAndExpiredTokensSoundTheSame) {
  ASSERT_OK(Bootstrap());
  const std::string good = ca_->Tokens()->worker();
  auto token = tls::JoinToken::Parse(good);
  ASSERT_OK(token);
  tls::JoinToken wrong = *token, foreign = *token;
  wrong.secret = tls::MakeTokenSecret(*random_);
  foreign.ca_digest[3] ^= 1;
  Cluster cluster = *store_->view().GetCluster();
  cluster.mutable_worker_token()->mutable_expires_at()->set_seconds(
      absl::ToUnixSeconds(loop_.WallNow()) + 60);
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(cluster); }));
  ASSERT_OK(Join(Request(good)));
  const absl::Status words = Join(Request(wrong.ToString())).status();
  EXPECT_EQ(words.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Join(Request(foreign.ToString())).status(), words);
  loop_.Advance(absl::Seconds(61));
  EXPECT_EQ(Join(Request(good)).status(), words);
  bool called = false;
  v1::RotateJoinTokenRequest rotate;
  rotate.set_role(v1::NodeSpec::ROLE_WORKER);
  ca_->RotateToken(rotate, [&](auto tokens) {
    called = true;
    ASSERT_OK(tokens);
    EXPECT_NE(tokens->worker(), good);
  });
  loop_.RunUntilIdle();
  EXPECT_TRUE(called);
  EXPECT_EQ(Join(Request(good)).status(), words);
  EXPECT_OK(Join(Request(ca_->Tokens()->worker())));
  EXPECT_THAT(Join(Request("SWMTKN-1-x")), StatusIs(absl::StatusCode::kInvalidArgument));
}

// The answer got lost, the agent asks again with the key that it has on its disk.
TEST_F(ClusterCaTest, ARetryOfAJoinIsTheSameNode) {
  ASSERT_OK(Bootstrap());
  const std::string key = *tls::MakeKeyPem();
  auto request = Request(ca_->Tokens()->worker());
  request.set_csr_pem(*tls::MakeCsrPem(key));
  Issued first = Join(request);
  ASSERT_OK(first);
  loop_.Advance(absl::Minutes(9));
  request.set_csr_pem(*tls::MakeCsrPem(key));  // another signature, the same key
  Issued again = Join(request);
  ASSERT_OK(again);
  EXPECT_EQ(again->node_id(), first->node_id());
  EXPECT_OK(tls::CheckKeyMatches(again->certificate_pem(), key));
  EXPECT_EQ(store_->view().CountNodes(), 1u);

  EXPECT_NE(Join(Request(ca_->Tokens()->worker()))->node_id(), first->node_id());
  loop_.Advance(absl::Minutes(2));
  EXPECT_NE(Join(request)->node_id(), first->node_id()) << "too late for a retry";
}

TEST_F(ClusterCaTest, ARetryWithAnotherTokenOrOfARemovedNodeIsANewNode) {
  ASSERT_OK(Bootstrap());
  auto request = Request(ca_->Tokens()->worker());
  Issued first = Join(request);
  ASSERT_OK(first);
  v1::RotateJoinTokenRequest rotate;
  rotate.set_role(v1::NodeSpec::ROLE_WORKER);
  ca_->RotateToken(rotate, [](auto) {});
  loop_.RunUntilIdle();
  EXPECT_THAT(Join(request), StatusIs(absl::StatusCode::kPermissionDenied));
  request.set_token(ca_->Tokens()->worker());
  Issued second = Join(request);
  ASSERT_OK(second);
  EXPECT_NE(second->node_id(), first->node_id());
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveNode(Id::ParseOrZero(second->node_id()));
    return absl::OkStatus();
  }));
  Issued third = Join(request);
  ASSERT_OK(third);
  EXPECT_NE(third->node_id(), second->node_id());
}

TEST_F(ClusterCaTest, AJoinThatAFullDiskHoldsUpFailsInTimeAndItsRetryIsTheSameNode) {
  ASSERT_OK(Bootstrap());
  const auto request = Request(ca_->Tokens()->worker());
  journal_.HoldNextCommits();
  Issued held = absl::UnknownError("not called");
  ca_->IssueForToken(request, Into(held));
  journal_.Stall(absl::ResourceExhaustedError("disk full"));
  loop_.Advance(absl::Seconds(11));
  EXPECT_THAT(held, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk full")));
  EXPECT_THAT(Join(request), StatusIs(absl::StatusCode::kResourceExhausted));
  journal_.Stall(absl::OkStatus());
  EXPECT_OK(Join(request));
  EXPECT_EQ(store_->view().CountNodes(), 1u);
}

TEST_F(ClusterCaTest, ABadRequestLeavesNoNodeBehind) {
  ASSERT_OK(Bootstrap());
  auto request = Request(ca_->Tokens()->worker());
  request.set_csr_pem("rubbish");
  EXPECT_THAT(Join(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request = Request(ca_->Tokens()->worker());
  request.set_availability(static_cast<v1::NodeSpec::Availability>(77));
  EXPECT_THAT(Join(request), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(store_->view().CountNodes(), 0u);
}

TEST_F(ClusterCaTest, NoCertificateLeavesBeforeItsNodeIsDurable) {
  ASSERT_OK(Bootstrap());
  const auto request = Request(ca_->Tokens()->worker());
  journal_.FailWith(absl::InternalError("disk"));
  EXPECT_FALSE(Join(request).ok());
}

TEST_F(ClusterCaTest, TheManagersOwnNodeIsMadeOnce) {
  ASSERT_OK(Bootstrap());
  Issued first = ThisManager();
  ASSERT_OK(first);
  EXPECT_EQ(first->role(), v1::NodeSpec::ROLE_MANAGER);
  EXPECT_EQ(tls::ParseIdentity(first->certificate_pem())->role, tls::Role::kManager);
  Issued second = ThisManager();
  ASSERT_OK(second);
  EXPECT_EQ(first->node_id(), second->node_id());
  EXPECT_EQ(store_->view().CountNodes(), 1u);
  EXPECT_TRUE(store_->view().GetNode(Id::ParseOrZero(first->node_id()))->is_this_manager());
}

TEST_F(ClusterCaTest, RenewalKeepsIdAndRoleAndEndsWithRemoval) {
  ASSERT_OK(Bootstrap());
  Issued worker = Join(Request(ca_->Tokens()->worker()));
  ASSERT_OK(worker);
  loop_.Advance(absl::Hours(24 * 45));
  Issued renewed = Renew(worker->node_id(), tls::Role::kWorker);
  ASSERT_OK(renewed);
  EXPECT_EQ(renewed->node_id(), worker->node_id());
  EXPECT_EQ(tls::ParseIdentity(renewed->certificate_pem())->not_after,
            loop_.WallNow() + absl::Hours(24 * 90));
  EXPECT_THAT(Renew(worker->node_id(), tls::Role::kManager),
              StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveNode(Id::ParseOrZero(worker->node_id()));
    return absl::OkStatus();
  }));
  EXPECT_THAT(Renew(worker->node_id(), tls::Role::kWorker),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("removed")));
}

TEST_F(ClusterCaTest, NodeCertificatesLiveAsLongAsTheSpecSays) {
  v1::ClusterSpec spec;
  spec.mutable_node_cert_expiry()->set_seconds(7200);
  ASSERT_OK(Bootstrap(spec));
  Issued worker = Join(Request(ca_->Tokens()->worker()));
  ASSERT_OK(worker);
  EXPECT_EQ(tls::ParseIdentity(worker->certificate_pem())->not_after,
            loop_.WallNow() + absl::Hours(2));
}

TEST_F(ClusterCaTest, ClientCertificatesHaveARoleAndAnEnd) {
  ASSERT_OK(Bootstrap());
  v1::CreateClientCertificateRequest request;
  request.set_name("ops");
  EXPECT_THAT(ca_->IssueClient(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("role")));
  request.set_role(v1::CreateClientCertificateRequest::ROLE_VIEWER);
  auto certificate = ca_->IssueClient(request);
  ASSERT_OK(certificate);
  EXPECT_EQ(tls::ParseIdentity(certificate->cert_pem())->role, tls::Role::kClientViewer);
  EXPECT_OK(tls::CheckKeyMatches(certificate->cert_pem(), certificate->key_pem()));
  EXPECT_EQ(certificate->addr(), "10.0.0.1:2377");
  request.mutable_expiry()->set_seconds(91 * 24 * 3600);
  EXPECT_THAT(ca_->IssueClient(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("90 days")));
  request.clear_expiry();
  request.set_name("a/b");
  EXPECT_THAT(ca_->IssueClient(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name")));
}

TEST_F(ClusterCaTest, NothingInTheJournalMakesACertificateOrLetsANodeJoin) {
  ASSERT_OK(Bootstrap());
  v1::RotateJoinTokenRequest request;
  request.set_role(v1::NodeSpec::ROLE_WORKER);
  ca_->RotateToken(request, [](const auto& rotated) { ASSERT_OK(rotated); });
  loop_.RunUntilIdle();
  const auto tokens = ca_->Tokens();
  ASSERT_OK(tokens);
  for (const auto& [key, record] : journal_.TakeContent().records) {
    EXPECT_THAT(record, Not(HasSubstr("PRIVATE KEY")));
    for (const std::string& token : {tokens->worker(), tokens->manager()}) {
      EXPECT_THAT(record, Not(HasSubstr(tls::JoinToken::Parse(token)->secret)));
    }
  }
  EXPECT_OK(ca_->CheckKey());
  const SecretVault other(SecretBytes::Copy(std::string(32, 'o')));
  const ClusterCa stolen(env_, *store_, other);
  EXPECT_THAT(stolen.CheckKey(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(stolen.IssueServerCertificate(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(stolen.Tokens(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ClusterCaTest, WhatAnEarlierVersionLeftInTheClearIsSealed) {
  ASSERT_OK(Bootstrap());
  const auto authority = tls::MakeCertificateAuthority(loop_.WallNow());
  ASSERT_OK(authority);
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    Cluster old = *tx.view().GetCluster();
    old.set_root_ca_pem(authority->certificate_pem);
    old.set_root_ca_key_pem(authority->key_pem);
    old.clear_sealed_root_ca_key();
    old.mutable_worker_token()->clear_sealed_secret();
    old.mutable_worker_token()->set_secret("the-workers");
    old.mutable_manager_token()->clear_sealed_secret();
    old.mutable_manager_token()->set_secret("the-managers");
    return tx.Put(std::move(old));
  }));
  EXPECT_OK(ca_->CheckKey());
  EXPECT_OK(ca_->SealWhatIsClear());
  const uint64_t version = store_->version();
  EXPECT_OK(ca_->SealWhatIsClear());
  EXPECT_EQ(store_->version(), version);
  const Ref<Cluster> cluster = store_->view().GetCluster();
  EXPECT_EQ(cluster->root_ca_key_pem(), "");
  EXPECT_EQ(cluster->worker_token().secret() + cluster->manager_token().secret(), "");
  EXPECT_THAT(ca_->Tokens()->worker(), HasSubstr("the-workers"));
  EXPECT_THAT(ca_->Tokens()->manager(), HasSubstr("the-managers"));
  EXPECT_OK(ca_->IssueServerCertificate());
}

TEST_F(ClusterCaTest, TheServersCertificateIsAManagers) {
  ASSERT_OK(Bootstrap());
  Issued node = ThisManager();
  auto pair = ca_->IssueServerCertificate();
  ASSERT_OK(pair);
  auto identity = tls::ParseIdentity(pair->certificate_pem);
  EXPECT_EQ(identity->role, tls::Role::kManager);
  EXPECT_EQ(identity->name, node->node_id());
}

}  // namespace
}  // namespace swarm::manager
