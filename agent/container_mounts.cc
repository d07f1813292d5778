#include "agent/container_mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/runtime/mount_options.h"
#include "common/file_system.h"
#include "common/local_volume.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

using Propagation = v1::Mount::Propagation;

bool IsVolume(const v1::Mount& mount) {
  return mount.type() == v1::Mount::TYPE_VOLUME || mount.type() == v1::Mount::TYPE_UNSPECIFIED;
}

const char* PropagationWord(Propagation propagation) {
  switch (propagation) {
    case v1::Mount::PROPAGATION_PRIVATE:
      return "private";
    case v1::Mount::PROPAGATION_RSHARED:
      return "rshared";
    case v1::Mount::PROPAGATION_SHARED:
      return "shared";
    case v1::Mount::PROPAGATION_RSLAVE:
      return "rslave";
    case v1::Mount::PROPAGATION_SLAVE:
      return "slave";
    default:
      return "rprivate";
  }
}

// "36 35 98:0 /root /point rw,noatime master:1 - ext3 …": what stands between the options and "-".
absl::StatusOr<std::string> PropagationOf(const std::string& path) {
  struct statx found;
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &found) != 0) return ErrnoStatus(errno, path);
  ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/self/mountinfo"));
  for (const absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    uint64_t id = 0;
    if (!absl::SimpleAtoi(fields[0], &id) || id != found.stx_mnt_id) continue;
    std::string out;
    for (size_t i = 6; i < fields.size() && fields[i] != "-"; ++i) {
      absl::StrAppend(&out, fields[i], " ");
    }
    return out;
  }
  return absl::NotFoundError(StrCat(path, " is on no mount"));
}

// What is mounted later can only be passed on from a mount that shares: else it would be a promise
// that nobody keeps.
absl::Status CheckPropagation(const std::string& path, Propagation propagation) {
  const std::string_view wanted = PropagationWord(propagation);
  const bool both_ways = wanted.find("shared") != std::string_view::npos;
  const bool one_way = wanted.find("slave") != std::string_view::npos;
  if (!both_ways && !one_way) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string is, PropagationOf(path));
  if (absl::StrContains(is, "shared:") || (one_way && absl::StrContains(is, "master:"))) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(StrCat("bind-propagation ", wanted, ": ", path,
                                              " is on a mount of the node that is not ",
                                              both_ways ? "shared" : "shared or slave"));
}

absl::StatusOr<ContainerMount> SettleBind(const v1::Mount& mount) {
  struct stat stat;
  if (::stat(mount.source().c_str(), &stat) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return ErrnoStatus(errno, mount.source());
    if (!mount.bind().create_host_path()) {
      return absl::FailedPreconditionError(
          StrCat("bind source path does not exist: ", mount.source()));
    }
    RETURN_IF_ERROR(MakeDirectories(mount.source(), 0755));
  }
  RETURN_IF_ERROR(CheckPropagation(mount.source(), mount.bind().propagation()));
  const bool recursive = !mount.bind().non_recursive();
  ContainerMount out{mount.target(), "bind", mount.source(), {recursive ? "rbind" : "bind"}};
  out.options.emplace_back(PropagationWord(mount.bind().propagation()));
  if (mount.read_only()) out.options.emplace_back(recursive ? "rro" : "ro");
  return out;
}

ContainerMount SettleTmpfs(const v1::Mount& mount) {
  ContainerMount out{mount.target(), "tmpfs", "tmpfs", {"nosuid", "nodev", "noexec"}};
  const v1::Mount::TmpfsOptions& options = mount.tmpfs();
  const uint32_t mode = options.has_mode() ? options.mode() : 01777;
  char text[24];
  std::snprintf(text, sizeof text, "mode=%o", mode);
  out.options.emplace_back(text);
  if (options.size_bytes() > 0) out.options.push_back(StrCat("size=", options.size_bytes()));
  out.options.insert(out.options.end(), options.options().begin(), options.options().end());
  if (mount.read_only()) out.options.emplace_back("ro");
  return out;
}

// For the words: the shim opens it once more, as carefully.
absl::Status CheckSubpath(const std::string& data, const std::string& subpath) {
  const UniqueFd root(open(data.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return ErrnoStatus(errno, data);
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const UniqueFd part(
      static_cast<int>(syscall(SYS_openat2, root.get(), subpath.c_str(), &how, sizeof how)));
  if (part.valid() || errno == EAGAIN) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("subpath \"", absl::CEscape(subpath), "\" is not in it"));
}

absl::StatusOr<ContainerMount> SettleVolume(VolumeStore& volumes, const v1::Mount& mount,
                                            const std::string& task_id, int index,
                                            const MountsOfImage& image) {
  const v1::Mount::VolumeOptions& options = mount.volume();
  v1::NodeVolume wish;
  wish.set_anonymous(mount.source().empty());
  wish.set_name(wish.anonymous() ? AnonymousVolume(task_id, index) : mount.source());
  wish.set_driver(options.driver());
  *wish.mutable_labels() = options.labels();
  *wish.mutable_options() = options.driver_options();
  const ImageFolder folder{image.lower_dirs, mount.target()};
  const bool fills = !options.no_copy() && options.subpath().empty();
  absl::StatusOr<std::string> data = volumes.Use(wish, task_id, fills ? &folder : nullptr);
  const std::string what =
      wish.anonymous() ? StrCat("volume at ", mount.target()) : StrCat("volume ", wish.name());
  if (!data.ok()) {
    // An unknown driver is said as people look for it.
    const bool is_local = options.driver().empty() || options.driver() == kLocalDriver;
    return is_local ? Annotate(data.status(), what) : data.status();
  }
  ContainerMount out{mount.target(), "bind", *std::move(data), {"rbind", "rprivate"}};
  if (!options.subpath().empty()) {
    RETURN_IF_ERROR(Annotate(CheckSubpath(out.source, options.subpath()), what));
    out.options.push_back(StrCat(kSubpathOption, options.subpath()));
  }
  if (mount.read_only()) out.options.emplace_back("rro");
  return out;
}

// Nothing but a clean absolute path is taken: images are hostile, and templates may become
// anything.
absl::StatusOr<std::string> CleanTarget(std::string_view what, const std::string& path) {
  const std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  const bool climbs = std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part == ".." || part == ".";
  });
  if (path.empty() || path[0] != '/' || parts.empty() || climbs || path.size() > 4000) {
    return absl::FailedPreconditionError(
        StrCat(what, " \"", OneLine(path), "\" is not a clean absolute path"));
  }
  return StrCat("/", absl::StrJoin(parts, "/"));
}

absl::Status ExpandValues(const TemplateValues& values,
                          google::protobuf::Map<std::string, std::string>& map) {
  for (auto& [key, value] : map) {
    ASSIGN_OR_RETURN(value, ExpandTemplate(value, values));
  }
  return absl::OkStatus();
}

absl::Status Expand(const TemplateValues& values, v1::Mount& mount) {
  ASSIGN_OR_RETURN(*mount.mutable_source(), ExpandTemplate(mount.source(), values));
  ASSIGN_OR_RETURN(const std::string target, ExpandTemplate(mount.target(), values));
  ASSIGN_OR_RETURN(*mount.mutable_target(), CleanTarget("the target", target));
  if (mount.type() == v1::Mount::TYPE_BIND && !absl::StartsWith(mount.source(), "/")) {
    return absl::FailedPreconditionError(
        StrCat("the source \"", OneLine(mount.source()), "\" is not an absolute path"));
  }
  if (!mount.has_volume()) return absl::OkStatus();
  v1::Mount::VolumeOptions& volume = *mount.mutable_volume();
  ASSIGN_OR_RETURN(*volume.mutable_subpath(), ExpandTemplate(volume.subpath(), values));
  RETURN_IF_ERROR(ExpandValues(values, *volume.mutable_labels()));
  return ExpandValues(values, *volume.mutable_driver_options());
}

std::vector<v1::Mount> WithVolumesOfImage(std::vector<v1::Mount> mounts,
                                          const std::set<std::string>& targets) {
  for (const std::string& target : targets) {
    const bool taken = std::any_of(mounts.begin(), mounts.end(), [&](const v1::Mount& mount) {
      return mount.target() == target;
    });
    if (taken) continue;
    v1::Mount& mount = mounts.emplace_back();
    mount.set_type(v1::Mount::TYPE_VOLUME);
    mount.set_target(target);
  }
  return mounts;
}

}  // namespace

bool MountsOverNetwork(const v1::ContainerSpec& spec) {
  return std::any_of(spec.mounts().begin(), spec.mounts().end(), [](const v1::Mount& mount) {
    const auto& options = mount.volume().driver_options();
    const auto volume = ParseLocalVolume({options.begin(), options.end()});
    // An option that is still a template may name a server.
    return IsVolume(mount) && (!volume.ok() || volume->is_shared());
  });
}

bool UsesNamedVolumes(const v1::ContainerSpec& spec) {
  return std::any_of(spec.mounts().begin(), spec.mounts().end(), [](const v1::Mount& mount) {
    return IsVolume(mount) && !mount.source().empty();
  });
}

absl::StatusOr<std::vector<ContainerMount>> SettleMounts(VolumeStore* volumes,
                                                         const TaskSpecOnNode& task,
                                                         const MountsOfImage& image,
                                                         const TemplateValues& values) {
  constexpr size_t kMostVolumesOfImage = 64;
  const v1::ContainerSpec& spec = task.revision->task().container();
  if (image.volumes.size() > kMostVolumesOfImage) {
    return absl::FailedPreconditionError(
        StrCat("the image has more than ", kMostVolumesOfImage, " VOLUMEs"));
  }
  std::set<std::string> targets;
  for (const std::string& path : image.volumes) {
    ASSIGN_OR_RETURN(std::string target, CleanTarget("the image's VOLUME", path));
    targets.insert(std::move(target));
  }
  std::vector<v1::Mount> own(spec.mounts().begin(), spec.mounts().end());
  for (v1::Mount& mount : own) {
    RETURN_IF_ERROR(Annotate(Expand(values, mount), StrCat("mount at ", mount.target())));
  }
  std::vector<ContainerMount> out;
  int index = 0;
  for (const v1::Mount& mount : WithVolumesOfImage(std::move(own), targets)) {
    if (mount.type() == v1::Mount::TYPE_TMPFS) {
      out.push_back(SettleTmpfs(mount));
    } else if (mount.type() == v1::Mount::TYPE_BIND) {
      ASSIGN_OR_RETURN(ContainerMount bind, SettleBind(mount));
      out.push_back(std::move(bind));
    } else {
      if (volumes == nullptr) return absl::UnimplementedError("this node has no volumes");
      ASSIGN_OR_RETURN(ContainerMount volume,
                       SettleVolume(*volumes, mount, task.task_id, index, image));
      out.push_back(std::move(volume));
    }
    ++index;
  }
  return out;
}

}  // namespace swarm::agent
