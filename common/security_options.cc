#include "common/security_options.h"

#include "absl/strings/escaping.h"
#include "common/strings.h"

namespace swarm {
namespace {

absl::Status Bad(std::string_view option, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("\"", absl::CEscape(ToAbsl(option.substr(0, 100))), "\" ", why));
}

}  // namespace

absl::Status SecurityOptions::Add(std::string_view option) {
  const size_t parted = option.find_first_of("=:");
  const std::string_view key = option.substr(0, parted);
  const bool has_value = parted != std::string_view::npos;
  const std::string_view value = has_value ? option.substr(parted + 1) : std::string_view();
  if (key == "no-new-privileges") {
    if (has_value && value != "true" && value != "false") return Bad(option, "is true or false");
    no_new_privileges = value != "false";
    return absl::OkStatus();
  }
  if (key == "seccomp") {
    if (value == "builtin") {
      seccomp_unconfined = false;
      return absl::OkStatus();
    }
    if (value != "unconfined") {
      return Bad(option, "names a profile, which is not built: \"unconfined\" and \"builtin\" are");
    }
    seccomp_unconfined = true;
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
