// ImageStore: content-addressed images on this node, verified while they stream in, unpacked once
// and shared by all containers.
//
// Blocking; call from the agent's pool. Any thread, several at a time; two that want one digest
// share the work. Kill it at any point: what is not whole is thrown away at the next Open.
#ifndef SWARM_AGENT_IMAGE_IMAGE_STORE_H_
#define SWARM_AGENT_IMAGE_IMAGE_STORE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/oci/reference.h"
#include "common/oci/registry.h"

namespace swarm::agent {

struct StoredImage {
  std::vector<std::string> references;  // normalised names that point at it
  std::string digest;                   // of the manifest or index that was pulled or loaded
  std::string config_digest;            // "sha256:…" of the configuration: the image id
  int64_t size_bytes = 0;               // of the compressed layers and documents
  absl::Time created_at;                // as the image says
  absl::Time loaded_at;
  std::string os, architecture, variant;
};

// What a container needs of an image.
struct UnpackedImage {
  std::string config_json;
  // Topmost first, absolute, all in one folder "<root>/layers/": at most 23 bytes each after it, so
  // an overlay mounted from there by relative names takes 128 layers in 3 KiB of options. Never
  // empty.
  std::vector<std::string> lower_dirs;
};

struct ImageProgress {
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
};

class ImageStore {
 public:
  virtual ~ImageStore() = default;

  // An OCI layout or docker-save tar (plain, gzip, zstd), read from `path`. `reference` names an
  // image that carries no name. Errors are of one line and leave nothing new in the store.
  virtual absl::StatusOr<std::vector<StoredImage>> Load(const std::string& path,
                                                        const std::string& reference) = 0;
  // When `digest` is given (or `reference` has one), just those bytes, without a word to the
  // registry when they are here, and a name that exists stays where it is; else whatever the tag
  // says now. Unpacks each layer as it comes. `progress` (may be empty) is called on this thread.
  // NotFound, Unavailable, PermissionDenied, DataLoss as oci::Registry; FailedPrecondition or
  // NotFound: no image for this platform; ResourceExhausted: disk or a limit; Cancelled.
  virtual absl::StatusOr<StoredImage> Pull(const oci::Reference& reference,
                                           const std::string& digest,
                                           std::function<void(const ImageProgress&)> progress,
                                           const std::atomic<bool>& cancelled) = 0;
  // By digest ("sha256:…" of manifest, index or configuration) or by name. NotFound.
  virtual absl::StatusOr<StoredImage> Find(const std::string& ref) const = 0;
  // By digest or name. Unpacks what is not yet. NotFound also when a layer's bytes are gone: pull
  // again.
  virtual absl::StatusOr<UnpackedImage> Unpack(const std::string& digest) = 0;
  virtual std::vector<StoredImage> List() const = 0;
  // Removes a name; the image with its last one (or, by digest, all its names). FailedPrecondition
  // while containers use it (`in_use` says so by image digest), unless `force` and only names go.
  struct Removal {
    std::vector<std::string> untagged, deleted;
  };
  virtual absl::StatusOr<Removal> Remove(const std::string& ref, bool force,
                                         const std::function<bool(const std::string&)>& in_use) = 0;
};

struct ImageStoreOptions {
  std::string root;  // "/var/lib/swarm/agent/images", 0700
  oci::RegistryOptions registry;
};
// Throws away what a crash left half-made. An index that is lost or damaged is made again out of
// the documents, without names (running containers stand on these layers). FailedPrecondition:
// another agent uses the folder.
absl::StatusOr<std::unique_ptr<ImageStore>> OpenImageStore(ImageStoreOptions options);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_IMAGE_STORE_H_
