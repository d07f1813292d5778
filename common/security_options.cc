#include "common/security_options.h"

#include "absl/strings/escaping.h"
#include "common/strings.h"

namespace swarm {
namespace {

absl::Status Bad(std::string_view option, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("\"", absl::CEscape(ToAbsl(option.substr(0, 100))), "\" ", why));
}

std::string_view Value(std::string_view option) {
  const size_t key = SecurityOptionKey(option).size();
  return key < option.size() ? option.substr(key + 1) : std::string_view();
}

}  // namespace

std::string_view SecurityOptionKey(std::string_view option) {
  return option.substr(0, option.find_first_of("=:"));
}

bool IsSameSecurityOption(std::string_view a, std::string_view b) {
  const auto meant = [](std::string_view option) {
    const bool is_bare = option == "no-new-privileges";
    return is_bare ? std::string_view("true") : Value(option);
  };
  return SecurityOptionKey(a) == SecurityOptionKey(b) && meant(a) == meant(b);
}

std::string_view SeccompFile(std::string_view option) {
  const std::string_view value = Value(option);
  const bool names_file = SecurityOptionKey(option) == "seccomp" && !value.empty() &&
                          value.front() != '{' && value != "unconfined" && value != "builtin";
  return names_file ? value : std::string_view();
}

std::string SecurityOptionWords(std::string_view option) {
  const std::string_view value = Value(option);
  if (SecurityOptionKey(option) != "seccomp" || !value.starts_with("{")) return std::string(option);
  return StrCat("seccomp={…} (", value.size(), " bytes)");
}

absl::Status SecurityOptions::Add(std::string_view option) {
  const std::string_view key = SecurityOptionKey(option);
  const bool has_value = key.size() < option.size();
  const std::string_view value = Value(option);
  if (key == "no-new-privileges") {
    if (has_value && value != "true" && value != "false") return Bad(option, "is true or false");
    no_new_privileges = value != "false";
    return absl::OkStatus();
  }
  if (key == "seccomp") {
    if (!SeccompFile(option).empty() || value.empty()) {
      return Bad(option,
                 "must be unconfined, builtin or a profile's JSON; whose file it is reads it");
    }
    seccomp_unconfined = value == "unconfined";
    seccomp_profile = value.front() == '{' ? value : "";
    return absl::OkStatus();
  }
  if (key == "systempaths" && value == "unconfined") {
    system_paths_unconfined = true;
    return absl::OkStatus();
  }
  if (key == "apparmor") {
    if (value == "unconfined") return absl::OkStatus();
    return Bad(option, "asks for an AppArmor profile, and containers get none: leave it out");
  }
  if (key == "label") {
    if (value == "disable") return absl::OkStatus();
    return Bad(option, "asks for an SELinux label, and containers get none: leave it out");
  }
  return Bad(option, "is unknown; there are no-new-privileges, seccomp and systempaths");
}

}  // namespace swarm
