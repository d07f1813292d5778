#include "agent/image/image_store.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "agent/image/blob_store.h"
#include "agent/image/image_archive.h"
#include "agent/image/image_index.h"
#include "agent/image/image_source.h"
#include "agent/image/layer_installer.h"
#include "agent/image/layer_unpacker.h"
#include "common/clock.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kMaxIndexBytes = 64 << 20;

// Reads from a registry what the store does not have.
class RegistrySource : public ImageSource {
 public:
  RegistrySource(oci::Registry& registry, BlobStore& store, oci::Reference reference,
                 const std::atomic<bool>& cancelled)
      : registry_(registry),
        store_(store),
        reference_(std::move(reference)),
        cancelled_(cancelled) {}

  // What the registry answered before the documents are followed.
  void Remember(const oci::Document& document) { root_ = document; }

  absl::StatusOr<std::string> ReadManifest(const oci::Descriptor& descriptor) override {
    if (descriptor.digest == root_.digest) return root_.body;
    if (auto here = FromStore(descriptor, oci::kMaxManifestBytes); here.ok()) return here;
    oci::Reference reference = reference_;
    reference.digest = descriptor.digest;
    ASSIGN_OR_RETURN(oci::Document document, registry_.GetManifest(reference, cancelled_));
    return std::move(document.body);
  }

  absl::StatusOr<std::string> ReadConfig(const oci::Descriptor& descriptor) override {
    if (auto here = FromStore(descriptor, oci::kMaxConfigBytes); here.ok()) return here;
    std::string body;
    RETURN_IF_ERROR(registry_.GetBlob(
        reference_, descriptor.digest, descriptor.size,
        [&body](std::string_view bytes) {
          body.append(bytes);
          return absl::OkStatus();
        },
        cancelled_));
    return body;
  }

  absl::Status FetchBlob(const oci::Descriptor& layer, BlobStore& store,
                         std::atomic<int64_t>& received, const std::atomic<bool>& stop) override {
    ASSIGN_OR_RETURN(std::unique_ptr<IngestFile> file, store.NewFile());
    RETURN_IF_ERROR(registry_.GetBlob(
        reference_, layer.digest, layer.size,
        [&](std::string_view bytes) {
          received += static_cast<int64_t>(bytes.size());
          return file->Append(bytes);
        },
        stop));
    return store.CommitBlob(*file, layer.digest);
  }

 private:
  absl::StatusOr<std::string> FromStore(const oci::Descriptor& descriptor, size_t limit) {
    return store_.ReadBlob(descriptor.digest, limit);
  }

  oci::Registry& registry_;
  BlobStore& store_;
  const oci::Reference reference_;
  const std::atomic<bool>& cancelled_;
  oci::Document root_;
};

// An image whose documents are here already.
class StoredSource : public ImageSource {
 public:
  explicit StoredSource(BlobStore& store) : store_(store) {}
  absl::StatusOr<std::string> ReadManifest(const oci::Descriptor& descriptor) override {
    return store_.ReadBlob(descriptor.digest, oci::kMaxManifestBytes);
  }
  absl::StatusOr<std::string> ReadConfig(const oci::Descriptor& descriptor) override {
    return store_.ReadBlob(descriptor.digest, oci::kMaxConfigBytes);
  }
  absl::Status FetchBlob(const oci::Descriptor& layer, BlobStore&, std::atomic<int64_t>&,
                         const std::atomic<bool>&) override {
    return absl::NotFoundError(
        StrCat("layer ", layer.digest, " is no longer in the store: pull or load it again"));
  }

 private:
  BlobStore& store_;
};

ImageRecord RecordOf(const ImageContent& content, std::vector<std::string> names, absl::Time now) {
  ImageRecord record;
  record.image.references = std::move(names);
  record.image.digest = content.digest;
  record.image.config_digest = content.config_descriptor.digest;
  record.image.size_bytes = content.TotalBytes();
  std::string ignored;
  if (!absl::ParseTime(absl::RFC3339_full, content.config.created, &record.image.created_at,
                       &ignored)) {
    record.image.created_at = absl::UnixEpoch();
  }
  record.image.loaded_at = now;
  record.image.os = content.config.platform.os;
  record.image.architecture = content.config.platform.architecture;
  record.image.variant = content.config.platform.variant;
  record.manifest_digest = content.manifest_digest;
  record.diff_ids = content.config.diff_ids;
  for (const auto& [digest, body] : content.documents) record.blobs.push_back(digest);
  for (const oci::Descriptor& layer : content.layers) record.blobs.push_back(layer.digest);
  return record;
}

class LocalImageStore : public ImageStore {
 public:
  LocalImageStore(std::string root, oci::RegistryOptions registry, std::unique_ptr<BlobStore> blobs)
      : index_path_(root + "/images.json"),
        blobs_(std::move(blobs)),
        registry_(oci::MakeRegistry(std::move(registry))),
        clock_(MakeSystemClock()),
        installer_(*blobs_, TarLimits()) {}

  absl::Status Start() {
    absl::StatusOr<std::string> text = ReadFile(index_path_, kMaxIndexBytes);
    if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
    absl::StatusOr<ImageIndex> index = text.ok() ? ImageIndex::Parse(*text) : text.status();
    MutexLock writer(write_mu_);
    if (!index.ok()) {
      ASSIGN_OR_RETURN(index, RebuildIndex(text.ok() ? index.status() : absl::OkStatus()));
    }
    {
      MutexLock lock(mu_);
      index_ = *std::move(index);
    }
    return SweepLocked();
  }

  absl::StatusOr<std::vector<StoredImage>> Load(const std::string& path,
                                                const std::string& reference) override {
    absl::StatusOr<std::vector<StoredImage>> images = LoadAll(path, reference);
    if (images.ok()) return images;
    // Nothing new stays. A sweep that fails leaves junk for the next one.
    MutexLock writer(write_mu_);
    SweepLocked().IgnoreError();
    return images;
  }

  absl::StatusOr<StoredImage> Pull(const oci::Reference& reference, const std::string& digest,
                                   std::function<void(const ImageProgress&)> progress,
                                   const std::atomic<bool>& cancelled) override {
    oci::Reference wanted = reference;
    if (!digest.empty()) wanted.digest = digest;
    if (!wanted.digest.empty()) {
      RETURN_IF_ERROR(oci::CheckDigest(wanted.digest));
      absl::StatusOr<StoredImage> here = PullFromHere(wanted, cancelled);
      if (here.ok() || absl::IsCancelled(here.status())) return here;
    }
    ASSIGN_OR_RETURN(oci::Document document, registry_->GetManifest(wanted, cancelled));
    RegistrySource source(*registry_, *blobs_, reference, cancelled);
    source.Remember(document);
    const oci::Descriptor root{.media_type = document.media_type,
                               .digest = document.digest,
                               .size = static_cast<int64_t>(document.body.size())};
    ASSIGN_OR_RETURN(const ImageContent content, ReadImage(root, host_, source));
    BlobStore::Pin pin(*blobs_, content.Needs());
    RETURN_IF_ERROR(Install(content, source, progress, cancelled));
    std::vector<std::string> names;
    if (!reference.tag.empty()) names.push_back(reference.Name());
    std::vector<ImageRecord> records;
    records.push_back(RecordOf(content, NamesToTake(wanted, names), clock_->WallNow()));
    RETURN_IF_ERROR(Register(std::move(records)));
    return Find(content.digest);
  }

  absl::StatusOr<StoredImage> Find(const std::string& ref) const override {
    ASSIGN_OR_RETURN(ImageRecord record, FindRecord(ref));
    return std::move(record.image);
  }

  absl::StatusOr<UnpackedImage> Unpack(const std::string& digest) override {
    ASSIGN_OR_RETURN(const ImageRecord record, FindRecord(digest));
    StoredSource source(*blobs_);
    ASSIGN_OR_RETURN(const ImageContent content, ContentOf(record, source));
    BlobStore::Pin pin(*blobs_, content.Needs());
    const std::atomic<bool> never = false;
    RETURN_IF_ERROR(
        installer_.Install(content.layers, content.config.diff_ids, source, nullptr, never));
    UnpackedImage unpacked;
    unpacked.config_json = content.documents.back().second;
    const std::vector<std::string> chain = oci::ChainIds(content.config.diff_ids);
    for (auto chain_id = chain.rbegin(); chain_id != chain.rend(); ++chain_id) {
      unpacked.lower_dirs.push_back(blobs_->LayerPath(LayerName(*chain_id)));
      if (IsOpaqueLayer(unpacked.lower_dirs.back())) break;
    }
    if (unpacked.lower_dirs.empty()) {
      return absl::FailedPreconditionError("the image has no layers: there is nothing to run");
    }
    return unpacked;
  }

  std::vector<StoredImage> List() const override {
    MutexLock lock(mu_);
    std::vector<StoredImage> images;
    for (const auto& [_, record] : index_.records()) images.push_back(record.image);
    return images;
  }

  absl::StatusOr<Removal> Remove(const std::string& ref, bool force,
                                 const std::function<bool(const std::string&)>& in_use) override {
    ASSIGN_OR_RETURN(const ImageRecord before, FindRecord(ref));
    const bool used = in_use && (in_use(before.image.digest) || in_use(before.manifest_digest) ||
                                 in_use(before.image.config_digest));
    MutexLock writer(write_mu_);
    ASSIGN_OR_RETURN(const ImageRecord record, FindRecord(ref));
    if (record.image.digest != before.image.digest) {
      return absl::AbortedError(StrCat("image ", ref, " was just replaced"));
    }
    const std::string name = NameMeant(ref, record);
    const bool last = name.empty() || record.image.references.size() == 1;
    if (last && used && !force) {
      return absl::FailedPreconditionError(
          StrCat("image ", ref, " is used by a container (--force takes its name alone)"));
    }
    Removal removal;
    removal.untagged = name.empty() ? record.image.references : std::vector<std::string>{name};
    ImageIndex changed = CopyIndex();
    if (last && !used) {
      removal.deleted.push_back(record.image.digest);
      changed.Erase(record.image.digest);
    } else {
      auto& names = changed.FindMutable(record.image.digest)->image.references;
      for (const std::string& gone : removal.untagged) {
        names.erase(std::remove(names.begin(), names.end(), gone), names.end());
      }
    }
    RETURN_IF_ERROR(WriteLocked(std::move(changed)));
    if (!removal.deleted.empty()) RETURN_IF_ERROR(SweepLocked());
    return removal;
  }

 private:
  absl::StatusOr<std::vector<StoredImage>> LoadAll(const std::string& path,
                                                   const std::string& reference) {
    const std::atomic<bool> never = false;
    ASSIGN_OR_RETURN(std::unique_ptr<ImageArchive> archive,
                     ImageArchive::Extract(path, *blobs_, TarLimits(), never));
    ASSIGN_OR_RETURN(const std::vector<ImageArchive::NamedImage> images,
                     archive->Images(host_, reference));
    std::vector<std::unique_ptr<BlobStore::Pin>> pins;
    std::vector<ImageRecord> records;
    for (const ImageArchive::NamedImage& image : images) {
      pins.push_back(std::make_unique<BlobStore::Pin>(*blobs_, image.content.Needs()));
      RETURN_IF_ERROR(Install(image.content, *archive, nullptr, never));
      records.push_back(RecordOf(image.content, image.names, clock_->WallNow()));
    }
    RETURN_IF_ERROR(Register(std::move(records)));
    std::vector<StoredImage> stored;
    for (const ImageArchive::NamedImage& image : images) {
      ASSIGN_OR_RETURN(StoredImage one, Find(image.content.digest));
      stored.push_back(std::move(one));
    }
    return stored;
  }

  // Out of the documents in the store, when the index is lost: without names, but running
  // containers stand on these layers, and tasks name their image by digest.
  absl::StatusOr<ImageIndex> RebuildIndex(const absl::Status& damage)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_) {
    ImageIndex index;
    StoredSource source(*blobs_);
    ASSIGN_OR_RETURN(const std::vector<std::string> digests, blobs_->Digests());
    for (const std::string& digest : digests) {
      const absl::StatusOr<ImageContent> content = ReadImage({.digest = digest}, host_, source);
      if (content.ok() && IsWhole(*content)) index.Put(RecordOf(*content, {}, clock_->WallNow()));
    }
    if (damage.ok() && index.records().empty()) return index;  // a new store
    LogWarning("image",
               StrCat("the index of images is ",
                      damage.ok() ? "lost" : StrCat("damaged (", ToStd(damage.message()), ")"),
                      "; images found again without their names: ", index.records().size()));
    if (!damage.ok() && ::rename(index_path_.c_str(), (index_path_ + ".damaged").c_str()) != 0) {
      return ErrnoStatus(errno, index_path_);
    }
    RETURN_IF_ERROR(WriteFileDurably(index_path_, index.ToJson(), 0600));
    return index;
  }

  bool IsWhole(const ImageContent& content) const {
    const std::vector<std::string> chain = oci::ChainIds(content.config.diff_ids);
    for (size_t i = 0; i < content.layers.size(); ++i) {
      if (!blobs_->HasBlob(content.layers[i].digest) && !blobs_->HasLayer(LayerName(chain[i]))) {
        return false;
      }
    }
    return true;
  }

  // The caller has pinned what `content` needs.
  absl::Status Install(const ImageContent& content, ImageSource& source,
                       const std::function<void(const ImageProgress&)>& progress,
                       const std::atomic<bool>& cancelled) {
    for (const auto& [digest, body] : content.documents) {
      blobs_->DropIfDamaged(digest);  // else a good one would not take its place
      RETURN_IF_ERROR(blobs_->PutBlob(body, digest));
    }
    return installer_.Install(content.layers, content.config.diff_ids, source, progress, cancelled);
  }

  // Without the registry. NotFound when it is not here or no longer whole.
  absl::StatusOr<StoredImage> PullFromHere(const oci::Reference& wanted,
                                           const std::atomic<bool>& cancelled) {
    ASSIGN_OR_RETURN(ImageRecord record, FindRecord(wanted.digest));
    StoredSource source(*blobs_);
    ASSIGN_OR_RETURN(const ImageContent content, ContentOf(record, source));
    BlobStore::Pin pin(*blobs_, content.Needs());
    RETURN_IF_ERROR(
        installer_.Install(content.layers, content.config.diff_ids, source, nullptr, cancelled));
    std::vector<std::string> names;
    if (!wanted.tag.empty()) names = NamesToTake(wanted, {wanted.Name()});
    if (!names.empty()) {
      record.image.references = std::move(names);
      std::vector<ImageRecord> records;
      records.push_back(std::move(record));
      RETURN_IF_ERROR(Register(std::move(records)));
    }
    return Find(content.digest);
  }

  absl::StatusOr<ImageContent> ContentOf(const ImageRecord& record, ImageSource& source) {
    return ReadImage({.digest = record.image.digest}, host_, source);
  }

  // A pinned digest must not move a name that points elsewhere: the pin may be older than the name.
  std::vector<std::string> NamesToTake(const oci::Reference& wanted,
                                       std::vector<std::string> names) const {
    if (wanted.digest.empty() || names.empty()) return names;
    MutexLock lock(mu_);
    return index_.Find(names[0]) == nullptr ? names : std::vector<std::string>();
  }

  absl::StatusOr<ImageRecord> FindRecord(const std::string& ref) const {
    MutexLock lock(mu_);
    const ImageRecord* record = index_.Find(ref);
    if (record == nullptr) return absl::NotFoundError(StrCat("no such image: ", ref));
    return *record;
  }

  // The name that `ref` is, or empty when it is a digest or an id.
  static std::string NameMeant(const std::string& ref, const ImageRecord& record) {
    const absl::StatusOr<oci::Reference> reference = oci::Reference::Parse(ref);
    if (!reference.ok() || !reference->digest.empty()) return "";
    const auto& names = record.image.references;
    const std::string name = reference->Name();
    return std::find(names.begin(), names.end(), name) == names.end() ? "" : name;
  }

  ImageIndex CopyIndex() const {
    MutexLock lock(mu_);
    return index_;
  }

  absl::Status Register(std::vector<ImageRecord> records) {
    MutexLock writer(write_mu_);
    ImageIndex changed = CopyIndex();
    for (ImageRecord& record : records) changed.Put(std::move(record));
    if (changed.records().size() > ImageIndex::kMaxImages) {
      return absl::ResourceExhaustedError(
          StrCat("more than ", ImageIndex::kMaxImages, " images: remove some"));
    }
    return WriteLocked(std::move(changed));
  }

  // On the disk first, then for all to see.
  absl::Status WriteLocked(ImageIndex changed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_) {
    RETURN_IF_ERROR(WriteFileDurably(index_path_, changed.ToJson(), 0600));
    MutexLock lock(mu_);
    index_ = std::move(changed);
    return absl::OkStatus();
  }

  absl::Status SweepLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_) {
    return blobs_->Sweep(CopyIndex().Needed());
  }

  const std::string index_path_;
  const std::unique_ptr<BlobStore> blobs_;
  const std::unique_ptr<oci::Registry> registry_;
  const std::unique_ptr<Clock> clock_;
  const oci::Platform host_ = oci::HostPlatform();
  Mutex write_mu_;  // one change of the index, or one sweep, at a time; taken before mu_
  mutable Mutex mu_;
  ImageIndex index_ ABSL_GUARDED_BY(mu_);
  LayerInstaller installer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageStore>> OpenImageStore(ImageStoreOptions options) {
  ASSIGN_OR_RETURN(std::unique_ptr<BlobStore> blobs, BlobStore::Open(options.root));
  auto store = std::make_unique<LocalImageStore>(options.root, std::move(options.registry),
                                                 std::move(blobs));
  RETURN_IF_ERROR(store->Start());
  return store;
}

}  // namespace swarm::agent
