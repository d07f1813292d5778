#include "manager/api/mount_validation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/local_volume.h"
#include "common/oci/seccomp.h"
#include "common/security_options.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/task_template.h"
#include "manager/api/container_validation.h"

namespace swarm::manager {
namespace {

constexpr int kMostMounts = 64;  // a container's plan has room for 128, its own among them
constexpr int kMostDevices = 64;
constexpr int kMostOptions = 64;
constexpr size_t kMostPath = 4000;
constexpr size_t kMostDriver = 255;

using Options = google::protobuf::Map<std::string, std::string>;

std::string Quoted(std::string_view text) {
  return StrCat("\"", absl::CEscape(ToAbsl(text.substr(0, 200))), "\"");
}

absl::Status CheckText(const std::string& path, std::string_view text) {
  if (text.size() > kMostPath) return FieldError(path, StrCat("is longer than ", kMostPath));
  if (std::any_of(text.begin(), text.end(),
                  [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    return FieldError(path, StrCat(Quoted(text), " has control characters"));
  }
  const absl::Status expands = CheckTemplate(text, TemplatePlace::kSpec);
  return expands.ok() ? expands : FieldError(path, ToStd(expands.message()));
}

// What it becomes is checked on the node.
bool IsTemplate(std::string_view text) { return text.find("{{") != text.npos; }

bool HasDots(std::string_view path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(ToAbsl(path), '/');
  return std::any_of(parts.begin(), parts.end(),
                     [](absl::string_view part) { return part == ".." || part == "."; });
}

// "/a/b": nothing to work out.
absl::Status CheckCleanPath(const std::string& path, std::string_view text) {
  RETURN_IF_ERROR(CheckText(path, text));
  if (text.empty()) return FieldError(path, "must be set");
  if (text[0] != '/') return FieldError(path, StrCat(Quoted(text), " is not an absolute path"));
  if (text.size() == 1) return FieldError(path, "must not be /");
  if (text.back() == '/' || HasDots(text) || absl::StrContains(ToAbsl(text), "//")) {
    return FieldError(
        path, StrCat(Quoted(text), " is not clean: no \"//\", \".\", \"..\" or / at its end"));
  }
  return absl::OkStatus();
}

// Nodes say them again in their descriptions, which are shown on terminals.
absl::Status CheckVolumeLabels(const std::string& path, const Options& labels) {
  RETURN_IF_ERROR(ValidateLabels(path, labels));
  for (const auto& [key, value] :
       std::map<std::string, std::string>(labels.begin(), labels.end())) {
    RETURN_IF_ERROR(CheckText(StrCat(path, "[", key, "]"), value));
  }
  return absl::OkStatus();
}

absl::Status CheckLocalOptions(const std::string& path, const Options& options) {
  if (options.size() > kMostOptions) return FieldError(path, StrCat("more than ", kMostOptions));
  const absl::Status parsed =
      ParseLocalVolume(std::map<std::string, std::string>(options.begin(), options.end())).status();
  return parsed.ok() ? parsed : FieldError(path, ToStd(parsed.message()));
}

absl::Status CheckDriver(const std::string& path, const std::string& driver,
                         const std::string& options_path, const Options& options) {
  RETURN_IF_ERROR(CheckText(path, driver));
  if (driver.size() > kMostDriver) return FieldError(path, "is too long");
  if (!driver.empty() && driver != kLocalDriver) return absl::OkStatus();
  return CheckLocalOptions(options_path, options);
}

absl::Status ValidateVolume(const std::string& path, const v1::Mount& mount) {
  const v1::Mount::VolumeOptions& options = mount.volume();
  RETURN_IF_ERROR(CheckText(path + ".source", mount.source()));
  const bool named = !mount.source().empty() && !IsTemplate(mount.source());
  if (named && absl::StrContains(mount.source(), "/")) {
    return FieldError(path + ".source",
                      StrCat(Quoted(mount.source()), " is a path: use type bind for it"));
  }
  if (named) {
    const absl::Status fits = CheckVolumeName(mount.source());
    if (!fits.ok()) return FieldError(path + ".source", ToStd(fits.message()));
  }
  RETURN_IF_ERROR(CheckVolumeLabels(path + ".volume.labels", options.labels()));
  RETURN_IF_ERROR(CheckDriver(path + ".volume.driver", options.driver(),
                              path + ".volume.driver_options", options.driver_options()));
  const std::string& subpath = options.subpath();
  RETURN_IF_ERROR(CheckText(path + ".volume.subpath", subpath));
  if (!subpath.empty() && (subpath[0] == '/' || HasDots(subpath))) {
    return FieldError(path + ".volume.subpath",
                      StrCat(Quoted(subpath), " is not a relative path without \"..\""));
  }
  if (!subpath.empty() && mount.source().empty()) {
    return FieldError(path + ".volume.subpath", "is of a volume with a name");
  }
  return absl::OkStatus();
}

absl::Status ValidateBind(const std::string& path, const v1::Mount& mount) {
  RETURN_IF_ERROR(CheckText(path + ".source", mount.source()));
  if (mount.source().empty() || mount.source()[0] != '/') {
    return FieldError(path + ".source",
                      StrCat(Quoted(mount.source()), " is not an absolute path on the node"));
  }
  if (!v1::Mount::Propagation_IsValid(mount.bind().propagation())) {
    return FieldError(path + ".bind.propagation", "is unknown");
  }
  return absl::OkStatus();
}

absl::Status ValidateTmpfs(const std::string& path, const v1::Mount& mount) {
  constexpr std::string_view kFlags[] = {"exec",    "noexec",   "suid",        "nosuid",
                                         "dev",     "nodev",    "ro",          "rw",
                                         "noatime", "relatime", "strictatime", "nodiratime"};
  constexpr std::string_view kValues[] = {
      "uid=", "gid=", "nr_inodes=", "nr_blocks=", "huge=", "mpol="};
  if (!mount.source().empty()) return FieldError(path + ".source", "a tmpfs has none");
  const v1::Mount::TmpfsOptions& options = mount.tmpfs();
  if (options.size_bytes() < 0) return FieldError(path + ".tmpfs.size_bytes", "is negative");
  if (options.mode() > 07777) return FieldError(path + ".tmpfs.mode", "is above 07777");
  if (options.options_size() > kMostOptions) {
    return FieldError(path + ".tmpfs.options", StrCat("more than ", kMostOptions));
  }
  for (const std::string& option : options.options()) {
    const bool is_flag =
        std::find(std::begin(kFlags), std::end(kFlags), option) != std::end(kFlags);
    const bool has_value =
        std::any_of(std::begin(kValues), std::end(kValues), [&](std::string_view key) {
          return absl::StartsWith(option, ToAbsl(key)) && option.size() > key.size();
        });
    if ((!is_flag && !has_value) || option.find(',') != option.npos || IsTemplate(option)) {
      return FieldError(path + ".tmpfs.options", StrCat(Quoted(option), " is unknown"));
    }
    RETURN_IF_ERROR(CheckText(path + ".tmpfs.options", option));
  }
  return absl::OkStatus();
}

// What of another type is said is a misunderstanding.
absl::Status CheckOptionsOfType(const std::string& path, const v1::Mount& mount) {
  const bool is_bind = mount.type() == v1::Mount::TYPE_BIND;
  const bool is_tmpfs = mount.type() == v1::Mount::TYPE_TMPFS;
  if (mount.has_bind() && !is_bind) return FieldError(path + ".bind", "is for type bind");
  if (mount.has_tmpfs() && !is_tmpfs) return FieldError(path + ".tmpfs", "is for type tmpfs");
  if (mount.has_volume() && (is_bind || is_tmpfs)) {
    return FieldError(path + ".volume", "is for type volume");
  }
  return absl::OkStatus();
}

absl::Status ValidateMount(const std::string& path, const v1::Mount& mount) {
  RETURN_IF_ERROR(CheckCleanPath(path + ".target", mount.target()));
  if (mount.target() == "/proc") {
    return FieldError(path + ".target", "nothing may be mounted at /proc");
  }
  RETURN_IF_ERROR(CheckOptionsOfType(path, mount));
  switch (mount.type()) {
    case v1::Mount::TYPE_UNSPECIFIED:
    case v1::Mount::TYPE_VOLUME:
      return ValidateVolume(path, mount);
    case v1::Mount::TYPE_BIND:
      return ValidateBind(path, mount);
    case v1::Mount::TYPE_TMPFS:
      return ValidateTmpfs(path, mount);
    default:
      return FieldError(path + ".type", "is unknown; there are volume, bind and tmpfs");
  }
}

}  // namespace

absl::Status ValidateMounts(const v1::ContainerSpec& spec) {
  if (spec.mounts_size() > kMostMounts) {
    return FieldError("task.container.mounts", StrCat("are more than ", kMostMounts));
  }
  std::set<std::string> targets;
  for (int i = 0; i < spec.mounts_size(); ++i) {
    const std::string path = StrCat("task.container.mounts[", i, "]");
    RETURN_IF_ERROR(ValidateMount(path, spec.mounts(i)));
    if (!targets.insert(spec.mounts(i).target()).second) {
      return FieldError(path + ".target", StrCat(spec.mounts(i).target(), " is mounted on twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateDevices(const v1::ContainerSpec& spec) {
  if (spec.devices_size() > kMostDevices) {
    return FieldError("task.container.devices", StrCat("are more than ", kMostDevices));
  }
  for (int i = 0; i < spec.devices_size(); ++i) {
    const std::string path = StrCat("task.container.devices[", i, "]");
    const v1::Device& device = spec.devices(i);
    if (IsTemplate(device.host_path()) || IsTemplate(device.container_path())) {
      return FieldError(path, "templates in devices are not built");
    }
    RETURN_IF_ERROR(CheckCleanPath(path + ".host_path", device.host_path()));
    if (!device.container_path().empty()) {
      RETURN_IF_ERROR(CheckCleanPath(path + ".container_path", device.container_path()));
    }
    const std::string& access = device.permissions();
    const std::set<char> letters(access.begin(), access.end());
    if (access.find_first_not_of("rwm") != access.npos || letters.size() != access.size()) {
      return FieldError(path + ".permissions", StrCat(Quoted(access), " is not of r, w and m"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateSecurity(const v1::ContainerSpec& spec) {
  SecurityOptions options;
  for (int i = 0; i < spec.security_opt_size(); ++i) {
    const absl::Status added = options.Add(spec.security_opt(i));
    if (!added.ok()) {
      return FieldError(StrCat("task.container.security_opt[", i, "]"), ToStd(added.message()));
    }
  }
  if (!options.seccomp_profile.empty()) {
    const absl::Status parsed = oci::ParseSeccompProfile(options.seccomp_profile).status();
    if (!parsed.ok()) {
      return FieldError("task.container.security_opt", StrCat("seccomp: ", parsed.message()));
    }
  }
  if (options.no_new_privileges.value_or(false) && spec.allow_new_privileges()) {
    return FieldError("task.container.security_opt",
                      "no-new-privileges contradicts allow_new_privileges");
  }
  if (spec.shm_size_bytes() < 0) {
    return FieldError("task.container.shm_size_bytes", "is negative");
  }
  return absl::OkStatus();
}

absl::Status ValidateVolumeSpec(const v1::VolumeSpec& spec) {
  const absl::Status named = CheckVolumeName(spec.name());
  if (!named.ok()) return FieldError("name", ToStd(named.message()));
  RETURN_IF_ERROR(CheckVolumeLabels("labels", spec.labels()));
  return CheckDriver("driver", spec.driver(), "options", spec.options());
}

}  // namespace swarm::manager
