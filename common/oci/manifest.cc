#include "common/oci/manifest.h"

#include <sys/utsname.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "common/oci/digest.h"
#include "common/oci/json.h"
#include "common/oci/reference.h"
#include "common/oci/seccomp.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::oci {
namespace {

constexpr std::string_view kDockerSchema1Prefix =
    "application/vnd.docker.distribution.manifest.v1+";
constexpr std::string_view kDockerLayerPrefix = "application/vnd.docker.image.rootfs.diff.tar";

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// For messages: what a stranger wrote must not break the line.
std::string Shown(std::string_view text) {
  std::string shown;
  for (char c : text.substr(0, 100)) shown += (c >= 0x20 && c < 0x7f) ? c : '?';
  return shown;
}

bool IsIndexType(std::string_view type) { return type == kOciIndexType || type == kDockerListType; }
bool IsManifestType(std::string_view type) {
  return type == kOciManifestType || type == kDockerManifestType;
}

// Tar as it is or compressed by gzip or zstd; which one is told by the bytes when it is unpacked.
absl::Status CheckLayerType(const JsonField& field, std::string_view type) {
  for (std::string_view base : {kOciLayerType, kDockerLayerPrefix}) {
    if (!StartsWith(type, base)) continue;
    const std::string_view rest = type.substr(base.size());
    if (rest.empty() || rest == "+gzip" || rest == ".gzip" || rest == "+zstd" || rest == ".zstd") {
      return absl::OkStatus();
    }
  }
  return field.Error(StrCat("layers of type ", Shown(type), " are not supported"));
}

absl::StatusOr<Platform> ReadPlatform(const JsonField& field) {
  RETURN_IF_ERROR(field.RequireObject());
  Platform platform;
  ASSIGN_OR_RETURN(platform.os, field.At("os").Text());
  ASSIGN_OR_RETURN(platform.architecture, field.At("architecture").Text());
  ASSIGN_OR_RETURN(platform.variant, field.At("variant").Text());
  return platform;
}

absl::StatusOr<Descriptor> ReadDescriptor(const JsonField& field) {
  RETURN_IF_ERROR(field.RequireObject());
  Descriptor descriptor;
  ASSIGN_OR_RETURN(descriptor.media_type, field.At("mediaType").Text());
  ASSIGN_OR_RETURN(descriptor.digest, field.At("digest").RequiredText());
  const absl::Status digest_status = CheckDigest(descriptor.digest);
  if (!digest_status.ok()) return field.At("digest").Error(ToStd(digest_status.message()));
  ASSIGN_OR_RETURN(descriptor.size, field.At("size").RequiredSize());
  if (field.At("platform").Exists()) {
    ASSIGN_OR_RETURN(descriptor.platform, ReadPlatform(field.At("platform")));
  }
  ASSIGN_OR_RETURN(descriptor.annotations, field.At("annotations").TextMap());
  return descriptor;
}

// Go's JSON takes "Layers" for "layers": what two tools would read differently is refused.
absl::Status RefuseOtherSpellings(const JsonField& root) {
  ASSIGN_OR_RETURN(std::vector<std::string> keys, root.Keys());
  for (const std::string& key : keys) {
    const std::string lower = absl::AsciiStrToLower(key);
    for (std::string_view known :
         {"schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers"}) {
      if (key != known && lower == absl::AsciiStrToLower(ToAbsl(known))) {
        return absl::InvalidArgumentError(
            StrCat("ambiguous manifest: ", Shown(key), " could be read as ", known));
      }
    }
  }
  return absl::OkStatus();
}

// What the document says it is, agreed upon by the body and by what came with it.
absl::StatusOr<std::string> AgreeOnType(std::string_view body_type, std::string_view media_type) {
  const bool known = IsIndexType(media_type) || IsManifestType(media_type) ||
                     StartsWith(media_type, kDockerSchema1Prefix);
  if (body_type.empty()) return std::string(known ? media_type : "");
  if (known && body_type != media_type) {
    return absl::InvalidArgumentError(StrCat("ambiguous manifest: it came as ", media_type,
                                             " and says it is ", Shown(body_type)));
  }
  return std::string(body_type);
}

absl::StatusOr<Index> ReadIndex(const JsonField& root) {
  Index index;
  ASSIGN_OR_RETURN(std::vector<JsonField> items, root.At("manifests").Items(kMaxIndexEntries));
  for (const JsonField& item : items) {
    ASSIGN_OR_RETURN(Descriptor entry, ReadDescriptor(item));
    index.manifests.push_back(std::move(entry));
  }
  return index;
}

absl::StatusOr<Manifest> ReadManifest(const JsonField& root) {
  Manifest manifest;
  ASSIGN_OR_RETURN(manifest.config, ReadDescriptor(root.At("config")));
  const std::string& config_type = manifest.config.media_type;
  if (config_type != kOciConfigType && config_type != kDockerConfigType) {
    return root.At("config.mediaType")
        .Error(StrCat("not a container image but ", Shown(config_type)));
  }
  ASSIGN_OR_RETURN(std::vector<JsonField> items, root.At("layers").Items(kMaxLayers));
  for (const JsonField& item : items) {
    ASSIGN_OR_RETURN(Descriptor layer, ReadDescriptor(item));
    RETURN_IF_ERROR(CheckLayerType(item, layer.media_type));
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

absl::StatusOr<ManifestDocument> ReadDocument(const JsonField& root, std::string_view media_type) {
  RETURN_IF_ERROR(root.RequireObject());
  RETURN_IF_ERROR(RefuseOtherSpellings(root));
  ASSIGN_OR_RETURN(std::string body_type, root.At("mediaType").Text());
  ASSIGN_OR_RETURN(std::string type, AgreeOnType(body_type, media_type));
  if (StartsWith(type, kDockerSchema1Prefix) || root.At("fsLayers").Exists()) {
    return absl::InvalidArgumentError("manifests of schema 1 are too old and not supported");
  }
  ASSIGN_OR_RETURN(int64_t version, root.At("schemaVersion").RequiredSize());
  if (version != 2) return root.At("schemaVersion").Error("must be 2");

  const bool index_like = root.At("manifests").Exists();
  const bool manifest_like = root.At("layers").Exists() || root.At("config").Exists();
  if (index_like && manifest_like) {
    return absl::InvalidArgumentError("ambiguous manifest: it has both manifests and layers");
  }
  if (index_like && (type.empty() || IsIndexType(type))) return ReadIndex(root);
  if (manifest_like && (type.empty() || IsManifestType(type))) return ReadManifest(root);
  if (IsIndexType(type) && !manifest_like) return Index{};
  if (index_like || manifest_like) {
    return absl::InvalidArgumentError(
        StrCat("ambiguous manifest: its fields are not those of ", Shown(type)));
  }
  return absl::InvalidArgumentError("neither manifests nor layers");
}

// How well an entry's variant fits: higher is better, 0 not at all.
int VariantRank(const Platform& entry, const Platform& wanted) {
  if (entry.variant == wanted.variant) return 100;
  // arm64 is v8 whether it says so or not.
  const bool arm64 = wanted.architecture == "arm64";
  if (arm64 && (entry.variant.empty() || entry.variant == "v8") &&
      (wanted.variant.empty() || wanted.variant == "v8")) {
    return 99;
  }
  if (entry.variant.empty()) return 1;
  // v7 runs v6 and v5; amd64 v3 runs v2 and v1.
  const auto level = [](const std::string& variant) {
    return variant.size() == 2 && variant[0] == 'v' ? variant[1] - '0' : -1;
  };
  const int has = level(entry.variant);
  const int can =
      wanted.variant.empty() ? (wanted.architecture == "amd64" ? 1 : -1) : level(wanted.variant);
  if (has < 0 || can < 0 || has > can) return 0;
  return 10 + has;
}

bool IsAttestation(const Descriptor& entry) {
  if (entry.annotations.count("vnd.docker.reference.type") != 0) return true;
  return entry.platform.has_value() && entry.platform->os == "unknown";
}

int PlatformRank(const Descriptor& entry, const Platform& wanted) {
  if (!entry.platform.has_value()) return 0;
  if (entry.platform->os != wanted.os || entry.platform->architecture != wanted.architecture) {
    return 0;
  }
  return VariantRank(*entry.platform, wanted);
}

}  // namespace

std::string Platform::ToString() const {
  std::string text = StrCat(os, "/", architecture);
  if (!variant.empty()) StrAppend(&text, "/", variant);
  return text;
}

Platform HostPlatform() {
  Platform platform{.os = "linux"};
  utsname names = {};
  ::uname(&names);
  const std::string_view machine = names.machine;
  if (machine == "x86_64") {
    platform.architecture = "amd64";
  } else if (machine == "aarch64") {
    platform.architecture = "arm64";
    platform.variant = "v8";
  } else if (StartsWith(machine, "armv") && machine.size() > 4) {
    platform.architecture = "arm";
    platform.variant = StrCat("v", machine.substr(4, 1));
  } else if (machine.size() == 4 && machine[0] == 'i' && machine.substr(2) == "86") {
    platform.architecture = "386";
  } else {
    platform.architecture = std::string(machine);  // riscv64, s390x, ppc64le are named the same
  }
  return platform;
}

absl::StatusOr<ManifestDocument> ParseManifest(std::string_view body, std::string_view media_type) {
  absl::StatusOr<Json> root = ParseJson(body, kMaxManifestBytes);
  if (!root.ok()) return Annotate(root.status(), "manifest");
  absl::StatusOr<ManifestDocument> document = ReadDocument(JsonField(*root), media_type);
  if (!document.ok()) return Annotate(document.status(), "manifest");
  return document;
}

absl::StatusOr<Descriptor> ChooseManifest(const Index& index, const Platform& wanted) {
  const Descriptor* best = nullptr;
  int best_rank = 0;
  std::string there;
  size_t candidates = 0;
  const Descriptor* without_platform = nullptr;
  for (const Descriptor& entry : index.manifests) {
    if (IsAttestation(entry)) continue;
    ++candidates;
    if (!entry.platform.has_value()) {
      without_platform = &entry;
      continue;
    }
    if (there.size() < 200) {
      StrAppend(&there, there.empty() ? "" : ", ", Shown(entry.platform->ToString()));
    }
    const int rank = PlatformRank(entry, wanted);
    if (rank > best_rank) {
      best_rank = rank;
      best = &entry;
    }
  }
  if (best != nullptr) return *best;
  if (candidates == 1 && without_platform != nullptr) return *without_platform;
  return absl::NotFoundError(StrCat("no image for ", wanted.ToString(),
                                    " (there is: ", there.empty() ? "none" : there, ")"));
}

absl::Status CheckRunsOn(const Platform& image, const Platform& host) {
  const bool os_fits = image.os.empty() || image.os == host.os;
  const bool architecture_fits =
      image.architecture.empty() || image.architecture == host.architecture;
  if (os_fits && architecture_fits) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the image is for ", Shown(image.ToString()), ", this node is ", host.ToString()));
}

std::string MakeManifest(const Descriptor& config, const std::vector<Descriptor>& layers) {
  // Checked digests and our own media types: nothing needs escaping.
  const auto describe = [](std::string_view type, const Descriptor& descriptor) {
    return StrCat("{\"mediaType\":\"", type, "\",\"size\":", descriptor.size, ",\"digest\":\"",
                  descriptor.digest, "\"}");
  };
  std::string body = StrCat("{\"schemaVersion\":2,\"mediaType\":\"", kDockerManifestType,
                            "\",\"config\":", describe(kDockerConfigType, config), ",\"layers\":[");
  for (size_t i = 0; i < layers.size(); ++i) {
    StrAppend(&body, i == 0 ? "" : ",", describe(kDockerLayerPrefix, layers[i]));
  }
  return body + "]}";
}

std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chain;
  for (const std::string& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id : DigestOf(StrCat(chain.back(), " ", diff_id)));
  }
  return chain;
}

void ParseAnything(std::string_view bytes) {
  for (std::string_view type :
       {std::string_view(), kOciIndexType, kOciManifestType, kDockerListType}) {
    absl::StatusOr<ManifestDocument> document = ParseManifest(bytes, type);
    if (!document.ok()) continue;
    if (const Index* index = std::get_if<Index>(&*document)) {
      ChooseManifest(*index, HostPlatform()).IgnoreError();
    }
  }
  absl::StatusOr<ImageConfig> config = ParseImageConfig(bytes);
  if (config.ok()) ChainIds(config->diff_ids);
  ParseSavedImages(bytes).IgnoreError();
  CompactSeccompProfile(bytes).IgnoreError();
  Reference::Parse(bytes).IgnoreError();
}

}  // namespace swarm::oci
