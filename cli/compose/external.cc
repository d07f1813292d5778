#include "cli/compose/external.h"

#include "absl/strings/match.h"

namespace swarm::cli::compose {

std::optional<std::string> ExternalName(const std::string& key, const Value& object) {
  const Value* external = object.Find("external");
  if (external == nullptr || external->IsNull()) return std::nullopt;
  if (external->IsScalar() && !absl::EqualsIgnoreCase(external->text, "true")) return std::nullopt;
  for (const Value* map : {external, &object}) {
    const Value* name = map->Find("name");
    if (name != nullptr && name->IsScalar()) return name->text;
  }
  return key;
}

}  // namespace swarm::cli::compose
