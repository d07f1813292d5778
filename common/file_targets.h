// Where the secrets and configs of a task are in its container. Shared by who checks it (manager)
// and who does it (agent). Pure.
#ifndef SWARM_COMMON_FILE_TARGETS_H_
#define SWARM_COMMON_FILE_TARGETS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace swarm {

inline constexpr std::string_view kSecretsFolder = "/run/secrets";

// Of a FileTarget's name, or the object's when that is empty: a relative one is below
// kSecretsFolder or, of configs, below "/".
std::string SecretPath(std::string_view target);
std::string ConfigPath(std::string_view target);

// Why nothing may be put at that path: InvalidArgument with the reason alone. Clean means no empty,
// "." or ".." parts, so a path is one file's whatever the links in an image.
absl::Status CheckFilePath(std::string_view path);

// One of them is the other, or lies below it.
bool PathsCollide(std::string_view a, std::string_view b);

}  // namespace swarm

#endif  // SWARM_COMMON_FILE_TARGETS_H_
