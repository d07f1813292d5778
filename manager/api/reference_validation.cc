#include "manager/api/reference_validation.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/file_targets.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/task_template.h"
#include "manager/api/container_validation.h"

namespace swarm::manager {
namespace {

constexpr size_t kLongestName = 128;
constexpr uint32_t kHighestOwner = 0x7fffffff;

absl::Status ValidateObjectName(const std::string& name) {
  const auto plain = [](unsigned char c) { return absl::ascii_isalnum(c); };
  const bool good =
      !name.empty() && name.size() <= kLongestName && plain(name.front()) && plain(name.back()) &&
      std::all_of(name.begin(), name.end(),
                  [&](unsigned char c) { return plain(c) || c == '_' || c == '.' || c == '-'; });
  if (!good) {
    return FieldError("name",
                      StrCat("\"", absl::CEscape(name.substr(0, kLongestName)),
                             "\" is not a name: letters, digits, '_', '.' and '-', at most ",
                             kLongestName, ", beginning and ending with a letter or digit"));
  }
  if (Id::Parse(name).ok()) {
    return FieldError("name", StrCat("\"", name, "\" has the shape of an id"));
  }
  return absl::OkStatus();
}

// Of a secret nothing is repeated: errors are seen by more people than secrets.
template <typename Spec>
absl::Status ValidateObject(const Spec& spec, size_t most, bool is_secret) {
  RETURN_IF_ERROR(ValidateObjectName(spec.name()));
  RETURN_IF_ERROR(ValidateLabels("labels", spec.labels()));
  if (spec.data().empty()) return FieldError("data", "is empty");
  if (spec.data().size() > most) {
    return FieldError("data", StrCat("is ", spec.data().size(), " bytes, above the most of ", most,
                                     " (", most >> 10, " KiB)"));
  }
  if (spec.template_driver().empty()) return absl::OkStatus();
  if (spec.template_driver() != kGolangTemplate) {
    return FieldError("template_driver", StrCat("\"", absl::CEscape(spec.template_driver()),
                                                "\" is unknown; golang is built"));
  }
  const absl::Status expands = CheckTemplate(spec.data(), TemplatePlace::kContent);
  if (expands.ok()) return expands;
  return FieldError("data", is_secret ? "is no template of driver golang: an action in it is not "
                                        "closed or not known"
                                      : ToStd(expands.message()));
}

absl::Status ValidateOwner(const std::string& path, const std::string& owner) {
  uint32_t id = 0;
  if (owner.empty() || (absl::SimpleAtoi(owner, &id) && id <= kHighestOwner)) {
    return absl::OkStatus();
  }
  return FieldError(path,
                    StrCat("\"", absl::CEscape(owner.substr(0, 64)), "\" is not a number of 0 to ",
                           kHighestOwner, "; names of the image are not looked up"));
}

absl::Status ValidateTarget(const std::string& path, const v1::FileTarget& file, bool is_secret) {
  if (!file.name().empty()) {
    const std::string at = is_secret ? SecretPath(file.name()) : ConfigPath(file.name());
    const absl::Status clean = CheckFilePath(at);
    if (!clean.ok()) return FieldError(path + ".file.name", ToStd(clean.message()));
  }
  RETURN_IF_ERROR(ValidateOwner(path + ".file.uid", file.uid()));
  RETURN_IF_ERROR(ValidateOwner(path + ".file.gid", file.gid()));
  if (file.has_mode() && file.mode() > 0777) {
    return FieldError(path + ".file.mode",
                      absl::StrFormat("0%o is more than the permissions, 0777", file.mode()));
  }
  return absl::OkStatus();
}

// Where both kinds of reference are alike.
const std::string& IdOf(const v1::SecretReference& r) { return r.secret_id(); }
const std::string& IdOf(const v1::ConfigReference& r) { return r.config_id(); }
const std::string& NameOf(const v1::SecretReference& r) { return r.secret_name(); }
const std::string& NameOf(const v1::ConfigReference& r) { return r.config_name(); }

template <typename References>
absl::Status ValidateEach(std::string_view field, const References& references, bool is_secret) {
  for (int i = 0; i < references.size(); ++i) {
    const std::string path = StrCat("task.container.", field, "[", i, "]");
    if (IdOf(references[i]).empty() && NameOf(references[i]).empty()) {
      return FieldError(path, "names nothing: an id or a name is needed");
    }
    RETURN_IF_ERROR(ValidateTarget(path, references[i].file(), is_secret));
  }
  return absl::OkStatus();
}

// The object that a reference means: by its id, else by its name, which may be an id too, as people
// write it.
template <typename T>
absl::StatusOr<Ref<T>> Resolve(const std::string& path, std::string_view kind,
                               const std::string& id, const std::string& name,
                               absl::FunctionRef<Ref<T>(Id)> by_id,
                               absl::FunctionRef<Ref<T>(const std::string&)> by_name) {
  Ref<T> found = id.empty() ? by_name(name) : by_id(Id::ParseOrZero(id));
  if (found == nullptr && id.empty()) found = by_id(Id::ParseOrZero(name));
  if (found == nullptr) {
    return FieldError(path, StrCat(kind, " \"", absl::CEscape(id.empty() ? name : id),
                                   "\" not found; make it with swarmctl ", kind, " create"));
  }
  if (!name.empty() && found->spec().name() != name && found->id() != name) {
    return FieldError(path, StrCat(kind, " ", id, " is \"", found->spec().name(), "\", not \"",
                                   absl::CEscape(name), "\""));
  }
  return found;
}

// Paths that are taken, with the field that took them.
class Paths {
 public:
  absl::Status Take(const std::string& field, std::string path) {
    RETURN_IF_ERROR(Check(field, path));
    taken_.emplace_back(field, std::move(path));
    return absl::OkStatus();
  }

 private:
  absl::Status Check(const std::string& field, const std::string& path) const {
    const absl::Status clean = CheckFilePath(path);
    if (!clean.ok()) return FieldError(field, ToStd(clean.message()));
    for (const auto& [other, theirs] : taken_) {
      if (!PathsCollide(path, theirs)) continue;
      return FieldError(field, StrCat(path, " and ", theirs, " of ", other,
                                      " cannot both be files: give one another target"));
    }
    return absl::OkStatus();
  }

  std::vector<std::pair<std::string, std::string>> taken_;
};

// About what it takes; of a secret some bytes more.
size_t BytesOf(const Secret& secret) { return secret.sealed_data().size(); }
size_t BytesOf(const Config& config) { return config.spec().data().size(); }

absl::Status CheckMounted(size_t bytes) {
  if (bytes <= kMostMountedBytes) return absl::OkStatus();
  return FieldError("task.container",
                    StrCat("its secrets and configs hold ", bytes >> 20,
                           " MiB together, above the most of ", kMostMountedBytes >> 20,
                           " MiB of a service; put large files into the image or a volume"));
}

template <typename References, typename T>
bool NamesOne(const References& references, const T& object) {
  return std::any_of(references.begin(), references.end(), [&](const auto& reference) {
    if (!IdOf(reference).empty()) return IdOf(reference) == object.id();
    return NameOf(reference) == object.spec().name() || NameOf(reference) == object.id();
  });
}

}  // namespace

absl::Status ValidateSecretSpec(const v1::SecretSpec& spec) {
  return ValidateObject(spec, kMostSecretBytes, /*is_secret=*/true);
}

absl::Status ValidateConfigSpec(const v1::ConfigSpec& spec) {
  return ValidateObject(spec, kMostConfigBytes, /*is_secret=*/false);
}

absl::Status ValidateReferences(const v1::ContainerSpec& spec) {
  if (spec.secrets_size() + spec.configs_size() > kMostReferences) {
    return FieldError("task.container.secrets",
                      StrCat("are more than ", kMostReferences, " together with configs"));
  }
  RETURN_IF_ERROR(ValidateEach("secrets", spec.secrets(), /*is_secret=*/true));
  return ValidateEach("configs", spec.configs(), /*is_secret=*/false);
}

absl::StatusOr<v1::TaskSpec> PinReferences(const View& view, v1::TaskSpec task) {
  if (!task.has_container()) return task;
  v1::ContainerSpec& container = *task.mutable_container();
  Paths paths;
  size_t bytes = 0;
  for (int i = 0; i < container.secrets_size(); ++i) {
    const std::string field = StrCat("task.container.secrets[", i, "]");
    v1::SecretReference& reference = *container.mutable_secrets(i);
    ASSIGN_OR_RETURN(const Ref<Secret> secret,
                     Resolve<Secret>(
                         field, "secret", reference.secret_id(), reference.secret_name(),
                         [&](Id id) { return view.GetSecret(id); },
                         [&](const std::string& name) { return view.GetSecretByName(name); }));
    reference.set_secret_id(secret->id());
    reference.set_secret_name(secret->spec().name());
    bytes += BytesOf(*secret);
    const std::string& target = reference.file().name();
    RETURN_IF_ERROR(paths.Take(field, SecretPath(target.empty() ? secret->spec().name() : target)));
  }
  for (int i = 0; i < container.configs_size(); ++i) {
    const std::string field = StrCat("task.container.configs[", i, "]");
    v1::ConfigReference& reference = *container.mutable_configs(i);
    ASSIGN_OR_RETURN(const Ref<Config> config,
                     Resolve<Config>(
                         field, "config", reference.config_id(), reference.config_name(),
                         [&](Id id) { return view.GetConfig(id); },
                         [&](const std::string& name) { return view.GetConfigByName(name); }));
    reference.set_config_id(config->id());
    reference.set_config_name(config->spec().name());
    bytes += BytesOf(*config);
    const std::string& target = reference.file().name();
    RETURN_IF_ERROR(paths.Take(field, ConfigPath(target.empty() ? config->spec().name() : target)));
  }
  RETURN_IF_ERROR(CheckMounted(bytes));
  return task;
}

bool Uses(const v1::TaskSpec& task, const Secret& secret) {
  return NamesOne(task.container().secrets(), secret);
}

bool Uses(const v1::TaskSpec& task, const Config& config) {
  return NamesOne(task.container().configs(), config);
}

}  // namespace swarm::manager
