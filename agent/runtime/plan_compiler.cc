#include "agent/runtime/plan_compiler.h"

#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include "absl/strings/string_view.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "agent/runtime/plan_writer.h"
#include "agent/runtime/seccomp_profile.h"
#include "agent/shim/plan.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

using plan::Tag;

struct DefaultDevice {
  const char* path;
  uint32_t major;
  uint32_t minor;
};
constexpr DefaultDevice kDefaultDevices[] = {{"/dev/null", 1, 3},    {"/dev/zero", 1, 5},
                                             {"/dev/full", 1, 7},    {"/dev/random", 1, 8},
                                             {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};

struct DefaultLink {
  const char* target;
  const char* path;
};
constexpr DefaultLink kDefaultLinks[] = {{"/proc/self/fd", "/dev/fd"},
                                         {"/proc/self/fd/0", "/dev/stdin"},
                                         {"/proc/self/fd/1", "/dev/stdout"},
                                         {"/proc/self/fd/2", "/dev/stderr"},
                                         {"pts/ptmx", "/dev/ptmx"}};

bool IsStrict(absl::string_view destination) {
  // The kernel's own trees: a link in their place would let the image choose what lies there.
  for (const absl::string_view top : {"/proc", "/sys", "/dev"}) {
    if (destination == top || absl::StartsWith(destination, absl::StrCat(top, "/"))) return true;
  }
  return false;
}

void WriteMount(const OciMount& mount, absl::string_view source, absl::string_view type,
                absl::string_view options, absl::string_view destination, PlanWriter* writer,
                uint32_t flags = 0) {
  if (mount.recursive) flags |= plan::kMountRecursive;
  if (!mount.subpath.empty()) {
    flags |= plan::kMountSubpath;
    options = mount.subpath;
  }
  if (mount.attributes_recursive) flags |= plan::kMountAttrRecursive;
  if (IsStrict(destination)) flags |= plan::kMountTargetStrict;
  const auto kind = mount.bind ? plan::MountKind::kBind : plan::MountKind::kFilesystem;
  writer->Begin(Tag::kMount)
      .U32(static_cast<uint32_t>(kind))
      .U32(flags)
      .U64(mount.attr_set)
      .U32(mount.propagation)
      .U64(mount.attr_clear)
      .String(type)
      .String(source)
      .String(destination)
      .String(options);
}

// On v2 the tree itself; on v1 and hybrid hosts a folder with one mount per hierarchy, as programs
// that look for their limits expect it.
void WriteCgroupMount(const OciMount& mount, const PlanInput& input, PlanWriter* writer) {
  const bool only_v2 = input.hierarchies.size() == 1 && input.hierarchies[0].v2;
  if (only_v2) {
    WriteMount(mount, "cgroup", "cgroup2", "", mount.destination, writer);
    return;
  }
  OciMount folder = mount;
  folder.attr_set &= ~uint64_t{MOUNT_ATTR_RDONLY};  // mount points are made in it first
  const bool readonly = (mount.attr_set & MOUNT_ATTR_RDONLY) != 0;
  WriteMount(folder, "tmpfs", "tmpfs", "mode=755,size=64k", mount.destination, writer,
             readonly ? plan::kMountReadonlyLater : 0);
  for (const CgroupHierarchy& hierarchy : input.hierarchies) {
    if (hierarchy.v2) {
      WriteMount(mount, "cgroup", "cgroup2", "", absl::StrCat(mount.destination, "/unified"),
                 writer);
      continue;
    }
    const std::string names = absl::StrJoin(hierarchy.controllers, ",");
    WriteMount(mount, "cgroup", "cgroup", names, absl::StrCat(mount.destination, "/", names),
               writer);
    if (hierarchy.controllers.size() < 2) continue;
    for (const std::string& controller : hierarchy.controllers) {
      writer->Begin(Tag::kSymlink)
          .String(names)
          .String(absl::StrCat(mount.destination, "/", controller));
    }
  }
}

void WriteMounts(const OciSpec& spec, const PlanInput& input, PlanWriter* writer) {
  for (const OciMount& mount : spec.mounts) {
    if (mount.type == "cgroup" || mount.type == "cgroup2") {
      WriteCgroupMount(mount, input, writer);
      continue;
    }
    absl::string_view source = mount.source;
    std::string own;
    if (absl::ConsumePrefix(&source, kOwnFilePrefix)) {
      own = absl::StrCat(input.etc_dir, "/", source);
      source = own;
    }
    WriteMount(mount, source, mount.type, mount.options, mount.destination, writer);
  }
}

void WriteDevices(const OciSpec& spec, PlanWriter* writer) {
  const bool own_dev = std::any_of(spec.mounts.begin(), spec.mounts.end(), [](const OciMount& m) {
    return m.destination == "/dev" && m.type == "tmpfs";
  });
  const auto write = [&](const std::string& path, uint32_t mode, uint32_t major, uint32_t minor,
                         uint32_t uid, uint32_t gid) {
    writer->Begin(Tag::kDevice).String(path).U32(mode).U32(major).U32(minor).U32(uid).U32(gid);
  };
  if (own_dev) {
    for (const DefaultDevice& device : kDefaultDevices) {
      write(device.path, S_IFCHR | 0666, device.major, device.minor, 0, 0);
    }
    for (const DefaultLink& link : kDefaultLinks) {
      writer->Begin(Tag::kSymlink).String(link.target).String(link.path);
    }
  }
  for (const OciDevice& device : spec.devices) {
    const bool made =
        own_dev && std::any_of(std::begin(kDefaultDevices), std::end(kDefaultDevices),
                               [&](const DefaultDevice& d) { return d.path == device.path; });
    if (!made) write(device.path, device.mode, device.major, device.minor, device.uid, device.gid);
  }
}

void WriteUser(const OciSpec& spec, PlanWriter* writer) {
  if (spec.user_name.empty()) {
    writer->Begin(Tag::kUserIds).U32(spec.uid).U32(spec.gid);
  } else {
    writer->Begin(Tag::kUserName).String(spec.user_name);
  }
  for (const uint32_t group : spec.groups) writer->Begin(Tag::kGroupId).U32(group);
  for (const std::string& group : spec.group_names) writer->Begin(Tag::kGroupName).String(group);
}

void WriteRlimits(const OciSpec& spec, std::optional<uint64_t> open_files, PlanWriter* writer) {
  bool said = false;
  for (const OciRlimit& limit : spec.rlimits) {
    said |= limit.resource == RLIMIT_NOFILE;
    writer->Begin(Tag::kRlimit).U32(limit.resource).U64(limit.soft).U64(limit.hard);
  }
  rlimit own;
  if (said || !open_files.has_value() || getrlimit(RLIMIT_NOFILE, &own) != 0) return;
  writer->Begin(Tag::kRlimit)
      .U32(RLIMIT_NOFILE)
      .U64(std::min<uint64_t>(*open_files, own.rlim_max))
      .U64(own.rlim_max);
}

absl::Status WriteProcess(const OciSpec& spec, const PlanInput& input, PlanWriter* writer) {
  writer->Begin(Tag::kCwd).String(spec.cwd);
  if (input.open_stdin) writer->Begin(Tag::kOpenStdin);
  if (input.reaper) writer->Begin(Tag::kReaper);
  if (input.terminal.has_value()) {
    writer->Begin(Tag::kTerminal).U32(input.terminal->rows).U32(input.terminal->columns);
  }
  for (const std::string& arg : spec.args) writer->Begin(Tag::kArg).String(arg);
  for (const std::string& variable : spec.env) writer->Begin(Tag::kEnv).String(variable);
  WriteUser(spec, writer);
  writer->Begin(Tag::kUmask).U32(spec.umask.value_or(022));
  WriteRlimits(spec, input.open_files, writer);
  // Inheritable rights that are not ambient only ever surprise (CVE-2022-29162).
  writer->Begin(Tag::kCapabilities)
      .U64(spec.bounding)
      .U64(spec.effective)
      .U64(spec.permitted)
      .U64(spec.ambient)
      .U64(spec.ambient);
  if (spec.no_new_privileges) writer->Begin(Tag::kNoNewPrivs);
  writer->Begin(Tag::kOomScoreAdj).U32(static_cast<uint32_t>(spec.oom_score_adj));
  if (spec.seccomp.has_value()) {
    ASSIGN_OR_RETURN(const std::string filter, CompileSeccomp(*spec.seccomp));
    writer->Begin(Tag::kSeccomp).U32(spec.seccomp->flags).Bytes(filter);
  }
  return absl::OkStatus();
}

// Namespaces and cgroups.
void WritePlace(const OciSpec& spec, const PlanInput& input, PlanWriter* writer) {
  writer->Begin(Tag::kCloneFlags).U64(spec.clone_flags);
  if (!spec.network_path.empty()) writer->Begin(Tag::kNetworkPath).String(spec.network_path);
  if (input.kept_fds > 0) writer->Begin(Tag::kKeptFds).U32(input.kept_fds);
  if (!input.cgroup.v2_dir.empty()) writer->Begin(Tag::kCgroupDir).String(input.cgroup.v2_dir);
  for (const std::string& tasks : input.cgroup.v1_tasks) {
    writer->Begin(Tag::kCgroupTasks).String(tasks);
  }
}

void WriteLog(const PlanInput& input, PlanWriter* writer) {
  writer->Begin(Tag::kLogDir).String(input.log_dir);
  writer->Begin(Tag::kLogLimits)
      .U64(static_cast<uint64_t>(std::max<int64_t>(input.log.max_bytes, 1024)))
      .U32(static_cast<uint32_t>(std::clamp(input.log.max_files, 1, 1000)));
  if (input.log.nowhere) writer->Begin(Tag::kLogNowhere);
  if (!input.log.socket.has_value()) return;
  const ContainerLogSocket& to = *input.log.socket;
  writer->Begin(Tag::kLogSocket)
      .U32(static_cast<uint32_t>(to.format))
      .U32(to.stream ? SOCK_STREAM : SOCK_DGRAM)
      .U32(static_cast<uint32_t>(to.facility) * 8)
      .U32(to.non_blocking ? 1 : 0)
      .U64(static_cast<uint64_t>(to.buffer_bytes))
      .U64(static_cast<uint64_t>(to.utc_offset_seconds))
      .Bytes(to.address)
      .Bytes(to.head)
      .String(to.name);
}

void WriteHost(const OciSpec& spec, const PlanInput& input, PlanWriter* writer) {
  writer->Begin(Tag::kId).String(input.id);
  writer->Begin(Tag::kRunDir).String(input.run_dir);
  WriteLog(input, writer);
  WritePlace(spec, input, writer);
  if (!input.cgroup.oom_file.empty()) writer->Begin(Tag::kOomFile).String(input.cgroup.oom_file);
}

void WriteRoot(const OciSpec& spec, const PlanInput& input, PlanWriter* writer) {
  if (input.lower_dirs.empty()) {
    writer->Begin(Tag::kRootPath).String(spec.root_path);
  } else {
    for (const std::string& dir : input.lower_dirs) writer->Begin(Tag::kLowerDir).String(dir);
    writer->Begin(Tag::kUpperDir).String(input.upper_dir);
    writer->Begin(Tag::kWorkDir).String(input.work_dir);
    if (input.overlay_in_init) writer->Begin(Tag::kOverlayInInit);
  }
  if (spec.root_readonly) writer->Begin(Tag::kRootReadonly);
}

}  // namespace

absl::StatusOr<std::string> CompileExecPlan(const OciSpec& spec, const PlanInput& input) {
  PlanWriter writer;
  WritePlace(spec, input, &writer);
  RETURN_IF_ERROR(WriteProcess(spec, input, &writer));
  return writer.Finish();
}

absl::StatusOr<std::string> CompilePlan(const OciSpec& spec, const PlanInput& input) {
  PlanWriter writer;
  WriteHost(spec, input, &writer);
  WriteRoot(spec, input, &writer);
  if (!spec.hostname.empty()) writer.Begin(Tag::kHostname).String(spec.hostname);
  if (!spec.domainname.empty()) writer.Begin(Tag::kDomainname).String(spec.domainname);
  if (!spec.host_network) writer.Begin(Tag::kLoopbackUp);
  for (const auto& [name, value] : spec.sysctls) {
    // A name with a slash has its dots as they are (interfaces have such names).
    const std::string path =
        absl::StrContains(name, '/') ? name : absl::StrReplaceAll(name, {{".", "/"}});
    writer.Begin(Tag::kSysctl).String(path).String(value);
  }
  WriteMounts(spec, input, &writer);
  WriteDevices(spec, &writer);
  for (const std::string& path : spec.masked_paths) writer.Begin(Tag::kMaskedPath).String(path);
  for (const std::string& path : spec.readonly_paths) writer.Begin(Tag::kReadonlyPath).String(path);
  RETURN_IF_ERROR(WriteProcess(spec, input, &writer));
  return writer.Finish();
}

}  // namespace swarm::agent
