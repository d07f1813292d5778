// This node's key of WireGuard.
//
// It lives as long as the boot: in the folder of what does (/run, which is no disk), where the next
// agent finds it, so that a restarted one goes on with the tunnel that is there and no other node
// has anything to learn. A rebooted node, whose containers are gone, begins with a new one, which
// it says with its description; so no key of a network that was used is ever found on a disk. A
// machine that left and is another node now has another key. The boot is in the file as well, for
// folders that do outlive it.
#ifndef SWARM_AGENT_WIREGUARD_IDENTITY_H_
#define SWARM_AGENT_WIREGUARD_IDENTITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/random.h"

namespace swarm::agent {

// 32 bytes each (RFC 7748), or none of them.
struct WireguardIdentity {
  std::string private_key;
  std::string public_key;
};

struct WireguardOwner {
  std::string node_id;
  std::string boot_id;
};

// The owner's key in the file at `path`, or a new one, which is written there for root alone. A
// file that holds none, or another owner's, is replaced. Blocking, for as long as it takes to read
// or write 60 bytes without a sync.
absl::StatusOr<WireguardIdentity> OpenWireguardIdentity(const std::string& path,
                                                        const WireguardOwner& owner,
                                                        Random& random);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_WIREGUARD_IDENTITY_H_
