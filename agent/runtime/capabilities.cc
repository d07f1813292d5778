#include "agent/runtime/capabilities.h"

#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace swarm::agent {
namespace {

// In the order of linux/capability.h.
constexpr absl::string_view kNames[] = {"CHOWN",
                                        "DAC_OVERRIDE",
                                        "DAC_READ_SEARCH",
                                        "FOWNER",
                                        "FSETID",
                                        "KILL",
                                        "SETGID",
                                        "SETUID",
                                        "SETPCAP",
                                        "LINUX_IMMUTABLE",
                                        "NET_BIND_SERVICE",
                                        "NET_BROADCAST",
                                        "NET_ADMIN",
                                        "NET_RAW",
                                        "IPC_LOCK",
                                        "IPC_OWNER",
                                        "SYS_MODULE",
                                        "SYS_RAWIO",
                                        "SYS_CHROOT",
                                        "SYS_PTRACE",
                                        "SYS_PACCT",
                                        "SYS_ADMIN",
                                        "SYS_BOOT",
                                        "SYS_NICE",
                                        "SYS_RESOURCE",
                                        "SYS_TIME",
                                        "SYS_TTY_CONFIG",
                                        "MKNOD",
                                        "LEASE",
                                        "AUDIT_WRITE",
                                        "AUDIT_CONTROL",
                                        "SETFCAP",
                                        "MAC_OVERRIDE",
                                        "MAC_ADMIN",
                                        "SYSLOG",
                                        "WAKE_ALARM",
                                        "BLOCK_SUSPEND",
                                        "AUDIT_READ",
                                        "PERFMON",
                                        "BPF",
                                        "CHECKPOINT_RESTORE"};

constexpr absl::string_view kDefaults[] = {
    "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",     "MKNOD", "SETGID",     "SETUID",
    "SETFCAP", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",  "AUDIT_WRITE"};

}  // namespace

absl::StatusOr<int> ParseCapability(absl::string_view name) {
  const std::string upper = absl::AsciiStrToUpper(name);
  absl::string_view bare = upper;
  if (bare.substr(0, 4) == "CAP_") bare.remove_prefix(4);
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == bare) return static_cast<int>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown capability \"", name, "\""));
}

std::vector<std::string> CapabilityNames(CapabilitySet set) {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if ((set >> i & 1) != 0) names.push_back(absl::StrCat("CAP_", kNames[i]));
  }
  return names;
}

bool HasCapability(CapabilitySet set, absl::string_view name) {
  const auto bit = ParseCapability(name);
  return bit.ok() && (set >> *bit & 1) != 0;
}

CapabilitySet AllCapabilities() { return (CapabilitySet{1} << std::size(kNames)) - 1; }

CapabilitySet DefaultCapabilities() {
  CapabilitySet set = 0;
  for (const absl::string_view name : kDefaults) set |= CapabilitySet{1} << *ParseCapability(name);
  return set;
}

}  // namespace swarm::agent
