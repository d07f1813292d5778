#include "agent/runtime/oci_spec.h"

#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/runtime/json_reader.h"
#include "agent/runtime/mount_options.h"
#include "agent/runtime/seccomp_profile.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr uint32_t kMaxId = 0x7fffffff;

struct Namespace {
  absl::string_view name;
  uint64_t flag;
};
constexpr Namespace kNamespaces[] = {{"mount", CLONE_NEWNS},    {"pid", CLONE_NEWPID},
                                     {"network", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC},
                                     {"uts", CLONE_NEWUTS},     {"cgroup", CLONE_NEWCGROUP}};

struct RlimitName {
  absl::string_view name;
  uint32_t resource;
};
constexpr RlimitName kRlimits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK}};

void Refuse(const JsonReader& object, std::initializer_list<absl::string_view> fields) {
  for (const absl::string_view field : fields) {
    if (object.Has(field)) object.Fail(field, "is not built yet");
  }
}

bool IsCleanAbsolute(absl::string_view path) {
  if (path.empty() || path[0] != '/') return false;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return false;
  }
  return true;
}

// Mounts over parts of /proc or /sys would let a volume or an image stand in for the kernel.
bool IsAllowedTarget(absl::string_view destination, absl::string_view type) {
  while (destination.size() > 1 && destination.back() == '/') destination.remove_suffix(1);
  if (destination == "/") return false;
  if (destination == "/proc") return type == "proc";
  if (destination == "/sys") return type == "sysfs" || type == "bind";
  if (absl::StartsWith(destination, "/proc/")) {
    constexpr absl::string_view kLxcfs[] = {"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo",
                                            "/proc/stat",    "/proc/swaps",     "/proc/uptime",
                                            "/proc/loadavg", "/proc/slabinfo"};
    for (const absl::string_view file : kLxcfs) {
      if (destination == file) return true;
    }
    return false;
  }
  if (absl::StartsWith(destination, "/sys/")) {
    return absl::StartsWith(destination, "/sys/fs/cgroup") || type == "bpf" ||
           destination == "/sys/kernel/debug" || destination == "/sys/kernel/tracing";
  }
  return true;
}

void ReadMounts(const JsonReader& root, OciSpec* spec) {
  root.Objects("mounts", [&](const JsonReader& object) {
    Refuse(object, {"uidMappings", "gidMappings"});
    OciMount mount;
    mount.destination = object.String("destination");
    mount.type = object.String("type");
    mount.source = object.String("source");
    mount.bind = mount.type == "bind";
    mount.recursive = false;
    if (!IsCleanAbsolute(mount.destination)) {
      object.Fail("destination", "must be an absolute path without \"..\"");
    } else if (!IsAllowedTarget(mount.destination, mount.type)) {
      object.Fail("destination", absl::StrCat("nothing may be mounted at ", mount.destination));
    }
    const absl::Status applied = ApplyMountOptions(object.Strings("options"), &mount);
    if (!applied.ok()) object.Fail("options", applied.message());
    if (mount.bind && mount.source.empty()) object.Fail("source", "must be set");
    if (!mount.bind && mount.type.empty()) object.Fail("type", "must be set");
    spec->mounts.push_back(std::move(mount));
  });
}

CapabilitySet ReadCapabilitySet(const JsonReader& object, absl::string_view field) {
  CapabilitySet set = 0;
  for (const std::string& name : object.Strings(field)) {
    const auto bit = ParseCapability(name);
    if (!bit.ok()) {
      object.Fail(field, bit.status().message());
      continue;
    }
    set |= CapabilitySet{1} << *bit;
  }
  return set;
}

void ReadRlimits(const JsonReader& process, OciSpec* spec) {
  process.Objects("rlimits", [&](const JsonReader& object) {
    OciRlimit limit;
    const auto resource = ParseRlimitName(object.String("type"));
    if (!resource.ok()) return object.Fail("type", resource.status().message());
    limit.resource = *resource;
    limit.soft = object.Number<uint64_t>("soft");
    limit.hard = object.Number<uint64_t>("hard");
    if (limit.soft > limit.hard) object.Fail("soft", "must not be above hard");
    for (const OciRlimit& other : spec->rlimits) {
      if (other.resource == limit.resource) object.Fail("type", "is given twice");
    }
    spec->rlimits.push_back(limit);
  });
}

void ReadUser(const JsonReader& user, OciSpec* spec) {
  spec->uid = user.Number<uint32_t>("uid");
  spec->gid = user.Number<uint32_t>("gid");
  spec->groups = user.Numbers<uint32_t>("additionalGids");
  if (spec->uid > kMaxId) user.Fail("uid", absl::StrCat("must be at most ", kMaxId));
  if (spec->gid > kMaxId) user.Fail("gid", absl::StrCat("must be at most ", kMaxId));
  for (const uint32_t group : spec->groups) {
    if (group > kMaxId) user.Fail("additionalGids", absl::StrCat("must be at most ", kMaxId));
  }
  if (user.Has("umask")) {
    spec->umask = user.Number<uint32_t>("umask");
    if (*spec->umask > 0777) user.Fail("umask", "must be at most 0777 (511)");
  }
}

void ReadProcess(const JsonReader& process, OciSpec* spec) {
  spec->terminal = process.Bool("terminal");
  Refuse(process, {"consoleSize", "apparmorProfile", "selinuxLabel", "scheduler", "ioPriority",
                   "execCPUAffinity", "commandLine"});
  spec->args = process.Strings("args");
  if (spec->args.empty() || spec->args[0].empty()) process.Fail("args", "no command specified");
  spec->env = process.Strings("env");
  for (const std::string& variable : spec->env) {
    if (variable.find('=') == std::string::npos || variable[0] == '=') {
      process.Fail("env", absl::StrCat("\"", variable, "\" is not NAME=value"));
    }
  }
  spec->cwd = process.String("cwd");
  if (spec->cwd.empty() || spec->cwd[0] != '/') process.Fail("cwd", "must be an absolute path");
  ReadUser(process.Object("user"), spec);
  const JsonReader capabilities = process.Object("capabilities");
  spec->bounding = ReadCapabilitySet(capabilities, "bounding");
  spec->effective = ReadCapabilitySet(capabilities, "effective");
  spec->permitted = ReadCapabilitySet(capabilities, "permitted");
  spec->ambient = ReadCapabilitySet(capabilities, "ambient");
  ReadCapabilitySet(capabilities,
                    "inheritable");  // names checked; only ambient ones are inheritable
  if ((spec->effective & ~spec->permitted) != 0) {
    capabilities.Fail("effective", "holds more than permitted");
  }
  if ((spec->permitted & ~spec->bounding) != 0) {
    capabilities.Fail("permitted", "holds more than bounding");
  }
  if ((spec->ambient & ~spec->permitted) != 0) {
    capabilities.Fail("ambient", "holds more than permitted");
  }
  spec->no_new_privileges = process.Bool("noNewPrivileges");
  ReadRlimits(process, spec);
  spec->oom_score_adj = process.Number<int32_t>("oomScoreAdj");
  if (spec->oom_score_adj < -1000 || spec->oom_score_adj > 1000) {
    process.Fail("oomScoreAdj", "must be from -1000 to 1000");
  }
}

void ReadNamespaces(const JsonReader& linux_object, OciSpec* spec) {
  linux_object.Objects("namespaces", [&](const JsonReader& object) {
    const std::string type = object.String("type");
    if (object.Has("path")) {
      if (type != "network") object.Fail("path", "joining is built for network namespaces only");
      spec->network_path = object.String("path");
      if (!IsCleanAbsolute(spec->network_path)) object.Fail("path", "must be an absolute path");
    }
    for (const Namespace& known : kNamespaces) {
      if (type != known.name) continue;
      if ((spec->clone_flags & known.flag) != 0) object.Fail("type", "is given twice");
      spec->clone_flags |= known.flag;
      return;
    }
    object.Fail("type", absl::StrCat("namespace \"", type, "\" is not built yet"));
  });
  if ((spec->clone_flags & CLONE_NEWNS) == 0) {
    linux_object.Fail("namespaces", "\"mount\" must be in the list");
  }
  spec->host_network = (spec->clone_flags & CLONE_NEWNET) == 0;
}

void ReadDevices(const JsonReader& linux_object, OciSpec* spec) {
  linux_object.Objects("devices", [&](const JsonReader& object) {
    OciDevice device;
    device.path = object.String("path");
    if (!IsCleanAbsolute(device.path)) object.Fail("path", "must be an absolute path");
    const std::string type = object.String("type");
    const uint32_t permissions = object.Number<uint32_t>("fileMode", 0666) & 07777;
    if (type == "c" || type == "u") {
      device.mode = S_IFCHR | permissions;
    } else if (type == "b") {
      device.mode = S_IFBLK | permissions;
    } else if (type == "p") {
      device.mode = S_IFIFO | permissions;
    } else {
      object.Fail("type", "must be c, u, b or p");
    }
    device.major = object.Number<uint32_t>("major");
    device.minor = object.Number<uint32_t>("minor");
    device.uid = object.Number<uint32_t>("uid");
    device.gid = object.Number<uint32_t>("gid");
    spec->devices.push_back(std::move(device));
  });
}

void ReadDeviceRules(const JsonReader& resources, OciSpec* spec) {
  resources.Objects("devices", [&](const JsonReader& object) {
    OciDeviceRule rule;
    rule.allow = object.Bool("allow");
    const std::string type = object.Has("type") ? object.String("type") : "a";
    if (type != "a" && type != "b" && type != "c") return object.Fail("type", "must be a, b or c");
    rule.type = type[0];
    rule.major = object.Number<int64_t>("major", -1);
    rule.minor = object.Number<int64_t>("minor", -1);
    if (rule.major < -1 || rule.major > 0xfff) object.Fail("major", "is out of range");
    if (rule.minor < -1 || rule.minor > 0xfffff) object.Fail("minor", "is out of range");
    if (object.Has("access")) rule.access = object.String("access");
    if (rule.access.empty() || rule.access.find_first_not_of("rwm") != std::string::npos) {
      object.Fail("access", "must be of r, w and m");
    }
    spec->resources.devices.push_back(std::move(rule));
  });
}

void ReadResources(const JsonReader& resources, OciSpec* spec) {
  Refuse(resources, {"blockIO", "hugepageLimits", "network", "rdma", "unified"});
  OciResources* out = &spec->resources;
  const JsonReader memory = resources.Object("memory");
  Refuse(memory, {"kernel", "kernelTCP", "swappiness", "disableOOMKiller", "useHierarchy",
                  "checkBeforeUpdate"});
  out->memory_limit = memory.Number<int64_t>("limit");
  out->memory_reservation = memory.Number<int64_t>("reservation");
  out->memory_swap = memory.Number<int64_t>("swap");
  if (out->memory_limit > 0 && out->memory_limit < 1 << 19) {
    memory.Fail("limit", "must be at least 524288 bytes");
  }
  if (out->memory_swap > 0 && out->memory_swap < out->memory_limit) {
    memory.Fail("swap", "counts memory and swap together, so it must not be below limit");
  }
  const JsonReader cpu = resources.Object("cpu");
  Refuse(cpu, {"realtimeRuntime", "realtimePeriod", "cpus", "mems", "burst", "idle"});
  out->cpu_shares = cpu.Number<uint64_t>("shares");
  out->cpu_quota_us = cpu.Number<int64_t>("quota");
  out->cpu_period_us = cpu.Number<uint64_t>("period");
  out->pids_limit = resources.Object("pids").Number<int64_t>("limit");
  ReadDeviceRules(resources, spec);
}

void ReadLinux(const JsonReader& linux_object, OciSpec* spec) {
  Refuse(linux_object, {"uidMappings", "gidMappings", "cgroupsPath", "rootfsPropagation",
                        "mountLabel", "intelRdt", "personality", "timeOffsets"});
  ReadNamespaces(linux_object, spec);
  ReadDevices(linux_object, spec);
  ReadResources(linux_object.Object("resources"), spec);
  spec->sysctls = linux_object.StringMap("sysctl");
  for (const auto& [name, value] : spec->sysctls) {
    const absl::Status allowed = CheckSysctl(name, spec->clone_flags);
    if (!allowed.ok()) linux_object.Fail(absl::StrCat("sysctl.", name), allowed.message());
  }
  spec->masked_paths = linux_object.Strings("maskedPaths");
  spec->readonly_paths = linux_object.Strings("readonlyPaths");
  for (const auto* paths : {&spec->masked_paths, &spec->readonly_paths}) {
    for (const std::string& path : *paths) {
      if (!IsCleanAbsolute(path)) {
        linux_object.Fail(paths == &spec->masked_paths ? "maskedPaths" : "readonlyPaths",
                          absl::StrCat("\"", path, "\" is not an absolute path"));
      }
    }
  }
  if (linux_object.Has("seccomp")) {
    spec->seccomp = ReadSeccomp(linux_object.Object("seccomp"));
  }
}

void ReadAnnotations(const JsonReader& root, OciSpec* spec) {
  const auto annotations = root.StringMap("annotations");
  if (const auto it = annotations.find("swarm.user"); it != annotations.end()) {
    spec->user_name = it->second;
  }
  if (const auto it = annotations.find("swarm.resolv_conf"); it != annotations.end()) {
    spec->resolv_conf = it->second;
  }
  if (const auto it = annotations.find("swarm.hosts"); it != annotations.end()) {
    spec->extra_hosts = it->second;
  }
  const auto is_set = [&](const char* name) {
    const auto it = annotations.find(name);
    return it != annotations.end() && it->second == "true";
  };
  spec->open_stdin = is_set("swarm.open_stdin");
  spec->reaper = is_set("swarm.init");
  if (const auto it = annotations.find("swarm.groups"); it != annotations.end()) {
    spec->group_names = absl::StrSplit(it->second, ',', absl::SkipEmpty());
  }
  if (const auto it = annotations.find("swarm.seccomp"); it != annotations.end()) {
    if (it->second != "default") root.Fail("annotations.swarm.seccomp", "must be \"default\"");
    spec->seccomp = DefaultSeccomp(spec->bounding);
  }
}

}  // namespace

absl::StatusOr<uint32_t> ParseRlimitName(absl::string_view name) {
  std::string lower = absl::AsciiStrToLower(name);
  if (absl::StartsWith(lower, "rlimit_")) lower = lower.substr(7);
  for (const RlimitName& known : kRlimits) {
    if (known.name == lower) return known.resource;
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown limit \"", name, "\""));
}

absl::Status CheckSysctl(absl::string_view name, uint64_t clone_flags) {
  if (name.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") !=
          absl::string_view::npos ||
      absl::StrContains(name, "..") || name.empty() || name[0] == '.' || name[0] == '/') {
    return absl::InvalidArgumentError("is not the name of a sysctl");
  }
  constexpr absl::string_view kIpc[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                        "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                        "kernel.shmmni", "kernel.shm_rmid_forced"};
  bool ipc = absl::StartsWith(name, "fs.mqueue.");
  for (const absl::string_view known : kIpc) ipc = ipc || name == known;
  if (ipc) {
    if ((clone_flags & CLONE_NEWIPC) != 0) return absl::OkStatus();
    return absl::InvalidArgumentError("needs an IPC namespace of its own");
  }
  if (name == "kernel.domainname") {
    if ((clone_flags & CLONE_NEWUTS) != 0) return absl::OkStatus();
    return absl::InvalidArgumentError("needs a UTS namespace of its own");
  }
  if (absl::StartsWith(name, "net.")) {
    if ((clone_flags & CLONE_NEWNET) != 0) return absl::OkStatus();
    return absl::InvalidArgumentError("would change the host's network");
  }
  return absl::InvalidArgumentError("belongs to the host, not to a container");
}

absl::StatusOr<OciSpec> ParseOciSpec(absl::string_view json, bool has_layers) {
  const auto document = JsonDocument::Parse(json);
  if (!document.ok()) return Annotate(document.status(), "the configuration");
  OciSpec spec;
  const JsonReader root = document->root();
  const std::string version = root.String("ociVersion");
  if (!absl::StartsWith(version, "1.")) {
    root.Fail("ociVersion", absl::StrCat("must be 1.x, not \"", version, "\""));
  }
  Refuse(root, {"hooks", "windows", "solaris", "vm", "zos"});
  const JsonReader root_fs = root.Object("root");
  spec.root_readonly = root_fs.Bool("readonly");
  spec.root_path = root_fs.String("path");
  if (!has_layers && (spec.root_path.empty() || spec.root_path[0] != '/')) {
    root_fs.Fail("path", "must be an absolute path");
  }
  spec.hostname = root.String("hostname");
  spec.domainname = root.String("domainname");
  if (!root.Has("process")) root.Fail("process", "must be set");
  if (!root.Has("linux")) root.Fail("linux", "must be set");
  ReadMounts(root, &spec);
  ReadProcess(root.Object("process"), &spec);
  ReadLinux(root.Object("linux"), &spec);
  ReadAnnotations(root, &spec);
  if ((spec.clone_flags & CLONE_NEWUTS) == 0 &&
      (!spec.hostname.empty() || !spec.domainname.empty())) {
    root.Fail("hostname", "needs a uts namespace");
  }
  if (spec.hostname.size() > 64) root.Fail("hostname", "is longer than 64 characters");
  RETURN_IF_ERROR(root.status());
  return spec;
}

}  // namespace swarm::agent
