// Keys of Curve25519 (RFC 7748), as WireGuard has them: 32 bytes each, without any envelope.
#ifndef SWARM_COMMON_TLS_X25519_H_
#define SWARM_COMMON_TLS_X25519_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/random.h"

namespace swarm::tls {

inline constexpr size_t kX25519KeyBytes = 32;

// A private key, clamped as the RFC says. `random` is a SystemRandom, but in tests.
std::string MakeX25519Key(Random& random);
// InvalidArgument when `private_key` is not 32 bytes.
absl::StatusOr<std::string> X25519PublicKey(std::string_view private_key);

}  // namespace swarm::tls

#endif  // SWARM_COMMON_TLS_X25519_H_
