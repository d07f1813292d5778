// SHA-256 digests as images write them: "sha256:<64 lower-case hex>".
//
//   Sha256 hash;  hash.Update(bytes);  …  std::string digest = hash.Finish();
#ifndef SWARM_COMMON_OCI_DIGEST_H_
#define SWARM_COMMON_OCI_DIGEST_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace swarm::oci {

// One stream of bytes, one thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::string_view bytes);
  // The digest of all bytes so far; starts anew.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string DigestOf(std::string_view bytes);

// InvalidArgument unless "sha256:" and 64 lower-case hex digits.
absl::Status CheckDigest(std::string_view digest);
// The 64 hex digits of a digest that CheckDigest accepts: what files are named after.
std::string DigestHex(std::string_view digest);
// DataLoss "<what>: expected sha256:…, got sha256:…" unless they are equal.
absl::Status MatchDigest(std::string_view what, std::string_view expected, std::string_view got);

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_DIGEST_H_
