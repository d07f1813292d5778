// Join tokens: `SWMTKN-1-<50 base-36: SHA-256 of the CA certificate>-<25 base-36: secret>`.
//
// The digest lets a joining node check the cluster before it says anything; the secret, kept in the
// cluster record, tells the cluster which role the node may have.
#ifndef SWARM_COMMON_TLS_JOIN_TOKEN_H_
#define SWARM_COMMON_TLS_JOIN_TOKEN_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace swarm {
class Random;
}

namespace swarm::tls {

struct JoinToken {
  std::string ca_digest;  // 32 raw bytes
  std::string secret;     // 25 base-36 characters

  // InvalidArgument says what is wrong and never repeats the token.
  static absl::StatusOr<JoinToken> Parse(std::string_view text);
  std::string ToString() const;
};

// 128 random bits as 25 base-36 characters; `random` is the kernel's.
std::string MakeTokenSecret(Random& random);

// Takes the same time wherever the two differ; lengths are not secret.
bool SecretsEqual(std::string_view a, std::string_view b);

}  // namespace swarm::tls

#endif  // SWARM_COMMON_TLS_JOIN_TOKEN_H_
