#include "manager/api/container_validation.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/oci/reference.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/task_template.h"
#include "manager/api/endpoint_validation.h"
#include "manager/api/mount_validation.h"
#include "manager/api/reference_validation.h"

namespace swarm::manager {
namespace {

constexpr size_t kMaxText = 4096;  // of one short field; the whole spec is bounded too
constexpr int64_t kMaxDurationSeconds = int64_t{10} * 365 * 24 * 3600;
constexpr int kMaxRealtimeOffset = 30;

// capabilities(7) as of Linux 6.1, without "CAP_".
constexpr std::string_view kCapabilities[] = {
    "AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
    "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
    "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
    "FOWNER",          "FSETID",       "IPC_LOCK",
    "IPC_OWNER",       "KILL",         "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
    "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
    "NET_BROADCAST",   "NET_RAW",      "PERFMON",
    "SETFCAP",         "SETGID",       "SETPCAP",
    "SETUID",          "SYSLOG",       "SYS_ADMIN",
    "SYS_BOOT",        "SYS_CHROOT",   "SYS_MODULE",
    "SYS_NICE",        "SYS_PACCT",    "SYS_PTRACE",
    "SYS_RAWIO",       "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG",  "WAKE_ALARM",
};

constexpr std::string_view kSignals[] = {
    "ABRT", "ALRM", "BUS",  "CHLD", "CONT", "FPE",  "HUP",  "ILL",    "INT",   "IO",   "IOT",
    "KILL", "PIPE", "POLL", "PROF", "PWR",  "QUIT", "SEGV", "STKFLT", "STOP",  "SYS",  "TERM",
    "TRAP", "TSTP", "TTIN", "TTOU", "URG",  "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
};

constexpr std::string_view kUlimits[] = {
    "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue", "nice",
    "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",
};

// Sysctls that a namespace of the container's own holds.
constexpr std::string_view kIpcSysctls[] = {
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
    "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
};

template <size_t N>
bool OneOf(const std::string_view (&list)[N], std::string_view text) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

absl::Status CheckExpands(std::string_view path, std::string_view text) {
  const absl::Status expands = CheckTemplate(text, TemplatePlace::kSpec);
  return expands.ok() ? expands : FieldError(path, ToStd(expands.message()));
}

absl::Status ValidateImage(const std::string& image) {
  if (image.empty()) return FieldError("task.container.image", "is empty");
  auto reference = oci::Reference::Parse(image);
  if (!reference.ok())
    return FieldError("task.container.image", ToStd(reference.status().message()));
  return absl::OkStatus();
}

absl::Status ValidateEnv(const v1::ContainerSpec& spec) {
  for (int i = 0; i < spec.env_size(); ++i) {
    const std::string path = StrCat("task.container.env[", i, "]");
    const std::string& entry = spec.env(i);
    const size_t equals = entry.find('=');
    if (equals == entry.npos) {
      return FieldError(path, StrCat("\"", entry.substr(0, 64), "\" is not KEY=value"));
    }
    if (equals == 0) return FieldError(path, "the key before '=' is empty");
    if (HasControlCharacter(entry.substr(0, equals))) {
      return FieldError(path, "the key holds a control character");
    }
    RETURN_IF_ERROR(CheckNoNul(path, entry));
    RETURN_IF_ERROR(CheckExpands(path, entry));
  }
  return absl::OkStatus();
}

absl::Status ValidateArguments(const v1::ContainerSpec& spec) {
  for (int i = 0; i < spec.command_size(); ++i) {
    const std::string path = StrCat("task.container.command[", i, "]");
    if (i == 0 && spec.command(i).empty()) return FieldError(path, "the program's name is empty");
    RETURN_IF_ERROR(CheckNoNul(path, spec.command(i)));
  }
  for (int i = 0; i < spec.args_size(); ++i) {
    RETURN_IF_ERROR(CheckNoNul(StrCat("task.container.args[", i, "]"), spec.args(i)));
  }
  return absl::OkStatus();
}

absl::Status ValidateSignal(const std::string& signal) {
  if (signal.empty()) return absl::OkStatus();
  constexpr std::string_view kPath = "task.container.stop_signal";
  int number = 0;
  if (absl::SimpleAtoi(signal, &number)) {
    if (number >= 1 && number <= 64) return absl::OkStatus();
    return FieldError(kPath, StrCat(number, " is not a signal (1 to 64)"));
  }
  const std::string upper = absl::AsciiStrToUpper(signal);
  const std::string_view name = ToStd(absl::StripPrefix(upper, "SIG"));
  if (OneOf(kSignals, name) || name == "RTMIN" || name == "RTMAX") return absl::OkStatus();
  for (std::string_view base : {"RTMIN+", "RTMAX-"}) {
    if (name.substr(0, base.size()) == base &&
        absl::SimpleAtoi(ToAbsl(name.substr(base.size())), &number) && number >= 0 &&
        number <= kMaxRealtimeOffset) {
      return absl::OkStatus();
    }
  }
  return FieldError(kPath, StrCat("\"", signal, "\" is not a signal's name or number"));
}

absl::Status ValidateCapabilities(std::string_view path,
                                  const google::protobuf::RepeatedPtrField<std::string>& names) {
  for (int i = 0; i < names.size(); ++i) {
    const std::string upper = absl::AsciiStrToUpper(names[i]);
    if (upper == "ALL" || OneOf(kCapabilities, ToStd(absl::StripPrefix(upper, "CAP_")))) continue;
    return FieldError(StrCat(path, "[", i, "]"), StrCat("\"", names[i], "\" is not a capability"));
  }
  return absl::OkStatus();
}

absl::Status ValidateSysctls(const v1::ContainerSpec& spec) {
  // A protobuf map has no order; the user sees the same error each time.
  for (const auto& [key, value] :
       std::map<std::string, std::string>(spec.sysctls().begin(), spec.sysctls().end())) {
    const std::string path = StrCat("task.container.sysctls[", key, "]");
    if (key.find("..") != key.npos || key.find('/') != key.npos || HasControlCharacter(key)) {
      return FieldError(path, "is not a sysctl's name (parts with dots between them)");
    }
    if (!OneOf(kIpcSysctls, key) && !absl::StartsWith(key, "net.") &&
        !absl::StartsWith(key, "fs.mqueue.") && key != "kernel.domainname") {
      return FieldError(path, "belongs to the whole machine, not to a container");
    }
    const bool ipc = OneOf(kIpcSysctls, key) || absl::StartsWith(key, "fs.mqueue.");
    if (ipc && spec.host_ipc()) {
      return FieldError(path, "would change the node's own: leave it or host_ipc (--ipc host) out");
    }
    if (key == "kernel.domainname" && spec.host_uts()) {
      return FieldError(path, "would change the node's own: leave it or host_uts (--uts host) out");
    }
    if (value.empty() || HasControlCharacter(value)) {
      return FieldError(path, "the value is empty or holds a control character");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateUlimits(const v1::ContainerSpec& spec) {
  std::set<std::string> seen;
  for (int i = 0; i < spec.ulimits_size(); ++i) {
    const v1::Ulimit& limit = spec.ulimits(i);
    const std::string path = StrCat("task.container.ulimits[", i, "]");
    if (!OneOf(kUlimits, limit.name())) {
      return FieldError(path, StrCat("\"", limit.name(), "\" is not a limit's name"));
    }
    if (!seen.insert(limit.name()).second) {
      return FieldError(path, StrCat(limit.name(), " is given twice"));
    }
    if (limit.soft() < -1 || limit.hard() < -1) {
      return FieldError(path, "a limit is -1 (unlimited) or not negative");
    }
    const bool soft_is_larger =
        limit.hard() != -1 && (limit.soft() == -1 || limit.soft() > limit.hard());
    if (soft_is_larger) {
      return FieldError(path, StrCat(limit.name(), ": the soft limit is above the hard one"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateHostname(const std::string& hostname) {
  if (hostname.empty()) return absl::OkStatus();
  constexpr std::string_view kPath = "task.container.hostname";
  // What it expands to is looked at by the node, for each task.
  if (hostname.find("{{") != hostname.npos) return CheckExpands(kPath, hostname);
  if (hostname.size() > 63) return FieldError(kPath, "is longer than 63 characters");
  const bool good_ends =
      absl::ascii_isalnum(hostname.front()) && absl::ascii_isalnum(hostname.back());
  const bool good = good_ends && std::all_of(hostname.begin(), hostname.end(), [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '-' || c == '.';
                    });
  if (good && hostname.find("..") == hostname.npos) return absl::OkStatus();
  return FieldError(kPath, StrCat("\"", hostname, "\" is not a host name"));
}

// What would change the node through a namespace of its own.
absl::Status ValidateHostNamespaces(const v1::ContainerSpec& spec) {
  if (spec.host_uts() && !spec.hostname().empty()) {
    return FieldError("task.container.hostname",
                      "would rename the node: leave it or host_uts (--uts host) out");
  }
  if (spec.host_ipc() && spec.shm_size_bytes() != 0) {
    return FieldError("task.container.shm_size_bytes",
                      "with host_ipc (--ipc host) /dev/shm is the node's: leave one of them out");
  }
  return absl::OkStatus();
}

absl::Status ValidateUserAndDirectory(const v1::ContainerSpec& spec) {
  const std::string& user = spec.user();
  if (!user.empty()) {
    const bool shape = user.front() != ':' && user.back() != ':' &&
                       std::count(user.begin(), user.end(), ':') <= 1 && user.size() <= 256;
    if (!shape || HasControlCharacter(user) || user.find(' ') != user.npos) {
      return FieldError("task.container.user", StrCat("\"", user, "\" is not user[:group]"));
    }
  }
  for (int i = 0; i < spec.groups_size(); ++i) {
    const std::string& group = spec.groups(i);
    if (group.empty() || group.size() > 256 || HasControlCharacter(group) ||
        group.find_first_of(" :") != group.npos) {
      return FieldError(StrCat("task.container.groups[", i, "]"),
                        StrCat("\"", group, "\" is not a group"));
    }
  }
  if (spec.dir().empty()) return absl::OkStatus();
  if (spec.dir().front() != '/') return FieldError("task.container.dir", "is not an absolute path");
  if (spec.dir().size() >= kMaxText) return FieldError("task.container.dir", "is too long");
  return CheckNoNul("task.container.dir", spec.dir());
}

}  // namespace

absl::Status FieldError(std::string_view path, std::string_view reason) {
  return absl::InvalidArgumentError(StrCat(path, ": ", reason));
}

absl::Status CheckNoNul(std::string_view path, std::string_view text) {
  if (text.find('\0') == text.npos) return absl::OkStatus();
  return FieldError(path, "holds a NUL byte");
}

absl::Status ValidateLabels(std::string_view path,
                            const google::protobuf::Map<std::string, std::string>& labels) {
  for (const auto& [key, value] :
       std::map<std::string, std::string>(labels.begin(), labels.end())) {
    if (key.empty()) return FieldError(path, "a label's key is empty");
    const bool bad =
        key.size() > 128 || HasControlCharacter(key) || key.find_first_of(" =") != key.npos;
    if (bad) {
      return FieldError(path, StrCat("\"", key.substr(0, 128),
                                     "\" is not a label's key (at most "
                                     "128 characters, no spaces, no '=')"));
    }
    RETURN_IF_ERROR(CheckNoNul(StrCat(path, "[", key, "]"), value));
  }
  return absl::OkStatus();
}

absl::Status ValidateDuration(std::string_view path, const google::protobuf::Duration& duration) {
  if (duration.nanos() <= -1'000'000'000 || duration.nanos() >= 1'000'000'000) {
    return FieldError(path, "is malformed: nanos must be below 1e9");
  }
  if (duration.seconds() < 0 || duration.nanos() < 0) return FieldError(path, "is negative");
  if (duration.seconds() > kMaxDurationSeconds) return FieldError(path, "is longer than ten years");
  return absl::OkStatus();
}

absl::Status ValidateContainerSpec(const v1::ContainerSpec& spec) {
  RETURN_IF_ERROR(ValidateImage(spec.image()));
  RETURN_IF_ERROR(ValidateLabels("task.container.labels", spec.labels()));
  RETURN_IF_ERROR(ValidateArguments(spec));
  RETURN_IF_ERROR(ValidateEnv(spec));
  RETURN_IF_ERROR(ValidateUserAndDirectory(spec));
  RETURN_IF_ERROR(ValidateHostname(spec.hostname()));
  RETURN_IF_ERROR(ValidateHostNamespaces(spec));
  RETURN_IF_ERROR(ValidateSignal(spec.stop_signal()));
  if (spec.has_stop_grace_period()) {
    RETURN_IF_ERROR(ValidateDuration("task.container.stop_grace_period", spec.stop_grace_period()));
  }
  RETURN_IF_ERROR(ValidateCapabilities("task.container.capability_add", spec.capability_add()));
  RETURN_IF_ERROR(ValidateCapabilities("task.container.capability_drop", spec.capability_drop()));
  RETURN_IF_ERROR(ValidateSysctls(spec));
  RETURN_IF_ERROR(ValidateUlimits(spec));
  if (spec.oom_score_adj() < -1000 || spec.oom_score_adj() > 1000) {
    return FieldError("task.container.oom_score_adj",
                      StrCat(spec.oom_score_adj(), " is not between -1000 and 1000"));
  }
  RETURN_IF_ERROR(ValidateNames(spec));
  RETURN_IF_ERROR(ValidateReferences(spec));
  RETURN_IF_ERROR(ValidateMounts(spec));
  RETURN_IF_ERROR(ValidateDevices(spec));
  return ValidateSecurity(spec);
}

}  // namespace swarm::manager
