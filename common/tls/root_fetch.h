// The first contact of a node that joins: fetch the cluster's root certificate from an address that
// nobody vouches for yet, and believe it only when its hash is the token's.
//
//   ASSIGN_OR_RETURN(FetchedRoot root, FetchRootCertificate("10.0.0.1:2378", token,
//   absl::Seconds(10))); auto channel = edge::MakeChannel(addr,
//   edge::PinnedRootCredentials(root.root_ca_pem));
//
// Both ports send their chain with the CA at its end, in a TLS 1.3 handshake, before they ask who
// the caller is. So either port will do for this step.
#ifndef SWARM_COMMON_TLS_ROOT_FETCH_H_
#define SWARM_COMMON_TLS_ROOT_FETCH_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/tls/join_token.h"

namespace swarm::tls {

struct FetchedRoot {
  std::string root_ca_pem;
  // True when the server wants a client certificate: this is a control port (2377), and joining
  // happens at the join port.
  bool is_control_port = false;
};

// Blocks for at most `timeout`. `addr` is host:port, IPv6 in brackets; names are resolved.
// Unavailable when nothing answers or it speaks no TLS 1.3; PermissionDenied when the CA is not the
// token's (a foreign cluster, or somebody in between).
absl::StatusOr<FetchedRoot> FetchRootCertificate(const std::string& addr, const JoinToken& token,
                                                 const Clock& clock, absl::Duration timeout);

// Where to ask for a certificate, best first, given what FetchRootCertificate found at `addr`: the
// address itself when it is a join port; port + 1, then port - 1, when it is a control port.
absl::StatusOr<std::vector<std::string>> JoinAddressesFor(const std::string& addr,
                                                          bool is_control_port);

}  // namespace swarm::tls

#endif  // SWARM_COMMON_TLS_ROOT_FETCH_H_
