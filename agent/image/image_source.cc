#include "agent/image/image_source.h"

#include <variant>

#include "common/oci/digest.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

// Index of indexes of manifests is as deep as tools go.
constexpr int kMaxIndexDepth = 3;
constexpr int64_t kMaxImageBytes = int64_t{256} << 30;

absl::Status Verify(std::string_view what, const oci::Descriptor& descriptor,
                    std::string_view body) {
  RETURN_IF_ERROR(oci::MatchDigest(what, descriptor.digest, oci::DigestOf(body)));
  // 0: nobody said how long it is.
  if (descriptor.size != 0 && descriptor.size != static_cast<int64_t>(body.size())) {
    return absl::DataLossError(StrCat(what, " ", descriptor.digest, ": expected ", descriptor.size,
                                      " bytes, got ", body.size()));
  }
  return absl::OkStatus();
}

absl::Status ReadConfigOf(const oci::Manifest& manifest, const oci::Platform& host,
                          ImageSource& source, ImageContent* content) {
  const oci::Descriptor& descriptor = manifest.config;
  if (descriptor.size > static_cast<int64_t>(oci::kMaxConfigBytes)) {
    return absl::InvalidArgumentError(
        StrCat("image configuration: ", descriptor.size, " bytes are too many"));
  }
  ASSIGN_OR_RETURN(std::string body, source.ReadConfig(descriptor));
  RETURN_IF_ERROR(Verify("image configuration", descriptor, body));
  ASSIGN_OR_RETURN(content->config, oci::ParseImageConfig(body));
  RETURN_IF_ERROR(oci::CheckRunsOn(content->config.platform, host));
  if (content->config.diff_ids.size() != manifest.layers.size()) {
    return absl::InvalidArgumentError(StrCat("the manifest has ", manifest.layers.size(),
                                             " layers, the configuration ",
                                             content->config.diff_ids.size()));
  }
  content->config_descriptor = descriptor;
  content->layers = manifest.layers;
  content->documents.emplace_back(descriptor.digest, std::move(body));
  int64_t total = 0;
  for (const oci::Descriptor& layer : content->layers) {
    if (layer.size > kMaxImageBytes - total) {
      return absl::ResourceExhaustedError(
          StrCat("the layers have more than ", kMaxImageBytes, " bytes"));
    }
    total += layer.size;
  }
  return absl::OkStatus();
}

}  // namespace

int64_t ImageContent::TotalBytes() const {
  int64_t total = 0;
  for (const auto& [digest, body] : documents) total += static_cast<int64_t>(body.size());
  for (const oci::Descriptor& layer : layers) total += layer.size;
  return total;
}

std::vector<std::string> ImageContent::Needs() const {
  std::vector<std::string> names;
  for (const auto& [digest, body] : documents) names.push_back(digest);
  for (const oci::Descriptor& layer : layers) names.push_back(layer.digest);
  for (const std::string& chain : oci::ChainIds(config.diff_ids)) names.push_back(LayerName(chain));
  return names;
}

absl::StatusOr<ImageContent> ReadImage(const oci::Descriptor& root, const oci::Platform& host,
                                       ImageSource& source) {
  ImageContent content;
  content.digest = root.digest;
  oci::Descriptor next = root;
  for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
    if (next.size > static_cast<int64_t>(oci::kMaxManifestBytes)) {
      return absl::InvalidArgumentError(StrCat("manifest: ", next.size, " bytes are too many"));
    }
    ASSIGN_OR_RETURN(std::string body, source.ReadManifest(next));
    RETURN_IF_ERROR(Verify("manifest", next, body));
    ASSIGN_OR_RETURN(oci::ManifestDocument document, oci::ParseManifest(body, next.media_type));
    content.documents.emplace_back(next.digest, std::move(body));
    if (const auto* index = std::get_if<oci::Index>(&document)) {
      ASSIGN_OR_RETURN(next, oci::ChooseManifest(*index, host));
      continue;
    }
    content.manifest_digest = next.digest;
    RETURN_IF_ERROR(ReadConfigOf(std::get<oci::Manifest>(document), host, source, &content));
    return content;
  }
  return absl::InvalidArgumentError(
      StrCat("manifest: more than ", kMaxIndexDepth, " indexes inside each other"));
}

}  // namespace swarm::agent
