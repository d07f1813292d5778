// ImageArchive: an OCI layout or docker-save tar, taken apart into the store's ingest folder.
#ifndef SWARM_AGENT_IMAGE_IMAGE_ARCHIVE_H_
#define SWARM_AGENT_IMAGE_IMAGE_ARCHIVE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/image/blob_store.h"
#include "agent/image/image_source.h"
#include "agent/image/tar_reader.h"

namespace swarm::agent {

class ImageArchive : public ImageSource {
 public:
  // Reads all of `path` (plain, gzip or zstd), every file hashed. Files of a layout whose name is a
  // digest must have it: DataLoss "blob sha256:…: expected …, got …".
  static absl::StatusOr<std::unique_ptr<ImageArchive>> Extract(const std::string& path,
                                                               BlobStore& store,
                                                               const TarLimits& limits,
                                                               const std::atomic<bool>& stop);

  struct NamedImage {
    std::vector<std::string> names;  // normalised
    ImageContent content;
  };
  // The images for `host`. One without a name gets `reference`, when that is not empty and there is
  // no other without; with no name at all it stays reachable by digest.
  absl::StatusOr<std::vector<NamedImage>> Images(const oci::Platform& host,
                                                 const std::string& reference);

  absl::StatusOr<std::string> ReadManifest(const oci::Descriptor& descriptor) override;
  absl::StatusOr<std::string> ReadConfig(const oci::Descriptor& descriptor) override;
  absl::Status FetchBlob(const oci::Descriptor& layer, BlobStore& store,
                         std::atomic<int64_t>& received, const std::atomic<bool>& stop) override;

 private:
  ImageArchive() = default;
  absl::Status AddFile(const std::string& name, TarReader& tar, BlobStore& store);
  void AddAlias(const std::string& name, const std::string& target, bool relative);
  IngestFile* Find(const std::string& name);
  absl::StatusOr<std::string> ReadSmall(IngestFile& file, size_t limit) const;
  absl::StatusOr<std::vector<NamedImage>> LayoutImages(IngestFile& index,
                                                       const oci::Platform& host);
  absl::StatusOr<std::vector<NamedImage>> SavedImages(IngestFile& manifest,
                                                      const oci::Platform& host);
  absl::StatusOr<oci::Descriptor> MakeManifestOf(const oci::SavedImage& saved);

  std::vector<std::unique_ptr<IngestFile>> files_;
  std::map<std::string, IngestFile*> by_name_;
  std::map<std::string, IngestFile*> by_digest_;
  std::map<std::string, std::string> aliases_;         // links of docker-save: name → name
  std::map<std::string, std::string> made_manifests_;  // digest → bytes
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_IMAGE_ARCHIVE_H_
