// Who is calling. The struct is plain, so that the table of role rules needs no gRPC; PeerOf is for
// the services.
#ifndef SWARM_COMMON_GRPC_PEER_H_
#define SWARM_COMMON_GRPC_PEER_H_

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/tls/certificates.h"

namespace grpc {
class ServerContextBase;
}

namespace swarm::edge {

struct PeerIdentity {
  enum class Kind {
    kUnknown,      // plaintext that is not a unix socket, or an unreadable certificate: nothing is
                   // allowed
    kAnonymous,    // TLS without a client certificate: the join port
    kLocal,        // a unix socket; the listener let in only administrators (SO_PEERCRED)
    kCertificate,  // `certificate` was checked against the cluster's root
  };
  Kind kind = Kind::kUnknown;
  tls::Identity certificate;
  std::string address;  // "10.0.0.7:41234", "[::1]:5000" or "unix:"

  bool IsLocal() const { return kind == Kind::kLocal; }
  bool Has(tls::Role role) const { return kind == Kind::kCertificate && certificate.role == role; }
  bool IsNode() const { return Has(tls::Role::kWorker) || Has(tls::Role::kManager); }
  // "node x5k…", "client ops (admin)", "local", "anonymous at 10.0.0.7:41234": for messages and
  // logs.
  std::string ToString() const;
};

// Any thread; reads the connection's checked certificate, about 30 us.
PeerIdentity PeerOf(const ::grpc::ServerContextBase& context);

// Asks the table of role rules whether `peer` may call `method` ("/swarm.v1.Dispatcher/Session").
// PermissionDenied or Unauthenticated with the reason. Any thread.
using Authorizer = std::function<absl::Status(std::string_view method, const PeerIdentity& peer)>;

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_PEER_H_
