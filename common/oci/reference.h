// Image references as people write them: "nginx", "web/app:1.2", "reg:5000/a/b@sha256:…".
#ifndef SWARM_COMMON_OCI_REFERENCE_H_
#define SWARM_COMMON_OCI_REFERENCE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/oci/digest.h"  // CheckDigest

namespace swarm::oci {

// Normalised as Docker does: "nginx" is docker.io/library/nginx:latest.
struct Reference {
  std::string host;        // "docker.io", "localhost:5000"
  std::string repository;  // "library/nginx"
  std::string tag;         // "latest"; empty only when a digest is given and no tag was
  std::string digest;      // "sha256:<64 hex>" or empty

  // By the distribution specification's grammar; InvalidArgument says what is wrong with `text`.
  static absl::StatusOr<Reference> Parse(std::string_view text);
  // "docker.io/library/nginx:latest" (digest left out): the key of names in stores.
  std::string Name() const;
  // Name with "@digest" when there is one.
  std::string ToString() const;
  // As people like to read it: "nginx:latest"; with the digest only when there is no tag.
  std::string Familiar() const;
};

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_REFERENCE_H_
