#include "agent/grpc_manager_client.h"

#include <grpc/support/time.h>
#include <grpcpp/client_context.h>

#include <utility>
#include <vector>

#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/grpc/status.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/join_token.h"
#include "common/tls/root_fetch.h"
#include "swarm/v1/ca.grpc.pb.h"
#include "swarm/v1/control.grpc.pb.h"

namespace swarm::agent {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(20);
constexpr absl::Duration kConnectTimeout = absl::Seconds(10);

// One unary call: Call(stub, &Stub::Method, request).
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub,
                              ::grpc::Status (Stub::*method)(::grpc::ClientContext*, const Request&,
                                                             Response*),
                              const Request& request) {
  ::grpc::ClientContext context;
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                   gpr_time_from_millis(absl::ToInt64Milliseconds(kDeadline), GPR_TIMESPAN)));
  Response response;
  const ::grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) return edge::FromGrpc(status);
  return response;
}

std::shared_ptr<::grpc::Channel> LocalChannel(const std::string& socket) {
  return edge::MakeChannel("unix:" + socket, edge::LocalCredentials());
}

}  // namespace

absl::StatusOr<v1::IssueNodeCertificateResponse> IssueLocally(
    const std::string& socket, const v1::IssueNodeCertificateRequest& request) {
  v1::CertificateAuthority::Stub stub(LocalChannel(socket));
  return Call(stub, &v1::CertificateAuthority::Stub::IssueNodeCertificate, request);
}

absl::StatusOr<ClusterFacts> ConfigureCluster(const std::string& socket,
                                              const v1::ClusterSpec& spec) {
  v1::Control::Stub stub(LocalChannel(socket));
  ASSIGN_OR_RETURN(v1::Cluster cluster,
                   Call(stub, &v1::Control::Stub::GetCluster, v1::GetClusterRequest()));
  if (spec.ByteSizeLong() > 0) {
    v1::UpdateClusterRequest request;
    request.set_version(cluster.meta().version());
    *request.mutable_spec() = cluster.spec();
    request.mutable_spec()->MergeFrom(spec);
    ASSIGN_OR_RETURN(cluster, Call(stub, &v1::Control::Stub::UpdateCluster, request));
  }
  ASSIGN_OR_RETURN(v1::JoinTokens tokens,
                   Call(stub, &v1::Control::Stub::GetJoinTokens, v1::GetJoinTokensRequest()));
  return ClusterFacts{cluster.id(), tokens.worker(), tokens.join_addr()};
}

absl::StatusOr<v1::IssueNodeCertificateResponse> IssueByToken(
    const std::string& addr, const v1::IssueNodeCertificateRequest& request, const Clock& clock) {
  ASSIGN_OR_RETURN(tls::JoinToken token, tls::JoinToken::Parse(request.token()));
  ASSIGN_OR_RETURN(tls::FetchedRoot root,
                   tls::FetchRootCertificate(addr, token, clock, kConnectTimeout));
  ASSIGN_OR_RETURN(std::vector<std::string> addresses,
                   tls::JoinAddressesFor(addr, root.is_control_port));
  absl::Status last = absl::UnavailableError("no join port");
  for (const std::string& address : addresses) {
    auto channel = edge::MakeChannel(address, edge::PinnedRootCredentials(root.root_ca_pem));
    v1::CertificateAuthority::Stub stub(channel);
    auto issued = Call(stub, &v1::CertificateAuthority::Stub::IssueNodeCertificate, request);
    if (issued.ok()) {
      issued->set_root_ca_pem(root.root_ca_pem);
      return issued;
    }
    last = issued.status();
    if (!absl::IsUnavailable(last)) return last;
  }
  return last;
}

absl::StatusOr<v1::IssueNodeCertificateResponse> RenewCertificate(const std::string& addr,
                                                                  const OwnCertificate& own,
                                                                  const std::string& csr_pem) {
  auto channel = edge::MakeChannel(
      addr, edge::MutualTlsCredentials({own.root_ca_pem, own.certificate_pem, own.key_pem}));
  v1::CertificateRenewal::Stub stub(channel);
  v1::RenewNodeCertificateRequest request;
  request.set_csr_pem(csr_pem);
  return Call(stub, &v1::CertificateRenewal::Stub::RenewNodeCertificate, request);
}

}  // namespace swarm::agent
