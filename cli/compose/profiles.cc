#include "cli/compose/profiles.h"

#include <algorithm>
#include <map>

#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// The first profile of a service that does not count; empty: it counts. What is no list of words
// the schema's readers refuse.
std::string InactiveProfile(const Value& service, const std::vector<std::string>& active,
                            const std::string& path, Problems& problems) {
  const Value* profiles = service.Find("profiles");
  if (profiles == nullptr || profiles->IsNull()) return "";
  const bool words =
      profiles->IsList() && std::all_of(profiles->items.begin(), profiles->items.end(),
                                        [](const Value& item) { return item.IsScalar(); });
  if (!words) {
    problems.Invalid(profiles->Where(), StrCat(path, ".profiles"), "must be a list of names");
    return "";
  }
  if (profiles->items.empty()) return "";
  for (const Value& profile : profiles->items) {
    for (const std::string& name : active) {
      if (name == "*" || name == profile.text) return "";
    }
  }
  return profiles->items[0].text;
}

}  // namespace

void LeaveOutInactive(Value& root, const std::vector<std::string>& active, Problems& problems) {
  Value* services = root.Find("services");
  if (services == nullptr || !services->IsMap()) return;
  std::map<std::string, std::string> inactive;  // service → a profile of it
  for (const Entry& entry : services->entries) {
    const std::string path = StrCat("services.", entry.key);
    std::string profile = InactiveProfile(entry.value, active, path, problems);
    if (!profile.empty()) inactive[entry.key] = std::move(profile);
  }
  if (inactive.empty()) return;
  std::erase_if(services->entries,
                [&](const Entry& entry) { return inactive.contains(entry.key); });
  for (Entry& entry : services->entries) {
    Value* depends = entry.value.Find("depends_on");
    if (depends == nullptr) continue;
    std::erase_if(depends->entries, [&](const Entry& dependency) {
      const Value* required = dependency.value.Find("required");
      return inactive.contains(dependency.key) && required != nullptr && required->text == "false";
    });
    for (const Entry& dependency : depends->entries) {
      const auto it = inactive.find(dependency.key);
      if (it == inactive.end()) continue;
      problems.Invalid(dependency.Where(), StrCat("services.", entry.key, ".depends_on"),
                       StrCat(dependency.key, " is of the profile ", it->second,
                              ", which is not active; give --profile ", it->second));
    }
  }
}

}  // namespace swarm::cli::compose
