#include "agent/content_book.h"

#include <utility>

#include "common/status_macros.h"
#include "common/strings.h"
#include "common/task_template.h"

namespace swarm::agent {
namespace {

template <typename Message>
std::shared_ptr<const Content> ToContent(const Message& message) {
  auto content = std::make_shared<Content>();
  content->name = message.name();
  content->is_template = message.template_driver() == kGolangTemplate;
  content->data = SecretBytes::Copy(message.data());
  return content;
}

// What an id stands for never changes: what is known stays, and its memory with it.
void Keep(const Contents& before, const std::string& id, Contents& now) {
  const auto known = before.find(id);
  if (known != before.end()) now[id] = known->second;
}

absl::Status Take(std::string_view kind, const Contents& known, const std::string& id,
                  const std::string& name, Contents& out) {
  const auto found = known.find(id);
  if (found == known.end()) {
    return absl::UnavailableError(
        StrCat("waiting for the manager to send ", kind, " \"", name, "\""));
  }
  out[id] = found->second;
  return absl::OkStatus();
}

}  // namespace

bool ContentBook::Learn(const v1::Assignment& assignment) {
  if (assignment.kind() == v1::Assignment::KIND_COMPLETE) {
    TaskContents now;
    for (const auto& secret : assignment.secrets()) {
      Keep(known_.secrets, secret.secret_id(), now.secrets);
    }
    for (const auto& config : assignment.configs()) {
      Keep(known_.configs, config.config_id(), now.configs);
    }
    known_ = std::move(now);
  }
  bool brought = false;
  for (const v1::SecretContent& secret : assignment.secrets()) {
    auto& content = known_.secrets[secret.secret_id()];
    if (content != nullptr) continue;
    content = ToContent(secret);
    brought = true;
  }
  for (const v1::ConfigContent& config : assignment.configs()) {
    auto& content = known_.configs[config.config_id()];
    if (content != nullptr) continue;
    content = ToContent(config);
    brought = true;
  }
  return brought;
}

void ContentBook::Forget(const v1::Assignment& assignment) {
  for (const std::string& id : assignment.removed_secrets()) known_.secrets.erase(id);
  for (const std::string& id : assignment.removed_configs()) known_.configs.erase(id);
}

absl::StatusOr<TaskContents> ContentBook::Of(const v1::Revision& revision) const {
  TaskContents contents;
  const v1::ContainerSpec& container = revision.task().container();
  for (const v1::SecretReference& secret : container.secrets()) {
    RETURN_IF_ERROR(
        Take("secret", known_.secrets, secret.secret_id(), secret.secret_name(), contents.secrets));
  }
  for (const v1::ConfigReference& config : container.configs()) {
    RETURN_IF_ERROR(
        Take("config", known_.configs, config.config_id(), config.config_name(), contents.configs));
  }
  return contents;
}

void WipeContents(v1::Assignment& assignment) {
  for (auto& secret : *assignment.mutable_secrets()) WipeString(*secret.mutable_data());
  for (auto& config : *assignment.mutable_configs()) WipeString(*config.mutable_data());
}

}  // namespace swarm::agent
