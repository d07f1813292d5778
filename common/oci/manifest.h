// The documents of an image: index (or Docker's manifest list), manifest, configuration.
//
// All of it comes from outside: every function takes any bytes and returns InvalidArgument with the
// field's path, never a crash. Depth, size and number of values are bounded, a key that comes twice
// is refused, and a document that could be read as another kind too is refused (CVE-2021-41190).
#ifndef SWARM_COMMON_OCI_MANIFEST_H_
#define SWARM_COMMON_OCI_MANIFEST_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace swarm::oci {

inline constexpr size_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxConfigBytes = 4 << 20;
inline constexpr size_t kMaxLayers = 128;
inline constexpr size_t kMaxIndexEntries = 1000;

inline constexpr std::string_view kOciIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciConfigType = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayerType = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kDockerListType =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifestType =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerConfigType =
    "application/vnd.docker.container.image.v1+json";

// Annotations by which tools name an image in an index.
inline constexpr std::string_view kRefNameAnnotation = "org.opencontainers.image.ref.name";
inline constexpr std::string_view kContainerdNameAnnotation = "io.containerd.image.name";

struct Platform {
  std::string os;            // "linux"
  std::string architecture;  // Go's names: "amd64", "arm64", "arm"
  std::string variant;       // "v8", "v7"; often empty

  bool operator==(const Platform&) const = default;
  std::string ToString() const;  // "linux/arm/v7"
};

// Of the machine this runs on.
Platform HostPlatform();

struct Descriptor {
  std::string media_type;
  std::string digest;  // checked
  int64_t size = 0;    // bytes, not negative
  std::optional<Platform> platform;
  std::map<std::string, std::string> annotations;
};

struct Index {
  std::vector<Descriptor> manifests;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first
};

using ManifestDocument = std::variant<Index, Manifest>;

// `media_type` is what came with the bytes (Content-Type, descriptor), empty when nothing did; it
// must agree with the body. Schema 1, artifacts and encrypted or foreign layers are refused by
// name.
absl::StatusOr<ManifestDocument> ParseManifest(std::string_view body, std::string_view media_type);

// The entry that runs best on `wanted`: os and architecture must match; then the same variant, then
// the next lower one (arm), then none. Attestations and unknown/unknown are skipped. NotFound lists
// what there is. Entries without platform match only when no entry has one and there is a single
// entry.
absl::StatusOr<Descriptor> ChooseManifest(const Index& index, const Platform& wanted);

// FailedPrecondition unless an image for `image` runs on `host`. Empty fields of `image` match.
absl::Status CheckRunsOn(const Platform& image, const Platform& host);

// What runs when the task does not say otherwise. Hostile content: the runtime checks each field.
struct ImageConfig {
  Platform platform;
  std::string created;                // RFC 3339, as the image says
  std::vector<std::string> diff_ids;  // checked digests of the uncompressed layers, bottom first
  std::string user;
  std::vector<std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::string working_dir;
  std::string stop_signal;
  std::map<std::string, std::string> labels;
  std::vector<std::string> volumes;  // paths, sorted
};
absl::StatusOr<ImageConfig> ParseImageConfig(std::string_view body);

// The manifest of an image that came without one (docker save): schema 2, layers as they are.
std::string MakeManifest(const Descriptor& config, const std::vector<Descriptor>& layers);

// manifest.json of a docker-save archive.
struct SavedImage {
  std::string config;                   // names inside the archive
  std::vector<std::string> layers;      // bottom first
  std::vector<std::string> references;  // "hello:1"
};
absl::StatusOr<std::vector<SavedImage>> ParseSavedImages(std::string_view body);

// Chain ids by the image specification: what names a stack of layers, bottom first.
std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids);

// Feeds `bytes` to every parser of this file; for fuzzers. Always returns.
void ParseAnything(std::string_view bytes);

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_MANIFEST_H_
