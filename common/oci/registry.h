// A client of the OCI distribution API (libcurl). Without credentials for now.
#ifndef SWARM_COMMON_OCI_REGISTRY_H_
#define SWARM_COMMON_OCI_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/oci/reference.h"

namespace swarm::oci {

struct RegistryOptions {
  std::string ca_file;                           // --registry-ca; empty: the system's roots
  std::vector<std::string> insecure_registries;  // host[:port] spoken to over HTTP, and no others
  absl::Duration connect_timeout = absl::Seconds(5);
  // A transfer with less than 1 KiB/s for this long is given up (progress, not total time).
  absl::Duration stall_timeout = absl::Seconds(30);
  // The longest first wait before another try after 429, 5xx or a lost connection; then doubled.
  absl::Duration retry_base = absl::Milliseconds(200);
};

struct Document {
  std::string media_type;
  std::string digest;  // of `body`, computed here
  std::string body;
};

// Blocking; any thread, several at a time.
class Registry {
 public:
  virtual ~Registry() = default;
  // Manifest or index by tag, or by digest when `reference` has one (then verified). At most 4 MiB.
  // NotFound: the registry answered that it has none; Unavailable: no answer (connection, TLS,
  // 5xx); PermissionDenied: credentials are wanted; DataLoss: the bytes do not match the digest.
  virtual absl::StatusOr<Document> GetManifest(const Reference& reference) = 0;
  // The same; Cancelled soon after `cancelled`. A registry that answers at once need not look.
  virtual absl::StatusOr<Document> GetManifest(const Reference& reference,
                                               const std::atomic<bool>& cancelled) {
    if (cancelled) return absl::CancelledError("cancelled");
    return GetManifest(reference);
  }
  // Streams the blob to `sink`, each byte once, in order; verifies size and digest before OK.
  // Retries by itself, going on where it was with Range (a server may ignore it).
  virtual absl::Status GetBlob(const Reference& reference, const std::string& digest,
                               int64_t expected_size,
                               std::function<absl::Status(std::string_view)> sink,
                               const std::atomic<bool>& cancelled) = 0;
};

std::unique_ptr<Registry> MakeRegistry(RegistryOptions options);

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_REGISTRY_H_
