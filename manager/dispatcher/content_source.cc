#include "manager/dispatcher/content_source.h"

#include <string>

#include "common/log.h"
#include "common/secret_bytes.h"
#include "common/strings.h"

namespace swarm::manager {

std::optional<v1::SecretContent> StoreContents::SecretOf(Id id) const {
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

std::optional<v1::ConfigContent> StoreContents::ConfigOf(Id id) const {
  const Ref<Config> config = view_.GetConfig(id);
  if (config == nullptr) return std::nullopt;
  v1::ConfigContent content;
  content.set_config_id(config->id());
  content.set_name(config->spec().name());
  content.set_data(config->spec().data());
  content.set_template_driver(config->spec().template_driver());
  return content;
}

void WipeContents(v1::Assignment& assignment) {
  for (auto& secret : *assignment.mutable_secrets()) WipeString(*secret.mutable_data());
}

}  // namespace swarm::manager
