// Who may call what: one table for every RPC of every service that a manager serves.
//
//   absl::Status s = Authorize("/swarm.v1.Control/DeleteNode", peer);
//
// Pure; any thread. An RPC without a rule is refused (and fails a test that walks the descriptors).
// The rule looks at the kind of caller alone; what a node may touch (its own tasks, S2) is decided
// in the room.
#ifndef SWARM_MANAGER_API_ROLE_TABLE_H_
#define SWARM_MANAGER_API_ROLE_TABLE_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "common/grpc/peer.h"

namespace swarm::manager {

// A set of kinds of callers, as bits.
enum Caller : uint8_t {
  kNobody = 0,
  kLocalAdmin = 1,   // the manager's own socket
  kAdmin = 2,        // client certificate
  kViewer = 4,       // client certificate: reads, never sees tokens or keys
  kManagerNode = 8,  // node certificates
  kWorkerNode = 16,
  kAnyone = 32,  // the join port: TLS without a client certificate; a token decides
};

// The bits that may call "/swarm.v1.Control/GetCluster"; nullopt when there is no rule.
std::optional<uint8_t> RuleOf(std::string_view method);

// The one bit of `peer`; kNobody when it proved nothing.
Caller CallerOf(const edge::PeerIdentity& peer);

// Unauthenticated when the peer proved nothing, PermissionDenied with who and what otherwise.
absl::Status Authorize(std::string_view method, const edge::PeerIdentity& peer);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_ROLE_TABLE_H_
