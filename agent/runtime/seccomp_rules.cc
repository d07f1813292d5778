#include "agent/runtime/seccomp_rules.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;

#if defined(__x86_64__)
constexpr std::string_view kArchitecture = "amd64";
constexpr std::string_view kSeccompArchitecture = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
constexpr std::string_view kArchitecture = "arm64";
constexpr std::string_view kSeccompArchitecture = "SCMP_ARCH_AARCH64";
#endif

struct Place {
  CapabilitySet bounding;
  const std::optional<oci::KernelVersion>& kernel;

  // One that we do not know is one that nobody has.
  bool Has(const std::string& capability) const {
    const auto bit = ParseCapability(capability);
    return bit.ok() && (bounding & (CapabilitySet{1} << *bit)) != 0;
  }
  bool IsHere(const std::vector<std::string>& architectures) const {
    return std::find(architectures.begin(), architectures.end(), kArchitecture) !=
           architectures.end();
  }
  bool IsSince(const oci::KernelVersion& version) const { return kernel && *kernel >= version; }
};

// As Docker: all that `includes` says must be so, and nothing of what `excludes` says.
bool Holds(const oci::SeccompRule& rule, const Place& place) {
  const auto has = [&](const std::string& capability) { return place.Has(capability); };
  const oci::SeccompCondition& without = rule.excludes;
  if (place.IsHere(without.architectures)) return false;
  if (std::any_of(without.capabilities.begin(), without.capabilities.end(), has)) return false;
  if (without.min_kernel && place.IsSince(*without.min_kernel)) return false;
  const oci::SeccompCondition& with = rule.includes;
  if (!with.architectures.empty() && !place.IsHere(with.architectures)) return false;
  if (!std::all_of(with.capabilities.begin(), with.capabilities.end(), has)) return false;
  return !with.min_kernel || place.IsSince(*with.min_kernel);
}

std::vector<std::string> Architectures(const oci::SeccompProfile& profile) {
  std::vector<std::string> out = profile.architectures;
  for (const auto& [architecture, more] : profile.sub_architectures) {
    if (architecture != kSeccompArchitecture) continue;
    out.push_back(architecture);
    out.insert(out.end(), more.begin(), more.end());
    break;
  }
  return out;
}

}  // namespace

Json OciSeccompOf(const oci::SeccompProfile& profile, CapabilitySet bounding,
                  const std::optional<oci::KernelVersion>& kernel) {
  const Place place = {bounding, kernel};
  Json out = {{"defaultAction", profile.default_action},
              {"architectures", Architectures(profile)},
              {"flags", profile.flags},
              {"syscalls", Json::array()}};
  if (profile.default_error) out["defaultErrnoRet"] = *profile.default_error;
  for (const oci::SeccompRule& rule : profile.rules) {
    if (!Holds(rule, place)) continue;
    Json call = {{"names", rule.names}, {"action", rule.action}, {"args", Json::array()}};
    if (rule.error) call["errnoRet"] = *rule.error;
    for (const oci::SeccompArgument& argument : rule.arguments) {
      call["args"].push_back({{"index", argument.index},
                              {"value", argument.value},
                              {"valueTwo", argument.value_two},
                              {"op", argument.op}});
    }
    out["syscalls"].push_back(std::move(call));
  }
  return out;
}

}  // namespace swarm::agent
