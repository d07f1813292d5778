#include "agent/wireguard_identity.h"

#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/tls/x25519.h"

namespace swarm::agent {

absl::StatusOr<WireguardIdentity> OpenWireguardIdentity(const std::string& path, Random& random) {
  WireguardIdentity identity;
  if (auto kept = ReadFile(path, tls::kX25519KeyBytes); kept.ok()) {
    identity.private_key = *std::move(kept);
  }
  if (identity.private_key.size() != tls::kX25519KeyBytes) {
    identity.private_key = tls::MakeX25519Key(random);
    RETURN_IF_ERROR(WriteFileAtomically(path, identity.private_key, 0600));
  }
  ASSIGN_OR_RETURN(identity.public_key, tls::X25519PublicKey(identity.private_key));
  return identity;
}

}  // namespace swarm::agent
