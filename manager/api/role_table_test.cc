#include "manager/api/role_table.h"

#include <string>
#include <vector>

#include "common/strings.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "swarm/v1/ca.pb.h"
#include "swarm/v1/containers.pb.h"
#include "swarm/v1/control.pb.h"
#include "swarm/v1/logs.pb.h"
#include "swarm/v1/node_local.pb.h"
#include "swarm/v1/unlock.pb.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using testing::IsOk;
using testing::StatusIs;

edge::PeerIdentity With(tls::Role role) {
  edge::PeerIdentity peer{.kind = edge::PeerIdentity::Kind::kCertificate};
  peer.certificate.role = role;
  peer.certificate.name = "somebody";
  return peer;
}

std::vector<std::string> AllMethods() {
  const google::protobuf::FileDescriptor* files[] = {
      v1::GetClusterRequest::descriptor()->file(),   v1::AgentMessage::descriptor()->file(),
      v1::LogMessage::descriptor()->file(),          v1::ContainerInput::descriptor()->file(),
      v1::RootCertificate::descriptor()->file(),     v1::NodeInfo::descriptor()->file(),
      v1::UnlockManagerRequest::descriptor()->file()};
  std::vector<std::string> methods;
  for (const auto* file : files) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(
            StrCat("/", file->service(s)->full_name(), "/", file->service(s)->method(m)->name()));
      }
    }
  }
  return methods;
}

// S1. A new RPC gets a rule in role_table.cc before it gets anything else.
TEST(RoleTableTest, HasARuleForEveryRpc) {
  const std::vector<std::string> methods = AllMethods();
  EXPECT_GE(methods.size(), 30u);
  for (const std::string& method : methods) {
    EXPECT_TRUE(RuleOf(method).has_value())
        << method << " has no rule in manager/api/role_table.cc";
  }
}

TEST(RoleTableTest, RefusesWhatHasNoRule) {
  edge::PeerIdentity local{.kind = edge::PeerIdentity::Kind::kLocal};
  EXPECT_THAT(Authorize("/swarm.v1.Control/Invented", local),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Authorize("", local), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(RoleTableTest, LetsNobodyWithoutIdentityIn) {
  edge::PeerIdentity unknown;
  for (const std::string& method : AllMethods()) {
    EXPECT_THAT(Authorize(method, unknown), StatusIs(absl::StatusCode::kUnauthenticated)) << method;
    EXPECT_THAT(Authorize(method, With(tls::Role::kNone)),
                StatusIs(absl::StatusCode::kUnauthenticated))
        << method;
  }
}

TEST(RoleTableTest, KeepsNodesOutOfControl) {
  for (const std::string& method : AllMethods()) {
    if (method.rfind("/swarm.v1.Control/", 0) != 0 || method == "/swarm.v1.Control/GetVersion") {
      continue;
    }
    EXPECT_THAT(Authorize(method, With(tls::Role::kWorker)),
                StatusIs(absl::StatusCode::kPermissionDenied))
        << method;
    EXPECT_THAT(Authorize(method, With(tls::Role::kManager)),
                StatusIs(absl::StatusCode::kPermissionDenied))
        << method;
  }
}

TEST(RoleTableTest, LetsViewersReadButNeitherWriteNorSeeTokens) {
  const auto viewer = With(tls::Role::kClientViewer);
  for (const char* method : {"GetCluster", "ListNodes", "ListServices", "GetTask", "Watch"}) {
    EXPECT_THAT(Authorize(StrCat("/swarm.v1.Control/", method), viewer), IsOk()) << method;
  }
  for (const char* method : {"GetJoinTokens", "RotateJoinToken", "CreateClientCertificate",
                             "CreateService", "UpdateNode", "DeleteService", "UpdateCluster"}) {
    EXPECT_THAT(Authorize(StrCat("/swarm.v1.Control/", method), viewer),
                StatusIs(absl::StatusCode::kPermissionDenied))
        << method;
  }
}

TEST(RoleTableTest, LeavesTheJoinPortItsTwoCalls) {
  edge::PeerIdentity anonymous{.kind = edge::PeerIdentity::Kind::kAnonymous};
  for (const std::string& method : AllMethods()) {
    const bool ca = method.rfind("/swarm.v1.CertificateAuthority/", 0) == 0;
    EXPECT_EQ(ca, Authorize(method, anonymous).ok()) << method;
  }
}

TEST(RoleTableTest, KeepsClientsOutOfTheSession) {
  for (const char* method : {"/swarm.v1.Dispatcher/Session", "/swarm.v1.LogPublisher/Publish",
                             "/swarm.v1.CertificateRenewal/RenewNodeCertificate"}) {
    EXPECT_FALSE(Authorize(method, With(tls::Role::kClientAdmin)).ok()) << method;
    EXPECT_FALSE(Authorize(method, {.kind = edge::PeerIdentity::Kind::kLocal}).ok()) << method;
    EXPECT_TRUE(Authorize(method, With(tls::Role::kWorker)).ok()) << method;
  }
}

}  // namespace
}  // namespace swarm::manager
