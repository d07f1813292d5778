// ImageIndex: which images there are, as values and as the file images.json.
#ifndef SWARM_AGENT_IMAGE_IMAGE_INDEX_H_
#define SWARM_AGENT_IMAGE_IMAGE_INDEX_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/image/image_store.h"

namespace swarm::agent {

struct ImageRecord {
  StoredImage image;
  std::string manifest_digest;        // equals image.digest unless that is an index
  std::vector<std::string> blobs;     // digests of documents and layers
  std::vector<std::string> diff_ids;  // bottom first
};

// A plain value; its owner locks.
class ImageIndex {
 public:
  static constexpr size_t kMaxImages = 5000;

  // DataLoss when `text` is no index of a version that this code reads.
  static absl::StatusOr<ImageIndex> Parse(std::string_view text);
  std::string ToJson() const;

  // Replaces the record of the same digest, keeping its names; takes its names from other images.
  void Put(ImageRecord record);
  void Erase(const std::string& digest) { records_.erase(digest); }
  // By name, digest of any document, "name@digest", or a prefix of the configuration's digest of at
  // least 4 digits that only one image has. Null when there is none.
  const ImageRecord* Find(const std::string& ref) const;
  ImageRecord* FindMutable(const std::string& digest);
  // All blobs and layer names that records need.
  std::set<std::string> Needed() const;
  const std::map<std::string, ImageRecord>& records() const { return records_; }

 private:
  const ImageRecord* FindByDigest(const std::string& digest) const;
  std::map<std::string, ImageRecord> records_;  // by image.digest
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_IMAGE_INDEX_H_
