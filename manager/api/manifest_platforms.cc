#include "manager/api/manifest_platforms.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "common/oci/manifest.h"

namespace swarm::manager {
namespace {

constexpr size_t kMaxPlatforms = 64;

void AddPlatform(const oci::Platform& platform, std::vector<oci::Platform>& out) {
  if (platform.os.empty() || platform.os == "unknown" || platform.architecture.empty()) return;
  if (out.size() >= kMaxPlatforms || std::find(out.begin(), out.end(), platform) != out.end())
    return;
  out.push_back(platform);
}

void AddFromConfig(oci::Registry& registry, const oci::Reference& reference,
                   const oci::Descriptor& config, std::vector<oci::Platform>& out) {
  if (config.size <= 0 || config.size > static_cast<int64_t>(oci::kMaxConfigBytes)) return;
  std::string body;
  const std::atomic<bool> cancelled = false;
  absl::Status fetched = registry.GetBlob(
      reference, config.digest, config.size,
      [&](std::string_view piece) {
        body.append(piece);
        return absl::OkStatus();
      },
      cancelled);
  if (!fetched.ok()) return;
  if (auto parsed = oci::ParseImageConfig(body); parsed.ok()) AddPlatform(parsed->platform, out);
}

}  // namespace

std::vector<v1::Platform> PlatformsOf(oci::Registry& registry, const oci::Reference& reference,
                                      const oci::Document& document) {
  auto parsed = oci::ParseManifest(document.body, document.media_type);
  if (!parsed.ok()) return {};
  std::vector<oci::Platform> found;
  if (const auto* index = std::get_if<oci::Index>(&*parsed)) {
    for (const oci::Descriptor& manifest : index->manifests) {
      if (manifest.platform.has_value()) AddPlatform(*manifest.platform, found);
    }
  } else {
    AddFromConfig(registry, reference, std::get<oci::Manifest>(*parsed).config, found);
  }
  std::vector<v1::Platform> out;
  for (const oci::Platform& platform : found) {
    v1::Platform& added = out.emplace_back();
    added.set_os(platform.os);
    added.set_architecture(platform.architecture);
    added.set_variant(platform.variant);
  }
  return out;
}

}  // namespace swarm::manager
