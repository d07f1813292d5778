// Sealing: what lies on a disk and must tell nobody anything without the key. AES-256-GCM.
//
//   std::string sealed = Seal(key, "secret 2x…", plain.Reveal(), random);
//   ASSIGN_OR_RETURN(SecretBytes plain, Unseal(key, "secret 2x…", sealed));
//
// A sealed text is a nonce of 12 bytes, the text, and a tag of 16 bytes. `about` is bound in and
// not kept: what was sealed about one thing does not open as another. Nonces are random, so one key
// may seal some 2^32 texts. Pure but for the random source; any thread.
#ifndef SWARM_COMMON_TLS_SEALED_BOX_H_
#define SWARM_COMMON_TLS_SEALED_BOX_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/random.h"
#include "common/secret_bytes.h"

namespace swarm::tls {

inline constexpr size_t kSealKeyBytes = 32;
inline constexpr size_t kSealedOverhead = 12 + 16;

// A new key. `random` must be fit for keys.
SecretBytes MakeSealKey(Random& random);

// CHECK: the key has 32 bytes.
std::string Seal(const SecretBytes& key, std::string_view about, std::string_view plain,
                 Random& random);
// DataLoss when it was sealed with another key, about something else, or is damaged.
absl::StatusOr<SecretBytes> Unseal(const SecretBytes& key, std::string_view about,
                                   std::string_view sealed);

// HMAC-SHA-256, 32 bytes: stands for `text` and tells who has not the key nothing of it.
std::string KeyedDigest(const SecretBytes& key, std::string_view text);

}  // namespace swarm::tls

#endif  // SWARM_COMMON_TLS_SEALED_BOX_H_
