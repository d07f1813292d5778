#include "agent/image/image_archive.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <variant>

#include "absl/strings/str_join.h"
#include "agent/image/layer_tree.h"
#include "common/oci/digest.h"
#include "common/oci/reference.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

// Hostile archives: more files than any image has, and the memory of their names.
constexpr size_t kMaxFiles = 10'000;
constexpr int kMaxAliases = 10;
constexpr std::string_view kBlobFolder = "blobs/sha256/";

// "x/../y" of a link inside the archive, by the letters alone. Empty when it leaves the archive.
std::string Normalise(const std::string& path) {
  std::vector<std::string> names;
  std::string_view rest = path;
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string_view name = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      names.emplace_back(name);
    } else if (names.empty()) {
      return "";
    } else {
      names.pop_back();
    }
  }
  return absl::StrJoin(names, "/");
}

// The name that a layout gives an image: a whole one, or nothing when it is a mere tag.
std::string NameIn(const oci::Descriptor& entry) {
  const auto annotation = [&](std::string_view key) {
    const auto found = entry.annotations.find(std::string(key));
    return found == entry.annotations.end() ? std::string() : found->second;
  };
  const std::string full = annotation(oci::kContainerdNameAnnotation);
  if (!full.empty()) return full;
  const std::string name = annotation(oci::kRefNameAnnotation);
  return name.find_first_of("/:@") == std::string::npos ? "" : name;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageArchive>> ImageArchive::Extract(const std::string& path,
                                                                    BlobStore& store,
                                                                    const TarLimits& limits,
                                                                    const std::atomic<bool>& stop) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  ASSIGN_OR_RETURN(std::unique_ptr<TarReader> tar, TarReader::Open(std::move(fd), limits, stop));
  auto archive = std::unique_ptr<ImageArchive>(new ImageArchive());
  TarEntry entry;
  size_t count = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, tar->Next(&entry));
    if (!more) return archive;
    if (++count > kMaxFiles) {
      return absl::ResourceExhaustedError(StrCat("more than ", kMaxFiles, " entries"));
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, SplitArchiveName(entry.name));
    const std::string name = absl::StrJoin(names, "/");
    if (entry.kind == TarEntry::Kind::kFile) {
      RETURN_IF_ERROR(archive->AddFile(name, *tar, store));
    } else if (entry.kind == TarEntry::Kind::kSymlink) {
      archive->AddAlias(name, entry.link_target, true);
    } else if (entry.kind == TarEntry::Kind::kHardLink) {
      archive->AddAlias(name, entry.link_target, false);
    }
  }
}

absl::Status ImageArchive::AddFile(const std::string& name, TarReader& tar, BlobStore& store) {
  if (by_name_.count(name) != 0) {
    return absl::InvalidArgumentError(StrCat(ShownName(name), " is in the archive twice"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<IngestFile> file, store.NewFile());
  RETURN_IF_ERROR(tar.ReadContent([&](int64_t offset, std::string_view bytes) -> absl::Status {
    if (offset != file->size()) {
      return absl::InvalidArgumentError(StrCat(ShownName(name), " has holes"));
    }
    return file->Append(bytes);
  }));
  if (name.compare(0, kBlobFolder.size(), kBlobFolder) == 0) {
    const std::string digest = "sha256:" + name.substr(kBlobFolder.size());
    RETURN_IF_ERROR(oci::CheckDigest(digest));
    RETURN_IF_ERROR(oci::MatchDigest("blob " + digest, digest, file->Digest()));
  }
  file->Digest();
  file->Close();
  by_name_[name] = file.get();
  by_digest_.emplace(file->Digest(), file.get());
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

void ImageArchive::AddAlias(const std::string& name, const std::string& target, bool relative) {
  const size_t slash = name.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : name.substr(0, slash + 1);
  const std::string resolved = Normalise(relative ? folder + target : target);
  if (!resolved.empty()) aliases_[name] = resolved;
}

IngestFile* ImageArchive::Find(const std::string& name) {
  std::string current = Normalise(name);
  for (int i = 0; i < kMaxAliases; ++i) {
    if (const auto file = by_name_.find(current); file != by_name_.end()) return file->second;
    const auto alias = aliases_.find(current);
    if (alias == aliases_.end()) return nullptr;
    current = alias->second;
  }
  return nullptr;
}

absl::StatusOr<std::string> ImageArchive::ReadSmall(IngestFile& file, size_t limit) const {
  if (file.size() > static_cast<int64_t>(limit)) {
    return absl::InvalidArgumentError(
        StrCat("a document of ", file.size(), " bytes, at most ", limit, " are read"));
  }
  return file.ReadAll();
}

absl::StatusOr<std::string> ImageArchive::ReadManifest(const oci::Descriptor& descriptor) {
  if (const auto made = made_manifests_.find(descriptor.digest); made != made_manifests_.end()) {
    return made->second;
  }
  const auto file = by_digest_.find(descriptor.digest);
  if (file == by_digest_.end()) {
    return absl::DataLossError(StrCat("the archive has no manifest ", descriptor.digest));
  }
  return ReadSmall(*file->second, oci::kMaxManifestBytes);
}

absl::StatusOr<std::string> ImageArchive::ReadConfig(const oci::Descriptor& descriptor) {
  const auto file = by_digest_.find(descriptor.digest);
  if (file == by_digest_.end()) {
    return absl::DataLossError(StrCat("the archive has no configuration ", descriptor.digest));
  }
  return ReadSmall(*file->second, oci::kMaxConfigBytes);
}

absl::Status ImageArchive::FetchBlob(const oci::Descriptor& layer, BlobStore& store,
                                     std::atomic<int64_t>& received, const std::atomic<bool>&) {
  const auto file = by_digest_.find(layer.digest);
  if (file == by_digest_.end()) {
    return absl::DataLossError(StrCat("the archive has no layer ", layer.digest));
  }
  if (file->second->size() != layer.size) {
    return absl::DataLossError(StrCat("layer ", layer.digest, ": expected ", layer.size,
                                      " bytes, got ", file->second->size()));
  }
  RETURN_IF_ERROR(store.CommitBlob(*file->second, layer.digest));
  received += layer.size;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ImageArchive::NamedImage>> ImageArchive::Images(
    const oci::Platform& host, const std::string& reference) {
  std::vector<NamedImage> images;
  if (IngestFile* index = Find("index.json"); index != nullptr) {
    ASSIGN_OR_RETURN(images, LayoutImages(*index, host));
  } else if (IngestFile* manifest = Find("manifest.json"); manifest != nullptr) {
    ASSIGN_OR_RETURN(images, SavedImages(*manifest, host));
  } else {
    return absl::InvalidArgumentError(
        "neither an OCI layout (index.json) nor a docker-save archive (manifest.json)");
  }
  if (images.empty()) return absl::InvalidArgumentError("the archive holds no image");
  if (reference.empty()) return images;
  ASSIGN_OR_RETURN(const oci::Reference given, oci::Reference::Parse(reference));
  NamedImage* unnamed = nullptr;
  for (NamedImage& image : images) {
    if (!image.names.empty()) continue;
    if (unnamed != nullptr) {
      return absl::InvalidArgumentError("several images without a name cannot share one");
    }
    unnamed = &image;
  }
  if (unnamed != nullptr) unnamed->names.push_back(given.Name());
  return images;
}

absl::StatusOr<std::vector<ImageArchive::NamedImage>> ImageArchive::LayoutImages(
    IngestFile& index_file, const oci::Platform& host) {
  ASSIGN_OR_RETURN(const std::string body, ReadSmall(index_file, oci::kMaxManifestBytes));
  absl::StatusOr<oci::ManifestDocument> document = oci::ParseManifest(body, oci::kOciIndexType);
  if (!document.ok()) return Annotate(document.status(), "index.json");
  const auto* index = std::get_if<oci::Index>(&*document);
  if (index == nullptr) return absl::InvalidArgumentError("index.json is not an index");

  // Entries of one name are one image for several platforms; so are nameless ones that all have
  // one.
  std::map<std::string, oci::Index> groups;
  size_t nameless = 0;
  for (const oci::Descriptor& entry : index->manifests) {
    std::string key = NameIn(entry);
    if (key.empty() && !entry.platform.has_value()) key = StrCat("#", nameless++);
    groups[key].manifests.push_back(entry);
  }
  std::vector<NamedImage> images;
  for (const auto& [key, group] : groups) {
    ASSIGN_OR_RETURN(const oci::Descriptor root, oci::ChooseManifest(group, host));
    NamedImage image;
    if (!key.empty() && key[0] != '#') {
      ASSIGN_OR_RETURN(const oci::Reference name, oci::Reference::Parse(key));
      if (!name.tag.empty()) image.names.push_back(name.Name());
    }
    ASSIGN_OR_RETURN(image.content, ReadImage(root, host, *this));
    images.push_back(std::move(image));
  }
  return images;
}

absl::StatusOr<oci::Descriptor> ImageArchive::MakeManifestOf(const oci::SavedImage& saved) {
  IngestFile* config = Find(saved.config);
  if (config == nullptr) {
    return absl::DataLossError(StrCat("the archive has no file ", ShownName(saved.config)));
  }
  // "<hex>.json" says what it must hold.
  const size_t dot = saved.config.find(".json");
  const std::string named = "sha256:" + saved.config.substr(0, dot);
  if (dot != std::string::npos && oci::CheckDigest(named).ok()) {
    RETURN_IF_ERROR(oci::MatchDigest("image configuration", named, config->Digest()));
  }
  std::vector<oci::Descriptor> layers;
  for (const std::string& name : saved.layers) {
    IngestFile* layer = Find(name);
    if (layer == nullptr) {
      return absl::DataLossError(StrCat("the archive has no file ", ShownName(name)));
    }
    layers.push_back({.digest = layer->Digest(), .size = layer->size()});
  }
  std::string body =
      oci::MakeManifest({.digest = config->Digest(), .size = config->size()}, layers);
  oci::Descriptor root{.media_type = std::string(oci::kDockerManifestType),
                       .digest = oci::DigestOf(body),
                       .size = static_cast<int64_t>(body.size())};
  made_manifests_[root.digest] = std::move(body);
  return root;
}

absl::StatusOr<std::vector<ImageArchive::NamedImage>> ImageArchive::SavedImages(
    IngestFile& manifest, const oci::Platform& host) {
  ASSIGN_OR_RETURN(const std::string body, ReadSmall(manifest, oci::kMaxManifestBytes));
  ASSIGN_OR_RETURN(const std::vector<oci::SavedImage> saved, oci::ParseSavedImages(body));
  std::vector<NamedImage> images;
  for (const oci::SavedImage& one : saved) {
    NamedImage image;
    for (const std::string& text : one.references) {
      ASSIGN_OR_RETURN(const oci::Reference name, oci::Reference::Parse(text));
      if (!name.tag.empty()) image.names.push_back(name.Name());
    }
    ASSIGN_OR_RETURN(const oci::Descriptor root, MakeManifestOf(one));
    ASSIGN_OR_RETURN(image.content, ReadImage(root, host, *this));
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace swarm::agent
