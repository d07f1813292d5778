#include "agent/wireguard_identity.h"

#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/x25519.h"

namespace swarm::agent {
namespace {

constexpr size_t kMostBytes = 1024;

}  // namespace

// The file is the key and then who has it since when.
absl::StatusOr<WireguardIdentity> OpenWireguardIdentity(const std::string& path,
                                                        const WireguardOwner& owner,
                                                        Random& random) {
  const std::string of = StrCat(owner.node_id, "\n", owner.boot_id);
  WireguardIdentity identity;
  const std::string kept = ReadFile(path, kMostBytes).value_or("");
  if (kept.size() > tls::kX25519KeyBytes && kept.substr(tls::kX25519KeyBytes) == of) {
    identity.private_key = kept.substr(0, tls::kX25519KeyBytes);
  } else {
    identity.private_key = tls::MakeX25519Key(random);
    RETURN_IF_ERROR(WriteFileAtomically(path, identity.private_key + of, 0600));
  }
  ASSIGN_OR_RETURN(identity.public_key, tls::X25519PublicKey(identity.private_key));
  return identity;
}

}  // namespace swarm::agent
