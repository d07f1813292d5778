#include "agent/certificate_renewal.h"

#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "common/file_system.h"
#include "common/random.h"
#include "common/tls/certificates.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::SimLoop;
using ::testing::SizeIs;

class CertificateRenewalTest : public ::testing::Test {
 protected:
  CertificateRenewalTest() {
    char name[] = "/tmp/renewal_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    store_ = std::make_unique<IdentityStore>(dir_);
    authority_ = *tls::MakeCertificateAuthority(loop_.WallNow());
    identity_.node_id = "n1";
    identity_.key_pem = *tls::MakeKeyPem();
    identity_.certificate_pem = Sign(*tls::MakeCsrPem(identity_.key_pem));
    identity_.root_ca_pem = authority_.certificate_pem;
    identity_.managers = {"m:1"};
    EXPECT_OK(store_->Create(identity_));
    renewal_ = std::make_unique<CertificateRenewal>(
        env_, *store_,
        [this](const std::string&, const NodeIdentity&,
               const std::string& csr) -> absl::StatusOr<v1::IssueNodeCertificateResponse> {
          ++asked_;
          if (down_) return absl::UnavailableError("no manager");
          v1::IssueNodeCertificateResponse response;
          response.set_certificate_pem(Sign(csr));
          return response;
        },
        [] { return "m:1"; },
        [this](const NodeIdentity& identity) { renewed_.push_back(identity); });
    renewal_->Start(identity_);
  }
  ~CertificateRenewalTest() override { (void)RemoveTree(dir_); }

  std::string Sign(const std::string& csr) {
    return *tls::SignCsr(authority_, csr, {"c1", tls::Role::kWorker, "n1"}, loop_.WallNow(),
                         absl::Hours(24 * 10));
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  std::string dir_;
  std::unique_ptr<IdentityStore> store_;
  tls::KeyPair authority_;
  NodeIdentity identity_;
  int asked_ = 0;
  bool down_ = false;
  std::vector<NodeIdentity> renewed_;
  std::unique_ptr<CertificateRenewal> renewal_;
};

TEST_F(CertificateRenewalTest, S4RenewsAtHalfOfItsLifeWithANewKeyAndKeepsItOnDisk) {
  loop_.Advance(absl::Hours(24 * 4.9));
  EXPECT_EQ(asked_, 0);
  loop_.Advance(absl::Hours(24 * 0.2));
  ASSERT_THAT(renewed_, SizeIs(1));
  EXPECT_NE(renewed_[0].key_pem, identity_.key_pem);
  const NodeIdentity stored = **store_->Load();
  EXPECT_EQ(stored.certificate_pem, renewed_[0].certificate_pem);
  loop_.Advance(absl::Hours(24 * 5.1));
  EXPECT_THAT(renewed_, SizeIs(2));
}

TEST_F(CertificateRenewalTest, F19TriesAgainUntilAManagerAnswers) {
  down_ = true;
  loop_.Advance(absl::Hours(24 * 6));
  EXPECT_GT(asked_, 10);
  EXPECT_THAT(renewed_, SizeIs(0));
  down_ = false;
  loop_.Advance(absl::Minutes(2));
  EXPECT_THAT(renewed_, SizeIs(1));
}

TEST_F(CertificateRenewalTest, OfANodeThatLeftNothingIsRenewed) {
  renewal_->Stop();
  loop_.Advance(absl::Hours(24 * 8));
  EXPECT_EQ(asked_, 0);
}

}  // namespace
}  // namespace swarm::agent
