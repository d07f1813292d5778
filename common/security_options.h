// The words of `security_opt`, as Docker takes them: "no-new-privileges[:true|:false]",
// "seccomp=unconfined", "systempaths=unconfined"; key and value are parted by '=' or ':'.
//
// "apparmor=unconfined" and "label=disable"
// ask for what is so anyway: containers get no AppArmor profile and no SELinux label.
#ifndef SWARM_COMMON_SECURITY_OPTIONS_H_
#define SWARM_COMMON_SECURITY_OPTIONS_H_

#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace swarm {

struct SecurityOptions {
  std::optional<bool> no_new_privileges;  // unset: nobody said
  bool seccomp_unconfined = false;
  bool system_paths_unconfined = false;  // nothing of /proc and /sys is masked or read-only

  // Of several the last counts. InvalidArgument: unknown, or asks for what is not there; the reason
  // names it.
  absl::Status Add(std::string_view option);
};

}  // namespace swarm

#endif  // SWARM_COMMON_SECURITY_OPTIONS_H_
