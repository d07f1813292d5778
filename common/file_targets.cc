#include "common/file_targets.h"

#include <algorithm>

#include "absl/strings/str_split.h"
#include "common/strings.h"

namespace swarm {
namespace {

constexpr size_t kLongestPath = 1024;

bool IsBelow(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path[folder.size()] == '/' && path.starts_with(folder);
}

std::string Below(std::string_view folder, std::string_view target) {
  return target.starts_with('/') ? std::string(target) : StrCat(folder, "/", target);
}

}  // namespace

std::string SecretPath(std::string_view target) { return Below(kSecretsFolder, target); }
std::string ConfigPath(std::string_view target) { return Below("", target); }

absl::Status CheckFilePath(std::string_view path) {
  if (path.size() > kLongestPath) {
    return absl::InvalidArgumentError(StrCat("is longer than ", kLongestPath, " characters"));
  }
  const bool control =
      std::any_of(path.begin(), path.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (control) return absl::InvalidArgumentError("holds a control character");
  for (const absl::string_view part : absl::StrSplit(ToAbsl(path.substr(1)), '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::InvalidArgumentError(
          StrCat("\"", path, "\" is no clean path of a file: no empty, \".\" or \"..\" parts"));
    }
    if (part.size() > 255)
      return absl::InvalidArgumentError("a name in it is above 255 characters");
  }
  for (const std::string_view kernel : {"/proc", "/sys", "/dev"}) {
    if (path == kernel || IsBelow(path, kernel)) {
      return absl::InvalidArgumentError(StrCat(path, " lies in ", kernel, ", the kernel's own"));
    }
  }
  if (path == kSecretsFolder || path == "/run") {
    return absl::InvalidArgumentError(StrCat(path, " is a folder that secrets lie in"));
  }
  return absl::OkStatus();
}

bool PathsCollide(std::string_view a, std::string_view b) {
  return a == b || IsBelow(a, b) || IsBelow(b, a);
}

}  // namespace swarm
