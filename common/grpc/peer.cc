#include "common/grpc/peer.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "common/strings.h"

namespace swarm::edge {
namespace {

std::string OneProperty(const ::grpc::AuthContext& context, const char* name) {
  const std::vector<::grpc::string_ref> values = context.FindPropertyValues(name);
  return values.size() == 1 ? std::string(values[0].data(), values[0].size()) : std::string();
}

// "ipv6:%5B::1%5D:5000" becomes "[::1]:5000".
std::string PlainAddress(std::string peer) {
  for (const char* scheme : {"ipv4:", "ipv6:"}) {
    if (absl::StartsWith(peer, scheme)) peer.erase(0, 5);
  }
  return absl::StrReplaceAll(peer, {{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}});
}

}  // namespace

PeerIdentity PeerOf(const ::grpc::ServerContextBase& context) {
  PeerIdentity peer;
  const std::string uri = context.peer();
  peer.address = PlainAddress(uri);
  const std::shared_ptr<const ::grpc::AuthContext> auth = context.auth_context();
  const std::string transport =
      auth == nullptr ? "" : OneProperty(*auth, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
  if (transport == GRPC_SSL_TRANSPORT_SECURITY_TYPE) {
    const std::string pem = OneProperty(*auth, GRPC_X509_PEM_CERT_PROPERTY_NAME);
    if (pem.empty()) {
      peer.kind = PeerIdentity::Kind::kAnonymous;
    } else if (auto identity = tls::ParseIdentity(pem); identity.ok()) {
      peer.kind = PeerIdentity::Kind::kCertificate;
      peer.certificate = *std::move(identity);
    }
  } else if (absl::StartsWith(uri, "unix:")) {
    peer.kind = PeerIdentity::Kind::kLocal;
  }
  return peer;
}

std::string PeerIdentity::ToString() const {
  switch (kind) {
    case Kind::kLocal:
      return "local";
    case Kind::kAnonymous:
      return StrCat("anonymous at ", address);
    case Kind::kUnknown:
      return StrCat("unknown at ", address);
    case Kind::kCertificate:
      break;
  }
  switch (certificate.role) {
    case tls::Role::kClientAdmin:
      return StrCat("client ", certificate.name, " (admin)");
    case tls::Role::kClientViewer:
      return StrCat("client ", certificate.name, " (viewer)");
    default:
      return StrCat("node ", certificate.name);
  }
}

}  // namespace swarm::edge
