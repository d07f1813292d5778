#include "common/tls/certificates.h"

#include "common/strings.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::tls {
namespace {

using swarm::testing::IsOk;
using swarm::testing::StatusIs;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr absl::Duration kDay = absl::Hours(24);
const Subject kNode = {"cluster1", Role::kManager, "node1"};

class CertificatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto authority = MakeCertificateAuthority(kNow);
    ASSERT_OK(authority);
    authority_ = *authority;
  }
  std::string Csr() { return *MakeCsrPem(*MakeKeyPem()); }
  KeyPair authority_;
};

TEST_F(CertificatesTest, SignedCertificateNamesClusterRoleAndNode) {
  auto certificate = SignCsr(authority_, Csr(), kNode, kNow, 30 * kDay);
  ASSERT_OK(certificate);
  auto identity = ParseIdentity(*certificate);
  ASSERT_OK(identity);
  EXPECT_EQ(identity->cluster_id, "cluster1");
  EXPECT_EQ(identity->role, Role::kManager);
  EXPECT_EQ(identity->name, "node1");
  EXPECT_EQ(identity->not_after, kNow + 30 * kDay);
  EXPECT_OK(VerifyCertificate(authority_.certificate_pem, *certificate, kNow));
}

TEST_F(CertificatesTest, F11HoldsForAnHourBeforeItWasMade) {
  auto pair = MakeCertificate(authority_, kNode, kNow, kDay);
  ASSERT_OK(pair);
  const std::string& root = authority_.certificate_pem;
  EXPECT_OK(VerifyCertificate(root, pair->certificate_pem, kNow - absl::Minutes(59)));
  EXPECT_THAT(VerifyCertificate(root, pair->certificate_pem, kNow - absl::Minutes(61)),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not yet valid")));
  EXPECT_THAT(VerifyCertificate(root, pair->certificate_pem, kNow + kDay + absl::Seconds(1)),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("expired")));
}

TEST_F(CertificatesTest, ForeignAuthorityIsNotAccepted) {
  auto other = MakeCertificateAuthority(kNow);
  ASSERT_OK(other);
  auto pair = MakeCertificate(*other, kNode, kNow, kDay);
  ASSERT_OK(pair);
  EXPECT_THAT(VerifyCertificate(authority_.certificate_pem, pair->certificate_pem, kNow),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(CertificatesTest, ALeafCannotSign) {
  auto leaf = MakeCertificate(authority_, kNode, kNow, kDay);
  ASSERT_OK(leaf);
  auto child = MakeCertificate(*leaf, {"cluster1", Role::kClientAdmin, "eve"}, kNow, kDay);
  ASSERT_OK(child);  // anybody can make bytes
  EXPECT_THAT(VerifyCertificate(leaf->certificate_pem, child->certificate_pem, kNow),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(VerifyCertificate(authority_.certificate_pem, child->certificate_pem, kNow),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(CertificatesTest, S4NoCertificateLivesLongerThan90Days) {
  EXPECT_THAT(SignCsr(authority_, Csr(), kNode, kNow, 91 * kDay),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("90 days")));
  EXPECT_OK(SignCsr(authority_, Csr(), kNode, kNow, 90 * kDay));
}

TEST_F(CertificatesTest, NeverOutlivesTheAuthority) {
  const absl::Time late = kNow + kAuthorityLife - kDay;
  auto certificate = SignCsr(authority_, Csr(), kNode, late, 30 * kDay);
  ASSERT_OK(certificate);
  EXPECT_EQ(CertificateLifetime(*certificate)->not_after, kNow + kAuthorityLife);
  EXPECT_THAT(SignCsr(authority_, Csr(), kNode, kNow + kAuthorityLife, kDay),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(CertificatesTest, RefusesDamagedRequests) {
  std::string csr = Csr();
  EXPECT_THAT(SignCsr(authority_, "", kNode, kNow, kDay),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SignCsr(authority_, "rubbish", kNode, kNow, kDay),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SignCsr(authority_, std::string(20'000, 'x'), kNode, kNow, kDay),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too long")));
  // A flipped bit in the signature, or anywhere: never OK, never a crash.
  int refused = 0;
  for (size_t at = 40; at + 40 < csr.size(); at += 7) {
    std::string broken = csr;
    broken[at] = broken[at] == 'A' ? 'B' : 'A';
    if (!SignCsr(authority_, broken, kNode, kNow, kDay).ok()) ++refused;
  }
  EXPECT_GT(refused, 10);
}

TEST_F(CertificatesTest, RefusesNamesThatCouldConfuse) {
  for (const Subject& subject :
       {Subject{"", Role::kWorker, "n"}, Subject{"c", Role::kWorker, ""},
        Subject{"c", Role::kNone, "n"}, Subject{"c", Role::kClientAdmin, std::string(65, 'x')},
        Subject{"c", Role::kClientAdmin, "a\nb"},
        Subject{"c", Role::kClientAdmin, std::string("a\0b", 3)}}) {
    EXPECT_THAT(SignCsr(authority_, Csr(), subject, kNow, kDay),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(CertificatesTest, TheAuthorityItselfHasNoIdentity) {
  EXPECT_THAT(ParseIdentity(authority_.certificate_pem),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs one")));
}

TEST_F(CertificatesTest, RolesAreWrittenExactly) {
  for (Role role : {Role::kWorker, Role::kManager, Role::kClientViewer, Role::kClientAdmin}) {
    EXPECT_EQ(ParseRoleUnit(RoleUnit(role)), role);
  }
  EXPECT_EQ(ParseRoleUnit("swarm-manager "), Role::kNone);
  EXPECT_EQ(ParseRoleUnit("swarm"), Role::kNone);
  EXPECT_EQ(ParseRoleUnit(""), Role::kNone);
}

TEST_F(CertificatesTest, KeyAndCertificateAreMatched) {
  auto pair = MakeCertificate(authority_, kNode, kNow, kDay);
  ASSERT_OK(pair);
  EXPECT_OK(CheckKeyMatches(pair->certificate_pem, pair->key_pem));
  EXPECT_THAT(CheckKeyMatches(pair->certificate_pem, authority_.key_pem),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(CertificatesTest, SplitsAFileOfSeveralCertificates) {
  auto pair = MakeCertificate(authority_, kNode, kNow, kDay);
  ASSERT_OK(pair);
  auto both = SplitCertificates(StrCat(pair->certificate_pem, authority_.certificate_pem));
  ASSERT_OK(both);
  ASSERT_EQ(both->size(), 2u);
  EXPECT_EQ(*CertificateDigest((*both)[1]), *CertificateDigest(authority_.certificate_pem));
  EXPECT_THAT(SplitCertificates(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SplitCertificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace swarm::tls
