#include "manager/api/clusters.h"

#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::StatusIs;

class ClustersTest : public ::testing::Test, public ApiWorld {
 protected:
  ClustersTest() {
    ca.Bootstrap({{}, "10.0.0.1:2377", "10.0.0.1:2378"}, [](absl::Status s) { EXPECT_OK(s); });
    loop.RunUntilIdle();
  }
  v1::Cluster Get() {
    auto read = Await<v1::Cluster>([&](auto reply) { clusters.Get({}, std::move(reply)); });
    EXPECT_OK(read);
    return read.value_or(v1::Cluster());
  }
  absl::StatusOr<v1::Cluster> Update(uint64_t version, const v1::ClusterSpec& spec) {
    v1::UpdateClusterRequest request;
    request.set_version(version);
    *request.mutable_spec() = spec;
    return Await<v1::Cluster>([&](auto reply) { clusters.Update(request, std::move(reply)); });
  }
  absl::StatusOr<v1::JoinTokens> Rotate(std::optional<int64_t> expiry_seconds) {
    v1::RotateJoinTokenRequest request;
    request.set_role(v1::NodeSpec::ROLE_WORKER);
    if (expiry_seconds.has_value()) request.mutable_expiry()->set_seconds(*expiry_seconds);
    return Await<v1::JoinTokens>(
        [&](auto reply) { clusters.RotateJoinToken(request, std::move(reply)); });
  }
  absl::Status Join(const std::string& token) {
    v1::IssueNodeCertificateRequest request;
    request.set_token(token);
    request.set_csr_pem(*tls::MakeCsrPem(*tls::MakeKeyPem()));
    return Await<v1::IssueNodeCertificateResponse>(
               [&](auto reply) { ca.IssueForToken(request, std::move(reply)); })
        .status();
  }

  SecretVault vault{SecretBytes::Copy(std::string(32, 'k'))};
  ClusterCa ca{env, *store, vault};
  Clusters clusters{env, *store, ca};
};

TEST_F(ClustersTest, UpdatesTheSpecAndKeepsTheRest) {
  const v1::Cluster before = Get();
  v1::ClusterSpec spec = before.spec();
  spec.set_task_history_limit(9);
  spec.mutable_heartbeat_period()->set_seconds(2);
  auto updated = Update(before.meta().version(), spec);
  ASSERT_OK(updated);
  EXPECT_GT(updated->meta().version(), before.meta().version());
  const v1::Cluster after = Get();
  EXPECT_EQ(9u, after.spec().task_history_limit());
  EXPECT_EQ(2, after.spec().heartbeat_period().seconds());
  EXPECT_EQ(before.id(), after.id());
  EXPECT_EQ(before.root_ca_pem(), after.root_ca_pem());
  EXPECT_EQ(store->version(), store->durable_version());
}

TEST_F(ClustersTest, RefusesAStaleVersionAndNone) {
  const v1::Cluster before = Get();
  v1::ClusterSpec spec = before.spec();
  spec.set_task_history_limit(9);
  ASSERT_OK(Update(before.meta().version(), spec));
  spec.set_task_history_limit(3);
  EXPECT_THAT(Update(before.meta().version(), spec),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("read it again")));
  EXPECT_THAT(Update(0, spec), StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("version")));
  EXPECT_EQ(9u, Get().spec().task_history_limit());
}

TEST_F(ClustersTest, RotatesToATokenThatExpires) {
  auto tokens = Rotate(3600);
  ASSERT_OK(tokens);
  EXPECT_OK(Join(tokens->worker()));
  loop.Advance(absl::Minutes(61));
  EXPECT_THAT(Join(tokens->worker()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("expired")));
  auto lasting = Rotate(std::nullopt);
  ASSERT_OK(lasting);
  loop.Advance(absl::Hours(24 * 365));
  EXPECT_OK(Join(lasting->worker()));
}

TEST_F(ClustersTest, RefusesAnExpiryThatIsNoneOrTooLong) {
  const int64_t ten_years = int64_t{10} * 365 * 24 * 3600;
  EXPECT_OK(Rotate(ten_years));
  for (int64_t seconds : {int64_t{0}, int64_t{-1}, ten_years + 1}) {
    EXPECT_THAT(Rotate(seconds), StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("expiry")))
        << seconds;
  }
}

}  // namespace
}  // namespace swarm::manager
