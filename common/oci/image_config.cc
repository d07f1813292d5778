// The image configuration document and docker-save's manifest.json.
#include <utility>

#include "common/oci/digest.h"
#include "common/oci/json.h"
#include "common/oci/manifest.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::oci {
namespace {

constexpr size_t kMaxSavedImages = 1000;

absl::StatusOr<std::vector<std::string>> ReadDiffIds(const JsonField& rootfs) {
  RETURN_IF_ERROR(rootfs.RequireObject());
  ASSIGN_OR_RETURN(std::string type, rootfs.At("type").Text());
  if (!type.empty() && type != "layers") return rootfs.At("type").Error("must be layers");
  const JsonField field = rootfs.At("diff_ids");
  ASSIGN_OR_RETURN(std::vector<std::string> diff_ids, field.Texts());
  if (diff_ids.size() > kMaxLayers) {
    return field.Error(StrCat(diff_ids.size(), " layers, at most ", kMaxLayers, " are supported"));
  }
  for (const std::string& diff_id : diff_ids) {
    const absl::Status status = CheckDigest(diff_id);
    if (!status.ok()) return field.Error(ToStd(status.message()));
  }
  return diff_ids;
}

absl::Status ReadRuntimePart(const JsonField& field, ImageConfig* config) {
  if (!field.Exists()) return absl::OkStatus();
  RETURN_IF_ERROR(field.RequireObject());
  ASSIGN_OR_RETURN(config->user, field.At("User").Text());
  ASSIGN_OR_RETURN(config->env, field.At("Env").Texts());
  ASSIGN_OR_RETURN(config->entrypoint, field.At("Entrypoint").Texts());
  ASSIGN_OR_RETURN(config->command, field.At("Cmd").Texts());
  ASSIGN_OR_RETURN(config->working_dir, field.At("WorkingDir").Text());
  ASSIGN_OR_RETURN(config->stop_signal, field.At("StopSignal").Text());
  ASSIGN_OR_RETURN(config->labels, field.At("Labels").TextMap());
  ASSIGN_OR_RETURN(config->volumes, field.At("Volumes").Keys());
  return absl::OkStatus();
}

absl::StatusOr<ImageConfig> ReadConfig(const JsonField& root) {
  RETURN_IF_ERROR(root.RequireObject());
  ImageConfig config;
  ASSIGN_OR_RETURN(config.platform.os, root.At("os").Text());
  ASSIGN_OR_RETURN(config.platform.architecture, root.At("architecture").Text());
  ASSIGN_OR_RETURN(config.platform.variant, root.At("variant").Text());
  ASSIGN_OR_RETURN(config.created, root.At("created").Text());
  ASSIGN_OR_RETURN(config.diff_ids, ReadDiffIds(root.At("rootfs")));
  RETURN_IF_ERROR(ReadRuntimePart(root.At("config"), &config));
  return config;
}

absl::StatusOr<std::vector<SavedImage>> ReadSavedImages(const JsonField& root) {
  ASSIGN_OR_RETURN(std::vector<JsonField> items, root.Items(kMaxSavedImages));
  std::vector<SavedImage> images;
  for (const JsonField& item : items) {
    RETURN_IF_ERROR(item.RequireObject());
    SavedImage image;
    ASSIGN_OR_RETURN(image.config, item.At("Config").RequiredText());
    ASSIGN_OR_RETURN(image.layers, item.At("Layers").Texts());
    if (image.layers.size() > kMaxLayers) {
      return item.At("Layers").Error(
          StrCat(image.layers.size(), " layers, at most ", kMaxLayers, " are supported"));
    }
    ASSIGN_OR_RETURN(image.references, item.At("RepoTags").Texts());
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace

absl::StatusOr<ImageConfig> ParseImageConfig(std::string_view body) {
  absl::StatusOr<Json> root = ParseJson(body, kMaxConfigBytes);
  if (!root.ok()) return Annotate(root.status(), "image configuration");
  absl::StatusOr<ImageConfig> config = ReadConfig(JsonField(*root));
  if (!config.ok()) return Annotate(config.status(), "image configuration");
  return config;
}

absl::StatusOr<std::vector<SavedImage>> ParseSavedImages(std::string_view body) {
  absl::StatusOr<Json> root = ParseJson(body, kMaxManifestBytes);
  if (!root.ok()) return Annotate(root.status(), "manifest.json");
  absl::StatusOr<std::vector<SavedImage>> images = ReadSavedImages(JsonField(*root));
  if (!images.ok()) return Annotate(images.status(), "manifest.json");
  return images;
}

}  // namespace swarm::oci
