// Input: what came as the media type on the first line, then a document.
#include <string>
#include <variant>

#include "common/check.h"
#include "common/oci/digest.h"
#include "common/oci/manifest.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {
namespace {

using oci::Descriptor;

void CheckDescriptor(const Descriptor& descriptor) {
  CHECK(oci::CheckDigest(descriptor.digest).ok()) << descriptor.digest;
  CHECK(descriptor.size >= 0) << descriptor.size;
}

void TryIndex(const oci::Index& index) {
  CHECK(index.manifests.size() <= oci::kMaxIndexEntries);
  for (const Descriptor& entry : index.manifests) CheckDescriptor(entry);
  for (const oci::Platform& wanted :
       {oci::Platform{"linux", "amd64", ""}, oci::Platform{"linux", "arm", "v7"}}) {
    const auto chosen = oci::ChooseManifest(index, wanted);
    if (!chosen.ok()) {
      fuzz::CheckRefusal(chosen.status(), {absl::StatusCode::kNotFound});
    } else if (chosen->platform.has_value()) {
      CHECK(chosen->platform->os == wanted.os) << chosen->platform->ToString();
      CHECK(chosen->platform->architecture == wanted.architecture) << chosen->platform->ToString();
    }
  }
}

void TryManifest(const oci::Manifest& manifest) {
  CheckDescriptor(manifest.config);
  CHECK(manifest.layers.size() <= oci::kMaxLayers);
  for (const Descriptor& layer : manifest.layers) CheckDescriptor(layer);
  const std::string made = oci::MakeManifest(manifest.config, manifest.layers);
  const auto again = oci::ParseManifest(made, oci::kDockerManifestType);
  CHECK(again.ok()) << again.status() << ": " << made;
  const auto& second = std::get<oci::Manifest>(*again);
  CHECK(second.config.digest == manifest.config.digest) << made;
  CHECK(second.layers.size() == manifest.layers.size()) << made;
}

void TryConfig(std::string_view body) {
  const auto config = oci::ParseImageConfig(body);
  if (!config.ok()) {
    fuzz::CheckRefusal(config.status());
    return;
  }
  for (const std::string& id : config->diff_ids) CHECK(oci::CheckDigest(id).ok()) << id;
  CHECK(oci::ChainIds(config->diff_ids).size() == config->diff_ids.size());
}

}  // namespace

std::vector<std::string> fuzz::MoreSeeds() { return {}; }

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  std::string_view body = fuzz::Text(data, size);
  const std::string_view media_type = fuzz::TakeLine(body);
  const auto document = oci::ParseManifest(body, media_type);
  if (!document.ok()) {
    fuzz::CheckRefusal(document.status());
  } else if (const auto* index = std::get_if<oci::Index>(&*document)) {
    TryIndex(*index);
  } else {
    TryManifest(std::get<oci::Manifest>(*document));
  }
  TryConfig(body);
  const auto saved = oci::ParseSavedImages(body);
  if (!saved.ok()) fuzz::CheckRefusal(saved.status());
  return 0;
}
