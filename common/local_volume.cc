#include "common/local_volume.h"

#include <sys/mount.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm {
namespace {

constexpr size_t kMaxOption = 4000;  // mount(2) takes one page

struct MountFlag {
  std::string_view name;
  uint64_t set;
  uint64_t clear;
};
constexpr MountFlag kMountFlags[] = {{"defaults", 0, 0},
                                     {"ro", MS_RDONLY, 0},
                                     {"rw", 0, MS_RDONLY},
                                     {"nosuid", MS_NOSUID, 0},
                                     {"suid", 0, MS_NOSUID},
                                     {"nodev", MS_NODEV, 0},
                                     {"dev", 0, MS_NODEV},
                                     {"noexec", MS_NOEXEC, 0},
                                     {"exec", 0, MS_NOEXEC},
                                     {"sync", MS_SYNCHRONOUS, 0},
                                     {"async", 0, MS_SYNCHRONOUS},
                                     {"dirsync", MS_DIRSYNC, 0},
                                     {"noatime", MS_NOATIME, 0},
                                     {"atime", 0, MS_NOATIME},
                                     {"nodiratime", MS_NODIRATIME, 0},
                                     {"diratime", 0, MS_NODIRATIME},
                                     {"relatime", MS_RELATIME, 0},
                                     {"norelatime", 0, MS_RELATIME},
                                     {"strictatime", MS_STRICTATIME, 0},
                                     {"bind", MS_BIND, 0},
                                     {"rbind", MS_BIND | MS_REC, 0}};
constexpr std::string_view kRefusedFlags[] = {"remount",    "move",       "shared", "slave",
                                              "private",    "rshared",    "rslave", "rprivate",
                                              "unbindable", "runbindable"};

absl::Status Bad(std::string_view option, std::string_view why) {
  return absl::InvalidArgumentError(StrCat(option, ": ", why));
}

absl::Status ReadMountOptions(const std::string& text, LocalVolume* out) {
  for (const absl::string_view word : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::string_view option = ToStd(word);
    if (std::find(std::begin(kRefusedFlags), std::end(kRefusedFlags), option) !=
        std::end(kRefusedFlags)) {
      return Bad("o", StrCat("\"", option, "\" is not for volumes"));
    }
    const auto* const flag =
        std::find_if(std::begin(kMountFlags), std::end(kMountFlags),
                     [&](const MountFlag& known) { return known.name == option; });
    if (flag != std::end(kMountFlags)) {
      out->flags = (out->flags & ~flag->clear) | flag->set;
      continue;
    }
    StrAppend(&out->data, out->data.empty() ? "" : ",", option);
  }
  return absl::OkStatus();
}

// Without a type Docker's local driver refuses device and o.
absl::Status CheckTogether(const LocalVolume& volume, bool has_o) {
  const bool bind = (volume.flags & MS_BIND) != 0;
  if (volume.type.empty()) {
    if (!volume.device.empty()) return Bad("device", "needs a type, as in type=nfs");
    if (has_o) return Bad("o", "needs a type, as in type=tmpfs");
    return absl::OkStatus();
  }
  if (volume.device.empty()) return Bad("device", "must be set when type is");
  if (volume.size_bytes > 0) return Bad("size", "is for volumes without a type; see o: size=…");
  if (volume.type == "none" && !bind) return Bad("o", "must have \"bind\" when type is none");
  if (bind && volume.device[0] != '/') {
    return Bad("device", StrCat("\"", absl::CEscape(volume.device), "\" is not an absolute path"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckVolumeName(std::string_view name) {
  const auto good = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  };
  const bool fits = !name.empty() && name.size() <= kMaxVolumeName &&
                    absl::ascii_isalnum(static_cast<unsigned char>(name.front())) &&
                    std::all_of(name.begin(), name.end(), good);
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("\"", absl::CEscape(ToAbsl(name.substr(0, 100))),
             "\" is no volume name: letters, digits, '_', '.' and '-', 1 to ", kMaxVolumeName,
             " of them, beginning with a letter or digit"));
}

absl::StatusOr<LocalVolume> ParseLocalVolume(const std::map<std::string, std::string>& options) {
  LocalVolume out;
  for (const auto& [key, value] : options) {
    const bool controls = std::any_of(value.begin(), value.end(),
                                      [](unsigned char c) { return absl::ascii_iscntrl(c); });
    if (value.size() > kMaxOption || controls) {
      return Bad(absl::CEscape(key),
                 StrCat("is longer than ", kMaxOption, " bytes or has control characters"));
    }
    if (key == "type") {
      out.type = value;
    } else if (key == "device") {
      out.device = value;
    } else if (key == "o") {
      RETURN_IF_ERROR(ReadMountOptions(value, &out));
    } else if (key == "size") {
      const absl::StatusOr<int64_t> size = ParseBytes(value);
      if (!size.ok()) return Bad("size", ToStd(size.status().message()));
      if (*size <= 0) return Bad("size", "must be above 0");
      out.size_bytes = *size;
    } else {
      return Bad(absl::CEscape(key),
                 "is no option of the driver local: type, device, o and size are");
    }
  }
  const auto o = options.find("o");
  RETURN_IF_ERROR(CheckTogether(out, o != options.end() && !o->second.empty()));
  return out;
}

}  // namespace swarm
