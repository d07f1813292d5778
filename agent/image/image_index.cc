#include "agent/image/image_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/image/blob_store.h"
#include "common/oci/json.h"
#include "common/oci/manifest.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr int64_t kVersion = 1;
constexpr size_t kMaxBytes = 64 << 20;
constexpr size_t kMaxValues = 5'000'000;

absl::StatusOr<std::vector<std::string>> Digests(const oci::JsonField& field) {
  ASSIGN_OR_RETURN(std::vector<std::string> digests, field.Texts());
  for (const std::string& digest : digests) RETURN_IF_ERROR(oci::CheckDigest(digest));
  return digests;
}

absl::StatusOr<std::string> Digest(const oci::JsonField& field) {
  ASSIGN_OR_RETURN(std::string digest, field.RequiredText());
  RETURN_IF_ERROR(oci::CheckDigest(digest));
  return digest;
}

absl::StatusOr<ImageRecord> ReadRecord(const oci::JsonField& field) {
  ImageRecord record;
  StoredImage& image = record.image;
  ASSIGN_OR_RETURN(image.references, field.At("references").Texts());
  ASSIGN_OR_RETURN(image.digest, Digest(field.At("digest")));
  ASSIGN_OR_RETURN(image.config_digest, Digest(field.At("config")));
  ASSIGN_OR_RETURN(record.manifest_digest, Digest(field.At("manifest")));
  ASSIGN_OR_RETURN(image.size_bytes, field.At("size").RequiredSize());
  ASSIGN_OR_RETURN(const std::string created, field.At("created").Text());
  ASSIGN_OR_RETURN(const std::string loaded, field.At("loaded").Text());
  std::string ignored;
  if (!absl::ParseTime(absl::RFC3339_full, created, &image.created_at, &ignored)) {
    image.created_at = absl::UnixEpoch();
  }
  if (!absl::ParseTime(absl::RFC3339_full, loaded, &image.loaded_at, &ignored)) {
    image.loaded_at = absl::UnixEpoch();
  }
  ASSIGN_OR_RETURN(image.os, field.At("os").Text());
  ASSIGN_OR_RETURN(image.architecture, field.At("architecture").Text());
  ASSIGN_OR_RETURN(image.variant, field.At("variant").Text());
  ASSIGN_OR_RETURN(record.blobs, Digests(field.At("blobs")));
  ASSIGN_OR_RETURN(record.diff_ids, Digests(field.At("diff_ids")));
  return record;
}

absl::StatusOr<std::vector<ImageRecord>> ReadRecords(std::string_view text) {
  ASSIGN_OR_RETURN(const oci::Json root, oci::ParseJson(text, kMaxBytes, kMaxValues));
  const oci::JsonField field(root);
  ASSIGN_OR_RETURN(const int64_t version, field.At("version").RequiredSize());
  if (version != kVersion) return field.At("version").Error(StrCat("must be ", kVersion));
  ASSIGN_OR_RETURN(std::vector<oci::JsonField> items,
                   field.At("images").Items(ImageIndex::kMaxImages));
  std::vector<ImageRecord> records;
  for (const oci::JsonField& item : items) {
    ASSIGN_OR_RETURN(ImageRecord record, ReadRecord(item));
    records.push_back(std::move(record));
  }
  return records;
}

void RemoveName(const std::string& name, StoredImage* image) {
  auto& names = image->references;
  names.erase(std::remove(names.begin(), names.end(), name), names.end());
}

}  // namespace

absl::StatusOr<ImageIndex> ImageIndex::Parse(std::string_view text) {
  absl::StatusOr<std::vector<ImageRecord>> records = ReadRecords(text);
  if (!records.ok()) return absl::DataLossError(records.status().message());
  ImageIndex index;
  for (ImageRecord& record : *records) index.Put(std::move(record));
  return index;
}

std::string ImageIndex::ToJson() const {
  nlohmann::json images = nlohmann::json::array();
  for (const auto& [digest, record] : records_) {
    const StoredImage& image = record.image;
    images.push_back({{"references", image.references},
                      {"digest", image.digest},
                      {"manifest", record.manifest_digest},
                      {"config", image.config_digest},
                      {"size", image.size_bytes},
                      {"created", absl::FormatTime(image.created_at, absl::UTCTimeZone())},
                      {"loaded", absl::FormatTime(image.loaded_at, absl::UTCTimeZone())},
                      {"os", image.os},
                      {"architecture", image.architecture},
                      {"variant", image.variant},
                      {"blobs", record.blobs},
                      {"diff_ids", record.diff_ids}});
  }
  const nlohmann::json root = {{"version", kVersion}, {"images", std::move(images)}};
  return root.dump(1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

void ImageIndex::Put(ImageRecord record) {
  const std::string digest = record.image.digest;
  if (const auto old = records_.find(digest); old != records_.end()) {
    for (const std::string& name : old->second.image.references) {
      record.image.references.push_back(name);
    }
  }
  auto& names = record.image.references;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (auto& [other_digest, other] : records_) {
    if (other_digest == digest) continue;
    for (const std::string& name : names) RemoveName(name, &other.image);
  }
  records_[digest] = std::move(record);
}

const ImageRecord* ImageIndex::FindByDigest(const std::string& digest) const {
  if (const auto exact = records_.find(digest); exact != records_.end()) return &exact->second;
  for (const auto& [_, record] : records_) {
    if (record.manifest_digest == digest || record.image.config_digest == digest) return &record;
  }
  return nullptr;
}

const ImageRecord* ImageIndex::Find(const std::string& ref) const {
  if (oci::CheckDigest(ref).ok()) return FindByDigest(ref);
  const absl::StatusOr<oci::Reference> reference = oci::Reference::Parse(ref);
  if (reference.ok() && !reference->digest.empty()) return FindByDigest(reference->digest);
  if (reference.ok()) {
    const std::string name = reference->Name();
    for (const auto& [_, record] : records_) {
      const auto& names = record.image.references;
      if (std::find(names.begin(), names.end(), name) != names.end()) return &record;
    }
  }
  if (ref.size() < 4 || ref.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return nullptr;
  }
  const ImageRecord* found = nullptr;
  for (const auto& [_, record] : records_) {
    if (record.image.config_digest.compare(7, ref.size(), ref) != 0) continue;
    if (found != nullptr) return nullptr;
    found = &record;
  }
  return found;
}

ImageRecord* ImageIndex::FindMutable(const std::string& digest) {
  const auto found = records_.find(digest);
  return found == records_.end() ? nullptr : &found->second;
}

std::set<std::string> ImageIndex::Needed() const {
  std::set<std::string> needed;
  for (const auto& [_, record] : records_) {
    needed.insert(record.blobs.begin(), record.blobs.end());
    for (const std::string& chain_id : oci::ChainIds(record.diff_ids)) {
      needed.insert(LayerName(chain_id));
    }
  }
  return needed;
}

}  // namespace swarm::agent
