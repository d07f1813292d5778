// The words of `security_opt`, as Docker takes them: "no-new-privileges[:true|:false]",
// "seccomp=unconfined", "seccomp={…}" (a profile's text), "systempaths=unconfined"; key and value
// are parted by '=' or ':'.
//
// "apparmor=unconfined" and "label=disable" ask for what is so anyway: containers get no AppArmor
// profile and no SELinux label.
#ifndef SWARM_COMMON_SECURITY_OPTIONS_H_
#define SWARM_COMMON_SECURITY_OPTIONS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace swarm {

struct SecurityOptions {
  std::optional<bool> no_new_privileges;  // unset: nobody said
  bool seccomp_unconfined = false;
  std::string
      seccomp_profile;  // JSON, not looked at (common/oci/seccomp.h does); empty: the default
  bool system_paths_unconfined = false;  // nothing of /proc and /sys is masked or read-only

  // Of several the last counts. InvalidArgument: unknown, or asks for what is not there; the reason
  // names it.
  absl::Status Add(std::string_view option);
};

// What stands before the '=' or ':'.
std::string_view SecurityOptionKey(std::string_view option);
// Whether both say the same, however it is spelt: "seccomp=unconfined" and "seccomp:unconfined",
// "no-new-privileges" and "no-new-privileges:true".
bool IsSameSecurityOption(std::string_view a, std::string_view b);
// The file that "seccomp=FILE" names, which only who wrote it can read; else empty.
std::string_view SeccompFile(std::string_view option);
// As people want to see it: "seccomp={…} (1234 bytes)" instead of a whole profile.
std::string SecurityOptionWords(std::string_view option);

}  // namespace swarm

#endif  // SWARM_COMMON_SECURITY_OPTIONS_H_
