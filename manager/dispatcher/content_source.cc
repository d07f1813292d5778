#include "manager/dispatcher/content_source.h"

#include <string>
#include <utility>

#include "common/log.h"
#include "common/secret_bytes.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

constexpr size_t kFrameBytes = 64;  // the id, tags and lengths

}  // namespace

std::optional<v1::SecretContent> ContentSource::SecretOf(Id id) const {
  const Ref<Secret> secret = view_.GetSecret(id);
  if (secret == nullptr || vault_ == nullptr) return std::nullopt;
  const auto plain = vault_->Open(*secret);
  if (!plain.ok()) {
    LogError("dispatcher",
             StrCat("secret ", secret->spec().name(), ": ", plain.status().message()));
    return std::nullopt;
  }
  v1::SecretContent content;
  content.set_secret_id(secret->id());
  content.set_name(secret->spec().name());
  content.set_data(std::string(plain->Reveal()));
  content.set_template_driver(secret->spec().template_driver());
  return content;
}

std::optional<v1::ConfigContent> ContentSource::ConfigOf(Id id) const {
  const Ref<Config> config = view_.GetConfig(id);
  if (config == nullptr) return std::nullopt;
  v1::ConfigContent content;
  content.set_config_id(config->id());
  content.set_name(config->spec().name());
  content.set_data(config->spec().data());
  content.set_template_driver(config->spec().template_driver());
  return content;
}

size_t ContentSource::SecretBytesOf(Id id) const {
  const Ref<Secret> secret = view_.GetSecret(id);
  if (secret == nullptr || vault_ == nullptr) return 0;
  return kFrameBytes + secret->sealed_data().size() + secret->spec().name().size() +
         secret->spec().template_driver().size();
}

size_t ContentSource::ConfigBytesOf(Id id) const {
  const Ref<Config> config = view_.GetConfig(id);
  if (config == nullptr) return 0;
  return kFrameBytes + config->spec().ByteSizeLong();
}

size_t ContentBytes(const v1::Assignment& assignment, const ContentSource& contents) {
  size_t bytes = 0;
  for (const v1::SecretContent& secret : assignment.secrets()) {
    bytes += contents.SecretBytesOf(Id::ParseOrZero(secret.secret_id()));
  }
  for (const v1::ConfigContent& config : assignment.configs()) {
    bytes += contents.ConfigBytesOf(Id::ParseOrZero(config.config_id()));
  }
  return bytes;
}

void FillContents(v1::Assignment& assignment, const ContentSource& contents) {
  auto secrets = std::exchange(*assignment.mutable_secrets(), {});
  for (const v1::SecretContent& secret : secrets) {
    auto content = contents.SecretOf(Id::ParseOrZero(secret.secret_id()));
    if (content.has_value()) *assignment.add_secrets() = *std::move(content);
  }
  auto configs = std::exchange(*assignment.mutable_configs(), {});
  for (const v1::ConfigContent& config : configs) {
    auto content = contents.ConfigOf(Id::ParseOrZero(config.config_id()));
    if (content.has_value()) *assignment.add_configs() = *std::move(content);
  }
}

void WipeContents(v1::Assignment& assignment) {
  for (auto& secret : *assignment.mutable_secrets()) WipeString(*secret.mutable_data());
}

}  // namespace swarm::manager
