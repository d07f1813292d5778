#include "cli/contexts.h"

#include "absl/strings/str_split.h"
#include "cli/compose/document.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

void PutBlock(std::string_view key, const std::string& pem, std::string& out) {
  StrAppend(&out, key, ": |\n");
  for (absl::string_view line : absl::StrSplit(pem, '\n', absl::SkipEmpty())) {
    StrAppend(&out, "  ", line, "\n");
  }
}

}  // namespace

absl::StatusOr<std::string> ContextPath(const CliEnv& env, std::string_view name_or_path) {
  const bool is_path = name_or_path.find('/') != std::string_view::npos ||
                       name_or_path.ends_with(".yaml") || name_or_path.ends_with(".yml");
  if (is_path) return std::string(name_or_path);
  if (name_or_path.empty()) return absl::InvalidArgumentError("the context's name is empty");
  if (auto config = env.variable("XDG_CONFIG_HOME"); config && !config->empty()) {
    return StrCat(*config, "/swarm/contexts/", name_or_path, ".yaml");
  }
  const auto home = env.variable("HOME");
  if (!home || home->empty()) {
    return absl::FailedPreconditionError("HOME is not set: give the context's file by its path");
  }
  return StrCat(*home, "/.config/swarm/contexts/", name_or_path, ".yaml");
}

absl::StatusOr<ManagerTarget> ParseContext(std::string_view yaml, std::string_view file) {
  ASSIGN_OR_RETURN(const compose::Value root, compose::ParseYaml(yaml, file));
  ManagerTarget target;
  const struct {
    std::string_view key;
    std::string& value;
  } fields[] = {{"host", target.address},
                {"ca", target.ca_pem},
                {"certificate", target.certificate_pem},
                {"key", target.key_pem}};
  for (const auto& field : fields) {
    const compose::Value* value = root.Find(field.key);
    if (value == nullptr || !value->IsScalar() || value->text.empty()) {
      return absl::InvalidArgumentError(StrCat(file, ": ", field.key,
                                               " is missing; make a context with: swarmctl swarm ",
                                               "client-cert NAME --role viewer|admin"));
    }
    field.value = value->text;
  }
  return target;
}

std::string RenderContext(const ManagerTarget& target) {
  std::string out = StrCat("host: ", target.address, "\n");
  PutBlock("ca", target.ca_pem, out);
  PutBlock("certificate", target.certificate_pem, out);
  PutBlock("key", target.key_pem, out);
  return out;
}

}  // namespace swarm::cli
