// Where an image comes from (registry, archive, the store itself), and how its documents are read
// into one value whatever the source.
#ifndef SWARM_AGENT_IMAGE_IMAGE_SOURCE_H_
#define SWARM_AGENT_IMAGE_IMAGE_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/image/blob_store.h"
#include "common/oci/manifest.h"

namespace swarm::agent {

// Called from several threads at a time.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // Index, manifest or configuration. Callers verify digest and size.
  virtual absl::StatusOr<std::string> ReadManifest(const oci::Descriptor& descriptor) = 0;
  virtual absl::StatusOr<std::string> ReadConfig(const oci::Descriptor& descriptor) = 0;
  // Puts a layer's blob into the store; it is known not to be there. `received` counts the bytes.
  virtual absl::Status FetchBlob(const oci::Descriptor& layer, BlobStore& store,
                                 std::atomic<int64_t>& received, const std::atomic<bool>& stop) = 0;
};

// All that the documents of one image say, verified.
struct ImageContent {
  std::string digest;           // of the outermost document
  std::string manifest_digest;  // of the manifest
  oci::Descriptor config_descriptor;
  oci::ImageConfig config;
  std::vector<oci::Descriptor> layers;  // as many as config.diff_ids, bottom first
  std::vector<std::pair<std::string, std::string>> documents;  // digest, bytes

  int64_t TotalBytes() const;
  // Names that the store must keep for it: digests and layer names.
  std::vector<std::string> Needs() const;
};

// Follows `root` (index or manifest) to the image for `host`. FailedPrecondition or NotFound when
// there is none for it; DataLoss: wrong bytes; InvalidArgument: documents that contradict each
// other.
absl::StatusOr<ImageContent> ReadImage(const oci::Descriptor& root, const oci::Platform& host,
                                       ImageSource& source);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_IMAGE_SOURCE_H_
